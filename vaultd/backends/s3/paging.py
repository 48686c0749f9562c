"""Long listings: page after page, each asked for again by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vaultd.backends.s3.connection import Connection
from vaultd.core.errors import StorageUnavailableError

Page = TypeVar("Page")

_PAGE_TRIES = 5


def get_page(
    connection: Connection, what: tuple[str, str], ask: Callable[[], Page], *, first: bool
) -> Page:
    """Return one page of a listing; any but the first is asked for again if need be.

    This is the one place below the retrying wrapper that tries again: that one could only begin
    the whole listing anew, and one of many pages would nearly always fail.

    Args:
        connection: Reaches the bucket.
        what: Operation and subject, see `Connection.call`.
        ask: Makes the request.
        first: The listing begins with it.
    """
    tries = _PAGE_TRIES if first else 1
    while True:
        try:
            with connection.call(*what):
                return ask()
        except StorageUnavailableError:
            if tries == _PAGE_TRIES:
                raise
            connection.clock.sleep(0.1 * 2**tries)
            tries += 1
