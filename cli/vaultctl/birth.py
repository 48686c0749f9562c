"""Making a vault: keys first, into the kit; then the vault; then this machine's own part."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from vaultctl import sheets
from vaultctl.context import App
from vaultctl.kit import KitFile, check_kit, write_kit
from vaultctl.text import quoted
from vaultd.core.errors import ConfigError
from vaultd.vault.ceremony import Created, RecoveryPlan, VaultPlan, create_vault, keep_created
from vaultd.vault.identity import known_identities
from vaultd.vault.sheets import FILE, WORDS, PersonalKey, key_file_of, sheet_of
from vaultd.vault.trust import Trust
from vaultd.wiring.keys import KeyType, Secret
from vaultd.wiring.storage import open_backend
from vaultd.wiring.system import system_random

PAPER, SECOND = "paper", "file"
"""Labels of the two recovery keys."""

_PRINT = "Print it, put the paper into a safe, then delete the file."
_COPY = "The same as text, to write down by hand where there is no printer; then delete it."
_CARRY = "Carry it to another place (USB stick, password store). It needs the passphrase."
_ADMIN = "Lets machines and keys in, and shuts them out. Keep it with the other key file."


class InitRequest(Struct, frozen=True, kw_only=True):
    """What vault to make.

    Attributes:
        location: Where.
        label: Its name for people.
        host: Name of this machine in it.
        domain: Domain of this machine.
        kit: Folder for the keys; ``None`` chooses one by the vault's id.
        single_key: No second recovery key.
        discard_unfinished: Delete what a ceremony that broke off left there.
    """

    location: str
    label: str
    host: str
    domain: str
    kit: Path | None
    single_key: bool
    discard_unfinished: bool


class Born(Struct, frozen=True, kw_only=True):
    """A new vault.

    Attributes:
        created: The vault and its keys.
        kit: Folder of its keys.
        files: What is in it.
        state: What this machine keeps of it.
        asked: The location as it was asked for.
    """

    created: Created
    kit: Path
    files: tuple[KitFile, ...]
    state: Path
    asked: str

    @property
    def vault_id(self) -> str:
        """The vault's id, hex."""
        return self.created.trust.vault_id.hex()


def make_vault(app: App, request: InitRequest, ask_passphrase: Callable[[], Secret]) -> Born:
    """Make a vault and its kit, and make this machine its first host.

    The passphrase is asked for before anything is made, and the kit is written before the vault:
    whatever breaks off, there is never a vault without keys.

    Args:
        app: The run.
        request: What to make.
        ask_passphrase: Gives the passphrase for key files.

    Raises:
        ConfigError: The kit cannot be written, or a name cannot be used.
        ObjectExistsError: There is a vault, or something else.
    """
    if request.kit is not None:
        check_kit(request.kit)
    plan = VaultPlan(
        label=request.label,
        host=request.host,
        domain=request.domain,
        recovery=_recovery(request),
        single_key_accepted=request.single_key,
    )
    settings = app.settings
    # Nothing is more annoying than a refusal after a passphrase was typed twice.
    _check_state(settings.state_dir)
    passphrase = ask_passphrase()
    kept: list[tuple[Path, tuple[KitFile, ...]]] = []

    def keep(created: Created) -> None:
        folder = request.kit or Path(f"vaultd-kit-{created.trust.vault_id.hex()[:8]}")
        check_kit(folder)
        files = _kit_files(created, passphrase)
        write_kit(folder, files)
        kept.append((folder.absolute(), files))
        keep_created(created, settings.state_dir)

    with open_backend(request.location, settings, app.progress, create=True) as backend:
        created = create_vault(
            backend,
            plan,
            random=system_random,
            clock=app.clock,
            keep=keep,
            discard_unfinished=request.discard_unfinished,
        )
    (kit, files), *_ = kept
    state = settings.state_dir / created.trust.vault_id.hex()
    return Born(created=created, kit=kit, files=files, state=state, asked=request.location)


def _recovery(request: InitRequest) -> tuple[RecoveryPlan, ...]:
    paper = RecoveryPlan(label=PAPER, form=WORDS)
    return (paper,) if request.single_key else (paper, RecoveryPlan(label=SECOND, form=FILE))


def _check_state(state_dir: Path) -> None:
    known_identities(state_dir)
    if state_dir.exists() and not state_dir.is_dir():
        raise ConfigError(f"state folder {state_dir}: is no folder")


def personal_files(
    key: PersonalKey, trust: Trust, location: str, passphrase: Secret | None
) -> list[KitFile]:
    """Return what a kit holds of one key.

    Args:
        key: The key.
        trust: The vault that it belongs to.
        location: Where the vault lies.
        passphrase: For key files; ``None`` when there are none.
    """
    name = str(key.type) if str(key.type) == key.label else f"{key.type}-{_safe(key.label)}"
    files = []
    if key.form != FILE:
        sheet = sheet_of(key, trust.vault, location)
        files += [
            KitFile(name=f"{name}-sheet.html", text=sheets.as_html(sheet), advice=_PRINT),
            KitFile(name=f"{name}-sheet.txt", text=sheets.as_text(sheet), advice=_COPY),
        ]
    is_admin = key.type is KeyType.ADMIN
    if passphrase is not None and (key.form == FILE or is_admin):
        text = key_file_of(key, trust.vault, passphrase, system_random)
        files.append(KitFile(name=f"{name}.key", text=text, advice=_ADMIN if is_admin else _CARRY))
    return files


def _kit_files(created: Created, passphrase: Secret) -> tuple[KitFile, ...]:
    files: list[KitFile] = []
    for key in created.keys:
        files += personal_files(key, created.trust, created.location, passphrase)
    return (KitFile(name="README.txt", text=_readme(created, files), advice=""), *files)


def _safe(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:60].strip(".-") or "key"


def _readme(created: Created, files: list[KitFile]) -> str:
    vault = created.trust.vault
    listed = "\n".join(f"  {file.name}\n      {file.advice}" for file in files)
    return f"""Keys of vault {vault.label!r}, id {vault.vault_id.hex()}
at {created.location}

{listed}

Each recovery key alone opens every backup. Without any of them nobody can open one: keep them at
two places, away from the machine that is backed up. Try each of them now, and twice a year:

  vaultctl key test -r {quoted(created.location)} --recovery-key-file FILE
"""
