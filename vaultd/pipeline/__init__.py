"""From stores to the vault and back: the only place with threads."""
