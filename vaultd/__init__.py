"""vaultd: backup daemon with an encrypted vault, and the library behind it and vaultctl."""

__version__ = "0.1.0"
