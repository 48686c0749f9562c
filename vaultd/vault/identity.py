"""What one machine keeps of one vault: ``<state>/<vault id>/``, for its owner's eyes only.

=================  ===============================================================================
``pin.json``       admin keys and newest policy seen: what nobody may change behind our back
``host.json``      name as a host, keys of its domain
``host.key``       its signing key; may lie elsewhere instead, as a systemd credential
``keeper.json``    name as a keeper, index keys of all domains
``keeper.key``     its signing key; likewise
``pending.json``   an enrolment request without an answer
``key-tests.json`` when each recovery key last opened the vault
=================  ===============================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from vaultd.backends.base import Backend
from vaultd.core.errors import BrokenChainError, KeyringError, MalformedObjectError
from vaultd.crypto import recovery, signing
from vaultd.crypto.secret import Secret
from vaultd.format.machine import (
    F,
    HeldIndexKey,
    HostFile,
    KeeperFile,
    KeyTestsFile,
    PinFile,
    decode_file,
    encode_file,
)
from vaultd.vault.keyring import (
    DomainKeys,
    HostKeys,
    IndexKey,
    KeeperKeys,
    from_held,
    to_held,
)
from vaultd.vault.private import (
    NOT_WORLD,
    OWNER_ONLY,
    check_folder,
    make_folder,
    read_private,
    write_private,
)
from vaultd.vault.trust import Pin, Trust, load_trust, read_vault

PIN, HOST, HOST_KEY = "pin.json", "host.json", "host.key"
KEEPER, KEEPER_KEY = "keeper.json", "keeper.key"
KEY_TESTS = "key-tests.json"
_FOLDER = re.compile(r"[0-9a-f]{32}")


class KeyPaths(Struct, frozen=True, kw_only=True):
    """Where signing keys lie when not in the folder: systemd credentials, for example."""

    host: Path | None = None
    keeper: Path | None = None


class HostIdentity(Struct, frozen=True, kw_only=True):
    """This machine, as one vault knows it.

    Attributes:
        folder: Where it is kept.
        vault_id: The vault.
        location: Where the vault lay when it was last seen.
        pin: What nobody may change behind our back.
        key_paths: Where signing keys lie when not in the folder.
    """

    folder: Path
    vault_id: bytes
    location: str
    pin: Pin
    key_paths: KeyPaths = KeyPaths()

    @property
    def host(self) -> str | None:
        """The machine's name as a host; ``None`` when it is none."""
        file = self._load(HostFile, HOST)
        return None if file is None else file.host

    @property
    def keeper(self) -> str | None:
        """The machine's name as a keeper; ``None`` when it is none."""
        file = self._load(KeeperFile, KEEPER)
        return None if file is None else file.name

    @property
    def key_tests(self) -> dict[str, int]:
        """When each recovery key last opened the vault: nanoseconds since 1970, by label."""
        file = self._load(KeyTestsFile, KEY_TESTS)
        return {} if file is None else dict(file.tests)

    def host_keys(self) -> HostKeys:
        """Return what this machine backs up with.

        Raises:
            KeyringError: It is no host of this vault, or its files cannot be used.
        """
        file = self._load(HostFile, HOST)
        if file is None:
            raise KeyringError(
                f"this machine is not a host of vault {self.vault_id.hex()[:8]}",
                hint="Enrol it: `vaultctl host request NAME` here says how it goes on.",
            )
        current, *past = (from_held(keys) for keys in file.keys)
        return HostKeys(
            vault_id=self.vault_id,
            host=file.host,
            signer=signing.Signer(self.signing_seed("host").reveal()),
            current=current,
            past=tuple(past),
        )

    def keeper_keys(self) -> KeeperKeys:
        """Return what this machine keeps house with.

        Raises:
            KeyringError: It is no keeper of this vault, or its files cannot be used.
        """
        file = self._load(KeeperFile, KEEPER)
        if file is None:
            raise KeyringError(
                f"this machine is not a keeper of vault {self.vault_id.hex()[:8]}",
                hint="Run this on the keeper, or become one: `vaultctl host request --keeper`.",
            )
        return KeeperKeys(
            vault_id=self.vault_id,
            name=file.name,
            signer=signing.Signer(self.signing_seed("keeper").reveal()),
            index_keys=tuple(
                IndexKey(domain=held.domain, epoch=held.epoch, index_key=held.key)
                for held in file.index_keys
            ),
        )

    def signing_seed(self, role: str) -> Secret:
        """Return the signing key of this machine as ``host`` or as ``keeper``.

        Raises:
            KeyringError: It is not there, damaged, or open to others.
        """
        elsewhere = self.key_paths.host if role == "host" else self.key_paths.keeper
        path = elsewhere or self.folder / (HOST_KEY if role == "host" else KEEPER_KEY)
        # A credential's group is what systemd gives it; that of our own file is not to be read.
        contents = read_private(path, forbidden=OWNER_ONLY if elsewhere is None else NOT_WORLD)
        if contents is None:
            raise KeyringError(
                f"{path}: the signing key of this {role} is not there",
                hint="Bring it back, or enrol this machine anew: `vaultctl host request NAME`.",
            )
        key = recovery.read_key_file(contents.decode("utf-8", "replace"), None)
        facts = key.facts
        if (facts.type, facts.vault) != (recovery.KeyType.HOST, self.vault_id.hex()):
            raise KeyringError(
                f"{path}: {facts.type} key of vault {facts.vault[:8]}, "
                f"expected a host key of vault {self.vault_id.hex()[:8]}"
            )
        return key.seed

    def advance_pin(self, trust: Trust) -> HostIdentity:
        """Remember a newer policy, durably; one that is not newer changes nothing.

        Args:
            trust: As `load_trust` returned it for this identity's pin.

        Raises:
            KeyringError: It is of another vault.
        """
        if trust.vault_id != self.vault_id:
            raise KeyringError(
                f"identity of vault {self.vault_id.hex()[:8]} "
                f"cannot remember vault {trust.vault_id.hex()[:8]}"
            )
        if trust.policy.number <= self.pin.policy_number:
            return self
        _write_pin(self.folder, self.vault_id, self.location, trust.pin)
        return replace(self, pin=trust.pin)

    def keep_host(self, host: str, seed: Secret | None, keys: Iterable[DomainKeys]) -> None:
        """Become a host, or renew its keys.

        Args:
            host: The machine's name in object names.
            seed: Its signing key; ``None`` leaves the one that it has.
            keys: Keys of its domain; those that it has already stay.
        """
        if seed is not None:
            self._keep_key(HOST_KEY, seed, label=f"host {host}")
        self._add_host_keys(host, keys)

    def keep_keeper(self, name: str, seed: Secret | None, keys: Iterable[IndexKey]) -> None:
        """Become a keeper, or renew its keys.

        Args:
            name: The machine's name in the log.
            seed: Its signing key; ``None`` leaves the one that it has.
            keys: Index keys; those that it has already stay.
        """
        if seed is not None:
            self._keep_key(KEEPER_KEY, seed, label=f"keeper {name}")
        self._add_index_keys(name, keys)

    def add_keys(self, keys: DomainKeys) -> None:
        """Learn a new domain or epoch, as host when it is this host's domain, and as keeper."""
        host = self._load(HostFile, HOST)
        if host is not None and host.keys[0].domain == keys.domain:
            self._add_host_keys(host.host, (keys,))
        if self.keeper is not None:
            index_key = IndexKey(domain=keys.domain, epoch=keys.epoch, index_key=keys.index_key)
            self._add_index_keys(self.keeper, (index_key,))

    def record_test(self, label: str, at_ns: int) -> None:
        """Remember when a recovery key opened the vault."""
        self._store(KEY_TESTS, KeyTestsFile(tests=self.key_tests | {label: at_ns}))

    def _add_host_keys(self, host: str, keys: Iterable[DomainKeys]) -> None:
        known = self._load(HostFile, HOST)
        held = {} if known is None else {entry.epoch: entry for entry in known.keys}
        held |= {entry.epoch: to_held(entry) for entry in keys}
        newest_first = tuple(held[epoch] for epoch in sorted(held, reverse=True))
        self._store(HOST, HostFile(host=host, keys=newest_first))

    def _add_index_keys(self, name: str, keys: Iterable[IndexKey]) -> None:
        known = self._load(KeeperFile, KEEPER)
        held = {} if known is None else {(key.domain, key.epoch): key for key in known.index_keys}
        held |= {
            (key.domain, key.epoch): HeldIndexKey(
                domain=key.domain, epoch=key.epoch, key=key.index_key
            )
            for key in keys
        }
        self._store(
            KEEPER, KeeperFile(name=name, index_keys=tuple(held[at] for at in sorted(held)))
        )

    def _load(self, kind: type[F], name: str) -> F | None:
        return _load(kind, self.folder / name)

    def _store(self, name: str, value: HostFile | KeeperFile | KeyTestsFile) -> None:
        write_private(self.folder / name, encode_file(value))

    def _keep_key(self, name: str, seed: Secret, *, label: str) -> None:
        facts = recovery.KeyFacts(
            type=recovery.KeyType.HOST, vault=self.vault_id.hex(), label=label
        )
        # Without a passphrase no salt is drawn.
        text = recovery.write_key_file(seed.reveal(), None, facts, random=bytes)
        write_private(self.folder / name, text.encode())


