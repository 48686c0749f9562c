from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.vault.making import Made, make, seeded
from vaultd.core.errors import (
    BrokenChainError,
    ConfigError,
    CorruptObjectError,
    IntegrityError,
    KeyringError,
    MalformedObjectError,
)
from vaultd.core.snapshot import SessionId
from vaultd.crypto import recipients, signing
from vaultd.format.codec import encode
from vaultd.format.machine import (
    GRANT,
    REQUEST,
    GrantBody,
    GrantSecrets,
    armor,
    unarmor,
)
from vaultd.format.signed import decode_signed
from vaultd.vault import contexts, layout
from vaultd.vault.admission import enrol_here, enrol_host, enrol_keeper, read_request
from vaultd.vault.ceremony import keep_created
from vaultd.vault.changes import revoke_host, rotate_domain
from vaultd.vault.enrolment import (
    KEEPER,
    PENDING,
    Applicant,
    accept_grant,
    request_enrolment,
)
from vaultd.vault.identity import HostIdentity, KeyPaths, find_identity, make_identity
from vaultd.vault.private import write_private
from vaultd.vault.trust import sign_object

DB1 = Applicant(name="db1")
WEB2 = Applicant(name="web2", domain="web1")
HOUSE = Applicant(name="house", role=KEEPER)


@dataclass(frozen=True)
class Machine:
    """Another machine, with a state folder of its own."""

    made: Made
    state_dir: Path
    seed: int = 7

    @property
    def identity(self) -> HostIdentity:
        return make_identity(self.state_dir, self.made.trust, "elsewhere")

    def ask(self, applicant: Applicant, *, seed: int | None = None) -> str:
        return request_enrolment(
            self.identity, applicant, random=seeded(seed or self.seed), clock=self.made.clock
        )

    def accept(self, text: str) -> HostIdentity:
        return accept_grant(self.made.backend, self.identity, text)

    def enrol(self, applicant: Applicant, *, seed: int | None = None) -> HostIdentity:
        request = read_request(self.ask(applicant, seed=seed))
        made = self.made
        return self.accept(enrol_host(made.admin, request, made.unlocked()).grant)


@pytest.fixture
def made() -> Made:
    return make()


@pytest.fixture
def machine(made: Made, tmp_path: Path) -> Machine:
    return Machine(made, tmp_path / "other")


def test_a_host_with_a_domain_of_its_own_needs_no_recovery_key(
    made: Made, machine: Machine
) -> None:
    request = read_request(machine.ask(DB1))
    enrolled = enrol_host(made.admin, request, None)
    identity = machine.accept(enrolled.grant)
    keys = identity.host_keys()
    assert ("db1", "db1") == (keys.host, keys.current.domain)
    assert enrolled.new_keys == keys.current
    assert [keys.signer.public] == made.trust.host_keys("db1", 1)
    assert keys.current == made.unlocked().newest("db1")
    assert made.trust.pin == identity.pin


def test_a_host_in_a_known_domain_gets_its_keys_by_a_recovery_key(
    made: Made, machine: Machine
) -> None:
    request = read_request(machine.ask(WEB2))
    with pytest.raises(KeyringError, match="only a recovery key"):
        enrol_host(made.admin, request, None)
    enrolled = enrol_host(made.admin, request, made.unlocked())
    assert enrolled.new_keys is None
    keys = machine.accept(enrolled.grant).host_keys()
    assert made.created.domain_keys == keys.current
    assert "web1" == made.trust.host_domain("web2")


def test_a_host_gets_every_epoch_of_its_domain(made: Made, machine: Machine) -> None:
    newest = rotate_domain(made.admin, made.created.domain_keys)
    keys = machine.enrol(WEB2).host_keys()
    assert (newest, (made.created.domain_keys,)) == (keys.current, keys.past)


def test_texts_show_no_secret_and_travel_in_mail(made: Made, machine: Machine) -> None:
    text = f"Dear admin,\r\n\r\n{machine.ask(WEB2)}\r\nregards\r\n".replace("\n", "\r\n")
    enrolled = enrol_host(made.admin, read_request(text), made.unlocked())
    machine.accept(f"> here it is\n{enrolled.grant}bye")
    keys = made.created.domain_keys
    for raw in (unarmor(REQUEST, text), unarmor(GRANT, enrolled.grant)):
        for secret in (keys.chunk_id_key, keys.index_key, keys.chunker_key):
            assert secret not in raw


