"""`python -m vaultctl`: the same as the program `vaultctl`."""

from __future__ import annotations

from vaultctl.main import main

if __name__ == "__main__":
    main()
