"""The only place that touches cryptographic libraries; one provider for each primitive.

==============================  ====================================  =========================
primitive                       provider                              where
==============================  ====================================  =========================
SHA-256, SHAKE-256              ``hashlib`` (OpenSSL of the system)   `hashing`, `recipients`
keyed BLAKE3                    ``blake3``                            `hashing`
HKDF-SHA256                     ``cryptography``                      `kdf`
Argon2id                        ``pynacl`` (libsodium)                `kdf`
AES-256-GCM                     ``cryptography``                      `aead`
HPKE, ML-KEM-768 + X25519       ``cryptography``                      `recipients`
Ed25519                         ``cryptography``                      `signing`
BIP-39 words                    ``mnemonic``                          `recovery`
==============================  ====================================  =========================

Ed25519 is taken from ``cryptography``, which a backup loads anyway for AES; libsodium is loaded
only when a passphrase is stretched, and the word list only when words are shown or read.

Nothing here draws random bytes: keys, seeds and salts are parameters. HPKE is the exception: its
encapsulation draws its own inside the library.
"""
