"""The vocabulary of vaultd: no I/O, nothing from third parties."""
