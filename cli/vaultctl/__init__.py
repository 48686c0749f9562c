"""vaultctl: the command line of vaultd."""
