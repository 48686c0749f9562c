"""One valid value of each struct of the format, to be encoded as it is or with one fault."""

from __future__ import annotations

import stat
from array import array

from vaultd.core.tree import Extra, Listing
from vaultd.format import index, keys, log, machine, pack, session, tree
from vaultd.format.codec import Packed

VAULT_ID = bytes(range(16))
STORE_ID = bytes(range(16, 32))
HASH = bytes(range(32))
KEY = bytes(range(32, 64))
UID = b"u" * 16
PUBLIC = bytes(range(256)) * 4 + bytes(192)
TIME = 1_700_000_000_000_000_000

PACK_HEADER = pack.PackHeader(
    VAULT_ID, "web1", 7, pack.DATA, UID, pack.SUITE, b"k" * 16, bytes(pack.SEALED_KEY_BYTES), HASH
)
FIRST_OFFSET = len(pack.encode_header(PACK_HEADER))
RECORDS = [
    pack.Record(b"a" * 32, 0, FIRST_OFFSET, 116, 0, 100),
    pack.Record(b"b" * 32, 1, FIRST_OFFSET + 116, 66, 1, 4096),
]
TABLE = pack.columns_of(RECORDS)
PART_HEADER = index.PartHeader(VAULT_ID, "web1", 7, 0, "web1", 1, UID)
INDEXED = index.IndexedPack(7, HASH, 65536, pack.DATA, FIRST_OFFSET, TABLE)

VAULT = keys.VaultBody(VAULT_ID, TIME, keys.CHUNKER_GEAR, 16 << 20, (KEY,), "office")
HOST = keys.HostGrant("web1", KEY, "web1", 1, 0)
RECIPIENT = keys.RecipientGrant("paper 1", "words", PUBLIC, TIME, revoked=False)
POLICY = keys.PolicyBody(
    VAULT_ID, 1, b"", TIME, (HOST,), (keys.KeeperGrant("keeper", KEY),), (RECIPIENT,), 14
)
SECRETS = keys.DomainSecrets(KEY, KEY, KEY, KEY, KEY)
BUNDLE = keys.BundleBody(
    VAULT_ID, "web1", 1, TIME, PUBLIC, PUBLIC, HASH, (keys.SealedTo(b"k" * 16, bytes(1307)),)
)

INTENT = session.IntentBody(VAULT_ID, "web1", 7, STORE_ID, TIME, 3, (5, 6), "vaultd 0.1.0")
PREVIOUS = session.Previous(4, HASH)
ROOT = session.RootBody(
    VAULT_ID,
    "web1",
    7,
    STORE_ID,
    "incremental",
    1,
    4,
    PREVIOUS,
    TIME,
    TIME + 1,
    3,
    HASH,
    1,
    keys.CHUNKER_GEAR,
    0,
    "vaultd 0.1.0",
    b"refs",
    b"label",
    b"meta",
    b"",
)
SUPERSEDED = session.SupersededBody(VAULT_ID, "web1", 5, 7)
REVOKED = session.RevokedBody(VAULT_ID, "web1", 6, "keeper", TIME)
PACK_REFS = [session.PackRef(4, HASH, 65536, 0), session.PackRef(7, KEY, 131072, 1)]
PARTS = (session.PartRef(4, HASH, 500), session.PartRef(7, KEY, 600))
COUNTS = session.CountsBody(*range(10))
REFS = session.RefsSection(1, "files", ("daily",), COUNTS, session.pack_columns(PACK_REFS), PARTS)
LABEL = session.LabelSection(1, "web1.example", (b"/srv", b"/etc\xff"), "root")
PROBLEM = session.ProblemBody("denied", b"srv/x", "permission denied")
TREE_CHUNK = session.TreeChunk(HASH, b"")
META = session.MetaSection(1, (TREE_CHUNK,), {0: "root", 33: "www"}, {0: "root"}, b"o", (PROBLEM,))
FORGET = log.ForgetBody("web1", 4, HASH, "older than 30 days")
TAG = log.TagBody("web1", 7, "web1", 1, b"sealed")
LOG_FORGET = log.LogBody(VAULT_ID, 1, b"", "keeper", TIME, FORGET)
LOG_TAG = log.LogBody(VAULT_ID, 2, HASH, "keeper", TIME, TAG)
NAMES = log.name_columns([(4, HASH), (7, KEY)])
NO_NAMES = log.name_columns([])
EVENTS: dict[str, log.Event] = {
    "forget": FORGET,
    "tag": TAG,
    "recall": log.RecallBody("web1", 4, HASH, "forgotten by mistake"),
    "pin": log.PinBody("web1", 4, HASH, pinned=True, reason="end of the year"),
    "condemn": log.CondemnBody("web1", NAMES, NO_NAMES, NO_NAMES),
    "sweep": log.SweepBody(5, log.name_columns([(4, HASH)]), NO_NAMES, NO_NAMES),
    "avoid": log.AvoidBody("web1", "damaged", NAMES),
    "revoke": log.RevokeBody("web1", 6),
    "reindex": log.ReindexBody("web1", HASH, PARTS[1]),
    "heads": log.HeadsBody((log.Head("web1", STORE_ID, 7, HASH, 3),)),
    "checkpoint": log.CheckpointBody(
        (log.Standing(5, HASH),), (log.dead_sessions("web1", [4, 3]),)
    ),
}
"""One event of each kind, by its tag."""

