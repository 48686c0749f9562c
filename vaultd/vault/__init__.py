"""Where format, crypto, compression and backends meet: sessions, keys, reading and writing."""
