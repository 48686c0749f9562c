"""Types of fields: a decoder refuses a value that breaks one (FORMAT.md 2.3).

They are written beside the fields that they bound, so that a struct says all that is checked.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Version = Annotated[int, Meta(ge=1, le=1)]
"""First field of what carries no magic of its own; see `vaultd.format.codec.decode_versioned`."""

Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""A vault's or store's id, a uid, a key id."""

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""SHA-256 or keyed BLAKE3."""

MaybeHash = Annotated[bytes, Meta(max_length=32)]
"""A hash, or nothing where there is nothing to hash."""

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""A symmetric key, a seed, or an Ed25519 public key."""

Number = Annotated[int, Meta(ge=1, le=(1 << 32) - 1)]
"""Of a session or a log entry."""

MaybeNumber = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
"""Such a number, or 0 for none."""

Epoch = Annotated[int, Meta(ge=1, le=999_999)]
"""Of a key policy or a domain's keys: six digits in a name."""

Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""Bytes, entries, nanoseconds since 1970."""

U32 = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]

Name = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,39}\Z")]
"""Of a host, a domain or a keeper: safe in an object's name."""

KindName = Annotated[str, Meta(pattern=r"\A(full|differential|incremental)\Z")]
"""Of a snapshot."""

AvoidReason = Annotated[str, Meta(pattern=r"\A(sparse|damaged|lost|healed)\Z")]
"""Why a pack is avoided, or is not any more."""

Text = Annotated[str, Meta(max_length=1 << 16)]
"""For people."""