TAG_NAMES = log.TagNames(("keep",), ("daily",))

REQUEST = machine.RequestBody(VAULT_ID, "host", "web2", "web2", KEY, PUBLIC, TIME)
GRANT = machine.GrantBody(VAULT_ID, HASH, "keeper", "keeper2", 2, HASH, TIME, b"sealed")
HELD = machine.HeldKeys("web1", 1, PUBLIC, PUBLIC, KEY, KEY, KEY)
GRANT_SECRETS = machine.GrantSecrets((HELD,), (machine.HeldIndexKey("web1", 1, KEY),))

REGULAR, DIRECTORY, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


def listing(path: bytes, entries: list[tuple[bytes, int, int]], **extras: Extra) -> Listing:
    """Return a listing of (name, mode, size), with extras by name."""
    names = [name for name, _, _ in entries]
    count = len(entries)
    stats = array("q")
    stats.extend(mode for _, mode, _ in entries)
    stats.extend([1000] * count)
    stats.extend([100] * count)
    stats.extend(size for _, _, size in entries)
    stats.extend([TIME] * count)
    stats.extend([TIME + 1] * count)
    stats.extend(range(count))
    return Listing(path, names, stats, {names.index(k.encode()): v for k, v in extras.items()})


MANY = tree.pack_extents([(HASH, 8 << 20), (KEY, 1000)])
SPARSE = Extra(segments=((4096, 100), (8192, 200)))
LISTING = listing(
    b"srv/data",
    [
        (b"big", REGULAR, (8 << 20) + 1000),
        (b"dir", DIRECTORY, 4096),
        (b"empty", REGULAR, 0),
        (b"huge", REGULAR, 1 << 40),
        (b"link", LINK, 6),
        (b"one\xff", REGULAR, 500),
        (b"sparse", REGULAR, 10000),
        (b"two", REGULAR, 24),
    ],
    link=Extra(link_target=b"../etc"),
    sparse=SPARSE,
    two=Extra(
        link_group=b"g" * 16,
        xattrs=((b"user.a", b"1"), (b"user.b", b"")),
        flags=0x10,
        changed=True,
    ),
)
CONTENTS: list[tree.Content] = [
    MANY,
    None,
    None,
    (HASH, KEY),
    None,
    tree.Extent(b"c" * 32, 0, 500),
    tree.Extent(b"d" * 32, 7, 300),
    tree.Extent(b"c" * 32, 500, 24),
]
BLOCK = tree.Block(LISTING, CONTENTS)
"""One of everything: long contents, list chunks, one run in a chunk, holes, a link, a directory."""

EMPTY_BLOCK = tree.Block(Listing(b"", [], array("q")), [])
BLOCK_BODY = tree.decode_body(tree.encode_block(BLOCK)[4:], what="sample")

STRUCTS: dict[str, Packed] = {
    "vault-body": VAULT,
    "policy-body": POLICY,
    "bundle-body": BUNDLE,
    "domain-secrets": SECRETS,
    "intent-body": INTENT,
    "outcome-body": ROOT,
    "log-body": LOG_FORGET,
    "tag-names": TAG_NAMES,
    "refs-section": REFS,
    "label-section": LABEL,
    "meta-section": META,
    "table": TABLE,
    "part-body": index.PartBody(1, (INDEXED,)),
    "block": BLOCK_BODY,
    "request-body": REQUEST,
    "grant-body": GRANT,
    "grant-secrets": GRANT_SECRETS,
}
"""By the kind under which `decoders.DECODERS` knows them."""


def fields_of(value: Packed) -> list[object]:
    """Return a struct as the array that it is encoded as."""
    tag = value.__struct_config__.tag
    return [*([tag] if tag else []), *(getattr(value, name) for name in value.__struct_fields__)]


def changed(value: Packed, **fields: object) -> list[object]:
    """Return a struct as an array, some of its fields replaced by anything."""
    array_form = fields_of(value)
    tagged = bool(value.__struct_config__.tag)
    for name, other in fields.items():
        array_form[tagged + value.__struct_fields__.index(name)] = other
    return array_form