def test_the_fingerprint_of_a_request_is_that_of_the_machines_key(machine: Machine) -> None:
    request = read_request(machine.ask(WEB2))
    public = machine.enrol(WEB2, seed=machine.seed).host_keys().signer.public
    assert signing.fingerprint(public) == request.fingerprint


def test_a_changed_or_cut_request_is_refused(machine: Machine) -> None:
    raw = unarmor(REQUEST, machine.ask(WEB2))
    for at in range(0, len(raw), 61):
        flipped = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        for wrong in (flipped, raw[:at]):
            with pytest.raises(IntegrityError):
                read_request(armor(REQUEST, wrong))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing here",
        "-----BEGIN VAULTD ENROLMENT REQUEST-----\nAAAA\n",
        "-----BEGIN VAULTD ENROLMENT REQUEST-----\n?\n-----END VAULTD ENROLMENT REQUEST-----\n",
        "x" * (1 << 20),
    ],
)
def test_a_text_without_a_request_is_refused(text: str) -> None:
    with pytest.raises(MalformedObjectError):
        read_request(text)


def test_a_request_for_another_vault_is_refused(machine: Machine) -> None:
    with pytest.raises(KeyringError, match="for vault"):
        enrol_host(make(seed=2).admin, read_request(machine.ask(DB1)), None)


def test_a_request_for_another_role_is_refused(made: Made, machine: Machine) -> None:
    with pytest.raises(KeyringError, match="expected a host"):
        enrol_host(made.admin, read_request(machine.ask(HOUSE)), None)
    with pytest.raises(KeyringError, match="expected a keeper"):
        enrol_keeper(made.admin, read_request(machine.ask(DB1)), made.unlocked())


def test_an_enrolment_that_broke_off_before_the_policy_starts_a_new_epoch(
    made: Made, machine: Machine
) -> None:
    made.backend.put(layout.bundle("db1", 1), b"half")
    assert 2 == machine.enrol(DB1).host_keys().current.epoch


def test_a_grant_is_accepted_once(made: Made, machine: Machine) -> None:
    grant = enrol_host(made.admin, read_request(machine.ask(DB1)), None).grant
    machine.accept(grant)
    with pytest.raises(KeyringError, match="no enrolment request"):
        machine.accept(grant)


def test_a_grant_for_an_older_request_is_refused(made: Made, machine: Machine) -> None:
    grant = enrol_host(made.admin, read_request(machine.ask(DB1)), None).grant
    machine.ask(DB1, seed=8)
    with pytest.raises(KeyringError, match="another request"):
        machine.accept(grant)


def test_a_grant_that_a_stranger_signed_is_refused(made: Made, machine: Machine) -> None:
    grant = enrol_host(made.admin, read_request(machine.ask(DB1)), None).grant
    body, _ = decode_signed(GRANT, unarmor(GRANT, grant), what="grant")
    forged = sign_object(GRANT, body, signing.Signer(b"s" * 32))
    with pytest.raises(CorruptObjectError):
        machine.accept(armor(GRANT, forged))


def test_a_grant_newer_than_the_vault_shows_is_refused(made: Made, machine: Machine) -> None:
    grant = enrol_host(made.admin, read_request(machine.ask(DB1)), None).grant
    made.backend.delete(layout.policy(2))
    with pytest.raises(BrokenChainError, match="the vault shows 1"):
        machine.accept(grant)


def test_a_vault_that_shows_another_policy_than_the_admin_saw_is_refused(
    made: Made, machine: Machine
) -> None:
    grant = enrol_host(made.admin, read_request(machine.ask(DB1)), None).grant
    made.backend.delete(layout.policy(2))
    made.clock.sleep(5)
    made.admin.put_policy()
    with pytest.raises(BrokenChainError, match="the admin saw another"):
        machine.accept(grant)


def test_a_host_whose_key_was_ended_meanwhile_is_told(made: Made, machine: Machine) -> None:
    grant = enrol_host(made.admin, read_request(machine.ask(DB1)), None).grant
    revoke_host(made.admin, "db1", last_seq=4)
    with pytest.raises(KeyringError, match="does not name this machine's key"):
        machine.accept(grant)


