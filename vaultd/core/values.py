"""Values that keep to themselves what they hold."""

from __future__ import annotations

from msgspec import Struct


class Veiled(Struct, frozen=True):
    """A value with secret fields, or with very long ones: ``repr`` gives the name of its class."""

    def __repr__(self) -> str:
        """Return the name of the class alone."""
        return f"<{type(self).__name__}>"