def make_identity(state_dir: Path, trust: Trust, location: str) -> HostIdentity:
    """Begin to remember a vault on this machine; one that is remembered already is returned.

    Args:
        state_dir: Folder of all identities.
        trust: The vault, believed by whoever calls this.
        location: Where it lies, as its backend says.

    Raises:
        KeyringError: The folder cannot be made, or others may enter it.
        BrokenChainError: This machine remembers other admin keys or a newer policy.
    """
    folder = state_dir / trust.vault_id.hex()
    if _load(PinFile, folder / PIN) is None:
        make_folder(folder)
        _write_pin(folder, trust.vault_id, location, trust.pin)
    known = find_identity(state_dir, trust.vault_id)
    if set(known.pin.admin_keys) != set(trust.vault.admin_keys):
        raise BrokenChainError(
            f"vault {trust.vault_id.hex()[:8]}: other admin keys than this machine remembers",
            hint="Compare the fingerprint with the recovery sheet before going on.",
        )
    return known.advance_pin(trust)


def find_identity(
    state_dir: Path, vault_id: bytes, *, key_paths: KeyPaths | None = None
) -> HostIdentity:
    """Return what this machine keeps of a vault.

    Args:
        state_dir: Folder of all identities.
        vault_id: The vault.
        key_paths: Where signing keys lie when not in the folder.

    Raises:
        KeyringError: It keeps nothing, or its files are damaged or open to others.
    """
    folder = state_dir / vault_id.hex()
    file = _load(PinFile, folder / PIN)
    if file is None:
        raise KeyringError(
            f"this machine knows no vault {vault_id.hex()[:8]} (looked in {state_dir})",
            hint="Give the state folder that it had, or enrol it: `vaultctl host request NAME`.",
        )
    check_folder(folder)
    if file.vault_id != vault_id:
        raise KeyringError(
            f"{folder / PIN}: of vault {file.vault_id.hex()[:8]}, expected {vault_id.hex()[:8]}"
        )
    return HostIdentity(
        folder=folder,
        vault_id=vault_id,
        location=file.location,
        pin=Pin(
            admin_keys=file.admin_keys,
            policy_number=file.policy_number,
            policy_sha256=file.policy_sha256,
        ),
        key_paths=KeyPaths() if key_paths is None else key_paths,
    )