def test_a_grant_without_keys_is_refused(made: Made, machine: Machine) -> None:
    request = read_request(machine.ask(DB1))
    enrol_host(made.admin, request, None)
    trust = made.trust
    empty = GrantBody(
        vault_id=trust.vault_id,
        request=request.sha256,
        role="host",
        name="db1",
        policy_number=trust.policy.number,
        policy_sha256=trust.policy_sha256,
        created_ns=0,
        sealed=recipients.seal(
            request.body.answer_key,
            encode(GrantSecrets(domains=(), index_keys=())),
            contexts.grant_info(trust.vault_id, request.sha256),
        ),
    )
    with pytest.raises(CorruptObjectError, match="holds no keys"):
        machine.accept(armor(GRANT, sign_object(GRANT, empty, made.signer)))


def test_a_host_renews_its_keys_after_a_rotation(made: Made, machine: Machine) -> None:
    before = machine.enrol(WEB2).host_keys()
    newest = rotate_domain(made.admin, made.created.domain_keys)
    number = made.trust.policy.number
    after = machine.enrol(WEB2, seed=9).host_keys()
    assert before.signer.public == after.signer.public
    assert newest == after.current
    assert number == made.trust.policy.number


def test_renewing_never_copies_a_key_that_lies_elsewhere(
    made: Made, machine: Machine, tmp_path: Path
) -> None:
    folder = machine.enrol(WEB2).folder
    credential = tmp_path / "credential"
    (folder / "host.key").rename(credential)
    identity = find_identity(
        machine.state_dir, made.trust.vault_id, key_paths=KeyPaths(host=credential)
    )
    text = request_enrolment(identity, WEB2, random=seeded(3), clock=made.clock)
    assert identity.signing_seed("host").reveal() not in (folder / PENDING).read_bytes()
    grant = enrol_host(made.admin, read_request(text), made.unlocked()).grant
    accept_grant(made.backend, identity, grant)
    assert ["host.json", "pin.json"] == sorted(path.name for path in folder.iterdir())


def test_a_machine_set_up_anew_gets_its_key_replaced_only_when_told(
    made: Made, machine: Machine, tmp_path: Path
) -> None:
    old = machine.enrol(WEB2).host_keys().signer.public
    for name in (
        layout.intent(SessionId(host="web2", seq=3)),
        layout.outcome(SessionId(host="web2", seq=2)),
        "sess/web2/notes",
    ):
        made.backend.put(name, b"x")
    anew = Machine(made, tmp_path / "anew", seed=11)
    request = read_request(anew.ask(WEB2))
    with pytest.raises(KeyringError, match="enrolled already"):
        enrol_host(made.admin, request, made.unlocked())
    grant = enrol_host(made.admin, request, made.unlocked(), replace_key=True).grant
    new = anew.accept(grant).host_keys().signer.public
    assert [[old], [new]] == [made.trust.host_keys("web2", seq) for seq in (3, 4)]


def test_a_key_that_was_ended_is_not_enrolled_again(made: Made, machine: Machine) -> None:
    machine.enrol(WEB2)
    revoke_host(made.admin, "web2", last_seq=3)
    with pytest.raises(KeyringError, match="its key was ended"):
        machine.enrol(WEB2, seed=12)


def test_a_host_never_changes_its_domain(made: Made, machine: Machine, tmp_path: Path) -> None:
    machine.enrol(WEB2)
    anew = Machine(made, tmp_path / "anew", seed=11)
    with pytest.raises(KeyringError, match="never changes"):
        anew.enrol(Applicant(name="web2", domain="db1"))


def test_two_hosts_do_not_share_a_key(made: Made, machine: Machine, tmp_path: Path) -> None:
    machine.enrol(WEB2)
    other = Machine(made, tmp_path / "clone", seed=machine.seed)
    with pytest.raises(KeyringError, match="that of another host"):
        other.enrol(Applicant(name="web3", domain="web1"))


def test_a_machine_is_one_host_of_a_vault(machine: Machine) -> None:
    machine.enrol(WEB2)
    with pytest.raises(KeyringError, match="is host 'web2'"):
        machine.ask(DB1)


