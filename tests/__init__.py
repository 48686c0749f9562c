"""The tests of vaultd."""