def known_identities(state_dir: Path) -> tuple[HostIdentity, ...]:
    """Return what this machine keeps of every vault that it knows, by vault id.

    Raises:
        KeyringError: As `find_identity`.
    """
    if not state_dir.is_dir():
        return ()
    return tuple(
        find_identity(state_dir, bytes.fromhex(folder.name))
        for folder in sorted(state_dir.iterdir())
        if _FOLDER.fullmatch(folder.name) and (folder / PIN).exists()
    )


def recognise(
    backend: Backend, state_dir: Path, *, key_paths: KeyPaths | None = None
) -> tuple[Trust, HostIdentity | None]:
    """Load a vault's trust against what this machine remembers, and remember what is new.

    Returns:
        The trust, and the machine's identity; ``None`` when the machine meets this vault for the
        first time, so that a person should compare `Trust.fingerprints`.

    Raises:
        BrokenChainError: Another vault lies where this machine knew one, or it was rolled back.
        KeyringError: As `find_identity`.
        VaultNotFoundError: There is no vault.
    """
    vault_id = read_vault(backend).vault_id
    if (state_dir / vault_id.hex() / PIN).exists():
        identity = find_identity(state_dir, vault_id, key_paths=key_paths)
        trust = load_trust(backend, pin=identity.pin)
        return trust, identity.advance_pin(trust)
    for identity in known_identities(state_dir):
        if identity.location == backend.location:
            raise BrokenChainError(
                f"vault at {backend.location}: is {vault_id.hex()[:8]}, "
                f"this machine knew {identity.vault_id.hex()[:8]} there: it was replaced",
                hint=f"If you made a new vault there yourself, remove {identity.folder}.",
            )
    return load_trust(backend, pin=None), None


def _load(kind: type[F], path: Path) -> F | None:
    contents = read_private(path)
    if contents is None:
        return None
    try:
        return decode_file(kind, contents, what=str(path))
    except MalformedObjectError as exc:
        raise KeyringError(
            exc.message, hint="Bring the file back from a copy, or enrol this machine again."
        ) from exc


def _write_pin(folder: Path, vault_id: bytes, location: str, pin: Pin) -> None:
    file = PinFile(
        vault_id=vault_id,
        location=location,
        admin_keys=pin.admin_keys,
        policy_number=pin.policy_number,
        policy_sha256=pin.policy_sha256,
    )
    write_private(folder / PIN, encode_file(file))