def test_a_recovery_key_that_misses_the_newest_epoch_cannot_enrol(
    made: Made, machine: Machine
) -> None:
    old = made.unlocked()
    rotate_domain(made.admin, made.created.domain_keys)
    with pytest.raises(KeyringError, match="does not open epoch 2"):
        enrol_host(made.admin, read_request(machine.ask(WEB2)), old)


def test_a_keeper_gets_the_index_keys_of_all_domains(made: Made, machine: Machine) -> None:
    Machine(made, machine.state_dir / "db1").enrol(DB1)
    request = read_request(machine.ask(HOUSE))
    enrolled = enrol_keeper(made.admin, request, made.unlocked())
    keys = machine.accept(enrolled.grant).keeper_keys()
    assert ["db1", "web1"] == [entry.domain for entry in keys.index_keys]
    assert made.created.domain_keys.index_key == keys.index_key("web1", 1)
    assert [keys.signer.public] == made.trust.keeper_keys("house")


def test_a_keeper_learns_of_new_domains_by_asking_again(made: Made, machine: Machine) -> None:
    machine.accept(
        enrol_keeper(made.admin, read_request(machine.ask(HOUSE)), made.unlocked()).grant
    )
    Machine(made, machine.state_dir / "db1").enrol(DB1)
    again = enrol_keeper(made.admin, read_request(machine.ask(HOUSE)), made.unlocked())
    keys = machine.accept(again.grant).keeper_keys()
    assert 2 == len(keys.index_keys)
    assert 1 == len(made.trust.keeper_keys("house"))


def test_two_keepers_do_not_share_a_name(made: Made, machine: Machine, tmp_path: Path) -> None:
    enrol_keeper(made.admin, read_request(machine.ask(HOUSE)), made.unlocked())
    other = Machine(made, tmp_path / "second", seed=13)
    with pytest.raises(KeyringError, match="another key"):
        enrol_keeper(made.admin, read_request(other.ask(HOUSE)), made.unlocked())


def test_the_admins_own_machine_is_enrolled_in_one_step(made: Made, tmp_path: Path) -> None:
    identity = make_identity(tmp_path, made.trust, made.backend.location)
    trust, identity = enrol_here(made.admin, identity, DB1, None)
    assert "db1" == identity.host_keys().host
    assert made.trust == trust
    with pytest.raises(KeyringError, match="only a recovery key"):
        enrol_here(made.admin, identity, HOUSE, None)
    _, identity = enrol_here(made.admin, identity, HOUSE, made.unlocked())
    assert 2 == len(identity.keeper_keys().index_keys)


def test_a_lost_host_comes_back_under_its_name_in_one_step(made: Made, tmp_path: Path) -> None:
    first = make_identity(tmp_path / "first", made.trust, made.backend.location)
    enrol_here(made.admin, first, DB1, None)
    again = make_identity(tmp_path / "again", made.trust, made.backend.location)
    with pytest.raises(KeyringError, match="enrolled already"):
        enrol_here(made.admin, again, DB1, made.unlocked())
    _, again = enrol_here(made.admin, again, DB1, made.unlocked(), replace_key=True)
    assert "db1" == again.host_keys().host
    assert again.host_keys().signer.public == made.trust.host_keys("db1", 1)[0]


def test_the_keeper_on_the_admins_machine_learns_of_a_new_domain(
    made: Made, tmp_path: Path
) -> None:
    identity = keep_created(made.created, tmp_path)
    (identity.folder / "host.json").unlink()
    _, identity = enrol_here(made.admin, identity, DB1, None)
    assert ["db1", "web1"] == [key.domain for key in identity.keeper_keys().index_keys]


def test_a_damaged_note_of_a_request_is_told(made: Made, machine: Machine) -> None:
    grant = enrol_host(made.admin, read_request(machine.ask(DB1)), None).grant
    write_private(machine.identity.folder / PENDING, b"{}")
    with pytest.raises(MalformedObjectError, match="pending"):
        machine.accept(grant)


@pytest.mark.parametrize(
    ("name", "role", "domain"), [("DB1", "host", ""), ("db1", "host", "a b"), ("", KEEPER, "")]
)
def test_names_that_object_names_cannot_hold_are_refused(name: str, role: str, domain: str) -> None:
    with pytest.raises(ConfigError):
        Applicant(name=name, role=role, domain=domain)
