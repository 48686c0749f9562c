"""Where objects lie: the protocol, its kinds, their wrappers, and the promises all keep."""
