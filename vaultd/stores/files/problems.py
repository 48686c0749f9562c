"""What an error of the operating system means for one entry."""

from __future__ import annotations

import errno

from vaultd.core.events import Problem, ProblemKind

_KINDS = {
    errno.ENOENT: ProblemKind.VANISHED,
    errno.ENOTDIR: ProblemKind.VANISHED,
    errno.ELOOP: ProblemKind.VANISHED,
    errno.ESTALE: ProblemKind.VANISHED,
    errno.EACCES: ProblemKind.DENIED,
    errno.EPERM: ProblemKind.DENIED,
}


def words_of(error: OSError) -> str:
    """Return the system's words for an error, lower case at the start: ``permission denied``."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def problem_of(error: OSError, path: bytes, doing: str) -> Problem:
    """Return the finding that an error makes about one entry.

    Args:
        error: What the system said. A name that is gone, or now is of another type, has vanished.
        path: The entry.
        doing: What was tried, as in ``cannot <doing>``.
    """
    kind = _KINDS.get(error.errno or 0, ProblemKind.IO_ERROR)
    return Problem(kind=kind, path=path, reason=f"cannot {doing}: {words_of(error)}")
