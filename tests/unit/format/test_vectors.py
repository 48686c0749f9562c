"""Every vector says what it expects, and gets it."""

from __future__ import annotations

import pytest

from tests.unit.format.decoders import DECODERS, WITH_KEYS
from tests.unit.format.samples import STRUCTS
from tests.vectors.format.make import vectors
from tests.vectors.format.vector import FOLDER, Vector, read_all
from vaultd.core.errors import (
    CorruptObjectError,
    MalformedObjectError,
    UnsupportedVersionError,
    VaultdError,
)
from vaultd.format.codec import encode

VECTORS = read_all()
ERRORS: dict[str, type[VaultdError]] = {
    "malformed": MalformedObjectError,
    "unsupported": UnsupportedVersionError,
    "corrupt": CorruptObjectError,
}


def by_name(vector: Vector) -> str:
    return vector.name


@pytest.mark.parametrize("vector", [one for one in VECTORS if one.expect == "ok"], ids=by_name)
def test_what_is_right_is_taken(vector: Vector) -> None:
    decode = {**DECODERS, **WITH_KEYS}[vector.kind]
    decode(vector.body, vector.headers)


@pytest.mark.parametrize("vector", [one for one in VECTORS if one.expect != "ok"], ids=by_name)
def test_what_is_wrong_is_refused_for_what_it_is(vector: Vector) -> None:
    decode = {**DECODERS, **WITH_KEYS}[vector.kind]
    with pytest.raises(ERRORS[vector.expect]) as caught:
        decode(vector.body, vector.headers)
    assert type(caught.value) is ERRORS[vector.expect]
    assert (vector.expect == "unsupported") == (caught.value.hint is not None)


def test_the_vectors_are_those_that_the_script_makes() -> None:
    made = {vector.name: vector.text() for vector in vectors()}
    kept = {path.stem: path.read_text("ascii") for path in FOLDER.glob("*.vec")}
    assert made == {name: kept.get(name) for name in made}


def test_every_decoder_is_tried_with_something_right_and_something_wrong() -> None:
    tried = {(vector.kind, vector.expect == "ok") for vector in VECTORS}
    kinds = {kind for kind in {**DECODERS, **WITH_KEYS} if not kind.startswith("signed ")}
    assert {"signed intent", *kinds} == {kind for kind, _ in tried}
    structs = {"tag-names", "grant-body", "grant-secrets"}
    assert structs >= kinds - {kind for kind, ok in tried if not ok}
    assert set() == kinds - {kind for kind, ok in tried if ok}


def test_names_of_vectors_are_unique() -> None:
    names = [vector.name for vector in vectors()]
    assert len(names) == len(set(names))
    assert len(names) >= 80


@pytest.mark.parametrize("kind", sorted(STRUCTS))
def test_the_sample_of_each_struct_is_taken(kind: str) -> None:
    DECODERS[kind](encode(STRUCTS[kind]), {})
