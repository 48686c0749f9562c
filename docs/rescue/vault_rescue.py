"""Restore from a vaultd vault with nothing of vaultd: one file, made from vaultd/format/FORMAT.md.

    python vault_rescue.py VAULT --key FILE                  # lists the snapshots
    python vault_rescue.py VAULT --key FILE [--path PREFIX] SNAPSHOT TARGET

VAULT is a folder, or s3://bucket/prefix as boto3 finds it. FILE has the 24 words of a recovery key,
or is its key file (passphrase: asked for, or VAULT_PASSPHRASE). TARGET is empty or new. What fails
is named. Numbers: sections of FORMAT.md. Needs cryptography 50, blake3, msgspec, zstandard; boto3.
"""
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN202, ANN204, D101, D102, D103, PLR2004, PYI024 - short

import argparse
import base64
import getpass
import hashlib
import json
import os
import re
import stat
import struct
import sys
import unicodedata
from collections import namedtuple
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf import argon2, hkdf
from msgspec.msgpack import decode

Bundle = namedtuple("Bundle", "vault_id domain epoch created_ns data meta commitment sealed")
Secrets = namedtuple("Secrets", "data_seed meta_seed chunk_id_key index_key chunker_key")
Root = namedtuple(
    "Root",
    "tag vault_id host seq store_id kind chain base previous started_ns ended_ns log_seen"
    " log_sha256 epoch chunker retain_until_ns software refs label meta bundle",
)
Pack = namedtuple("Pack", "vault_id host seq kind uid suite key_id sealed commitment")
Part = namedtuple("Part", "vault_id host seq number domain epoch uid")
Block = namedtuple("Block", "v path names stats chunks where offsets many extras")
Extra = namedtuple("Extra", "link_target rdev link_group xattrs flags segments changed")
Entry = namedtuple("Entry", "path mode uid gid size mtime_ns where offset content extra")
NONE, LISTED, ONCE, TABLE, problems = 0xFFFFFFFF, 0xFFFFFFFD, bytes(12), ("<32s", "<I", "<I"), []
SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def need(condition, what):
    if not condition:
        raise ValueError(what)


def attempt(what, action, *arguments, **options):
    try:
        return action(*arguments, **options)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one object, others are saved
        problems.append(what)
        print(f"{what}: {type(error).__name__}: {error}", file=sys.stderr)


class Place:
    def __init__(self, place):
        self._bucket, self._top = None, place
        if place.startswith("s3://"):
            name, _, self._top = place.removeprefix("s3://").partition("/")
            self._bucket = import_module("boto3").resource("s3").Bucket(name)

    def get(self, name, offset=0, length=64 << 20):
        path = os.path.join(self._top, name)
        if self._bucket is None:
            with open(path, "rb") as stream:
                return os.pread(stream.fileno(), length, offset)
        part = f"bytes={offset}-{offset + length - 1}"
        return self._bucket.Object(path).get(Range=part)["Body"].read()

    def list(self, prefix):
        top = os.path.join(self._top, prefix)
        if self._bucket is None:
            found = [os.path.join(at, name) for at, _, names in os.walk(top) for name in names]
        else:
            found = [one.key for one in self._bucket.objects.filter(Prefix=top)]
        return sorted(os.path.relpath(path, self._top) for path in found)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def unframe(magic, framed):  # 2.4
    end = 12 + int.from_bytes(framed[8:12], "little")
    need(framed[:8] == magic and end <= len(framed), f"begins with {framed[:8]!r}, or is cut short")
    return framed[12:end], framed[end:]


def verified(magic, kind, signed, keys):  # 3
    body, tail = unframe(magic, signed)
    need(tail and 1 <= tail[0] <= 8 and len(tail) == 1 + 80 * tail[0], "signatures")
    known = {sha256(b"vaultd/1 verify key id\0", key)[:16]: key for key in keys}
    found = [tail[at : at + 80] for at in range(1, len(tail), 80) if tail[at : at + 16] in known]
    need(found, "not signed by a key that may")
    key = ed25519.Ed25519PublicKey.from_public_bytes(known[found[0][:16]])
    key.verify(found[0][16:], f"vaultd/1 {kind}\0".encode() + sha256(body))
    return body


def derive(key, info):  # 2.1
    return hkdf.HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(key)


def context(label, body, rest=b""):  # 2.6
    host = body.host.encode()
    session = body.vault_id + bytes([len(host)]) + host + body.seq.to_bytes(8, "big")
    return f"vaultd/1 {label}".encode() + session + rest


class Identity:  # 2.6
    def __init__(self, seed):
        wide = hashlib.shake_256(seed).digest(96)
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(wide[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(wide[64:])
        self.public = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        self.key_id = sha256(b"vaultd/1 key id\0", self.public)[:16]
        self._key = hpke.MLKEM768X25519PrivateKey(kem, curve)

    def open(self, sealed, info, length=32):
        need(len(sealed) == length + 1136, "sealed bytes of another length")
        return SUITE.decrypt(sealed, self._key, info)


def expand(method, body, raw):  # 6.3
    if method == 1:
        frame, known = zstandard.get_frame_parameters(body), body[:4] == zstandard.FRAME_HEADER
        need(known and frame.content_size == raw <= 8 << 20 and not frame.dict_id, "zstd header")
        opener = zstandard.ZstdDecompressor(max_window_size=8 << 20)
        body = opener.decompress(body, max_output_size=raw, allow_extra_data=False)
    need(method in {0, 1} and len(body) == raw, "unknown method or wrong length")
    return body


def section(key, sealed, aad=b""):  # 2.5
    at, whole, packed = 0, bytearray(), AESGCM(key).decrypt(ONCE, sealed, aad)
    while at < len(packed) and len(whole) <= 64 << 20:
        head, stored = struct.unpack_from("<II", packed, at)
        whole += expand(head >> 24, packed[at + 8 : at + 8 + stored], head & 0xFFFFFF)
        at += 8 + stored
    return decode(whole)


def read_key(text):  # 4.4
    if not text.lstrip().startswith("{"):
        words = re.findall("[a-z]+", text.lower())
        return bytes(import_module("mnemonic").Mnemonic("english").to_entropy(words))
    fields = json.loads(text)
    need(fields["vaultd_key"] == 1 and fields["type"] == "recovery", "not a recovery key")
    sealed, salt = base64.b64decode(fields.pop("sealed")), base64.b64decode(fields["salt"])
    aad = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    typed = os.environ.get("VAULT_PASSPHRASE") or getpass.getpass("passphrase: ")
    cost = {"iterations": fields["passes"], "lanes": 1, "memory_cost": fields["mem_kib"]}
    typed = unicodedata.normalize("NFKC", typed).encode()
    stretched = argon2.Argon2id(salt=salt, length=32, **cost).derive(typed)
    return AESGCM(stretched).decrypt(ONCE, sealed, b"vaultd/1 key file\0" + aad)


class Vault:
    def __init__(self, place, seed, fingerprint):
        self.place, self.me, self.keys, self.identities = place, Identity(seed), {}, {}
        self._cipher, self.chunk = lru_cache(1000)(self._cipher), lru_cache(8)(self.chunk)
        text = json.loads(place.get("vault.json"))  # 4.1
        need(text["vaultd_format"] == 1, f"format {text['vaultd_format']}, expected 1")
        signed = base64.b64decode(text["signed"])
        self.vault_id, _, _, _, self.admins, _ = decode(unframe(b"VLTVALT1", signed)[0])
        verified(b"VLTVALT1", "vault", signed, self.admins)
        ids = [sha256(b"vaultd/1 verify key id\0", key)[:16] for key in self.admins]
        shown = ["-".join(re.findall("....", base64.b32encode(i).decode()[:20])) for i in ids]
        need(not fingerprint or fingerprint.strip().upper() in shown, f"admin key is {shown}")
        print("admin key, as on the recovery sheet:", *map(str.lower, shown), file=sys.stderr)
        policies = self._chain("keys/admin/", b"VLTPLCY1", "policy", self.admins)
        self.hosts, keepers = decode(policies[-1][0])[4:6]
        self.keepers = [key for _, key in keepers]
        self.log = self._chain("log/", b"VLTLOGE1", "log", self.keepers)
        events = [decode(body)[5] for body, _ in self.log]
        known = "forget recall pin tag condemn sweep avoid revoke reindex heads checkpoint"
        need({event[0] for event in events} <= {*known.split()}, "the log is of a newer version")
        last = {tuple(event[1:3]): event[0] for event in events if event[0] in "forget recall"}
        self.dead = {session for session in last if last[session] == "forget"}
        for name in reversed(place.list("keys/dom/")):
            attempt(name, lambda name=name: self._open_bundle(place.get(name)))

    def _chain(self, prefix, magic, kind, keys):  # 4.2, 10: numbered, each names the one before
        found = []
        for number, name in enumerate(self.place.list(prefix), 1):
            signed = self.place.get(name)
            body = verified(magic, kind, signed, keys)
            before = found[-1][1] if found else b""
            need(decode(body)[:3] == [self.vault_id, number, before], f"{name}: a gap before it")
            found.append((body, sha256(signed)))
        return found

    def _open_bundle(self, signed):  # 4.3
        bundle = Bundle(*decode(verified(b"VLTDOMN1", "bundle", signed, self.admins)))
        need(bundle.vault_id == self.vault_id, "bundle of another vault")
        at, sealed = (bundle.domain, bundle.epoch), dict(bundle.sealed).get(self.me.key_id)
        if at in self.keys or sealed is None:
            return
        where = bundle.vault_id + bundle.epoch.to_bytes(4, "big") + bundle.domain.encode()
        encoded = self.me.open(sealed, b"vaultd/1 domain" + where, 171)
        need(sha256(b"vaultd/1 bundle commit", encoded) == bundle.commitment, "commitment")
        keys = Secrets(*decode(encoded))
        pair = [Identity(keys.data_seed), Identity(keys.meta_seed)]
        need([one.public for one in pair] == list(bundle[4:6]), "seeds of other public keys")
        self.keys[at] = keys
        self.identities |= {one.key_id: one for one in pair}

    def snapshots(self):  # 8.1, oldest first: name, SHA-256, root, refs, tree
        found = [attempt(name, self._snapshot, name) for name in self.place.list("snap/")]
        live = {one[0]: one for one in found if one}
        for name, _, root, *_ in live.values():
            number, digest = root.previous or (0, None)
            before = live.get(f"{root.host}/{number}", (None, None))
            if (root.host, number) not in self.dead and before[1] != digest:
                attempt(name, need, None, f"the snapshot before it, {number}, is gone or replaced")
        return sorted(live.values(), key=lambda one: one[2].started_ns)

    def _snapshot(self, name):  # 5.1, 8.1, 8.2
        _, host, seq = name.split("/")
        signed, at = self.place.get(name), (host, int(seq))
        grants = [g for g in self.hosts if g[0] == host and g[3] <= at[1] <= (g[4] or at[1])]
        signers = [grant[1] for grant in grants]
        tag, *place = decode(verified(b"VLTSNAP1", "outcome", signed, signers + self.keepers))[:4]
        need(place == [self.vault_id, *at], "outcome of another session")
        if tag != "snapshot" or at in self.dead:
            return None
        root = Root(*decode(verified(b"VLTSNAP1", "outcome", signed, signers)))
        seen = self.log[root.log_seen - 1][1] if root.log_seen else b""
        need(root.log_sha256 == seen, "the log is not the one that this snapshot has seen")
        if root.bundle:
            attempt(f"bundle in {name}", self._open_bundle, root.bundle)
        keys = self.keys[grants[0][2], root.epoch]
        refs = section(derive(keys.index_key, context("refs", root)), root.refs)
        meta = Identity(keys.meta_seed).open(root.meta[:1168], context("meta", root))
        return f"{host}/{at[1]}", sha256(signed), root, refs, section(meta, root.meta[1168:])[1]

    def _learn(self, name, digest):  # 7
        need(sha256(whole := self.place.get(name)) == digest, "its SHA-256 is not its name")
        body, sealed = unframe(b"VLTINDX1", whole)
        part = Part(*decode(body))
        info = context("index", part, part.number.to_bytes(4, "big") + part.uid)
        key = derive(self.keys[part.domain, part.epoch].index_key, info)
        for seq, pack, _, _, first, table in section(key, sealed, sha256(whole[: -len(sealed)]))[1]:
            where, at = f"packs/{part.host}/{seq:010d}/{pack.hex()}", first
            ids, *numbers = (struct.iter_unpack(f, c) for f, c in zip(TABLE, table, strict=True))
            for position, ((one,), (stored,), (raw,)) in enumerate(zip(ids, *numbers, strict=True)):
                self._places.setdefault(one, []).append((where, position, at, stored, raw))
                at += stored

    def _cipher(self, name):  # 6.1
        body, rest = unframe(b"VLTPACK1", start := self.place.get(name, 0, 4096))
        pack = Pack(*decode(body))
        need(name.startswith(f"packs/{pack.host}/{pack.seq:010d}/"), "pack of another session")
        info = context("pack", pack, pack.uid + bytes([pack.kind]))
        key = self.identities[pack.key_id].open(pack.sealed, info)
        need(derive(key, b"vaultd/1 commit") == pack.commitment, "commitment")
        return derive(key, b"vaultd/1 enc"), sha256(start[: len(start) - len(rest)])

    def _record(self, chunk_id, name, position, offset, stored, raw):  # 6.2
        key, header = self._cipher(name)
        sealed = self.place.get(name, offset, stored)
        aad = header + struct.pack(">II", position, raw)
        body = AESGCM(key).decrypt(position.to_bytes(12, "big"), sealed, aad)
        chunk = expand(raw >> 24, body, raw & 0xFFFFFF)
        need(blake3(chunk, key=self._chunk_id_key).digest() == chunk_id, "another chunk")
        return chunk

    def chunk(self, chunk_id):  # 6.4: the first good copy
        for place in self._places.get(chunk_id, ()):
            found = attempt(f"{place[0]}, record {place[1]}", self._record, chunk_id, *place)
            if found is not None:
                return found
        raise ValueError(f"chunk {chunk_id.hex()[:8]} is lost")

    def _entries(self, root, refs, tree):  # 8.3
        domain = next(grant[2] for grant in self.hosts if grant[0] == root.host)
        self._chunk_id_key, self._places = self.keys[domain, root.epoch].chunk_id_key, {}
        for seq, digest, _ in refs[5]:
            name = f"index/{root.host}/{seq:010d}/{digest.hex()}"
            attempt(name, self._learn, name, digest)
        for chunk_id, first in tree:
            chunk = attempt(f"tree from {first!r}", self.chunk, chunk_id) or b""
            while chunk:
                end = 4 + int.from_bytes(chunk[:4], "little")
                yield from attempt("directory", list, block_entries(chunk[4:end])) or ()
                chunk = chunk[end:]

    def _write(self, entry, full):  # 8.3: a regular file
        runs = [0, entry.size] if entry.extra.segments is None else entry.extra.segments
        runs = [list(run) for run in zip(runs[::2], runs[1::2], strict=True)]
        extents = [(entry.content, entry.offset, sum(length for _, length in runs))]
        if entry.where >= LISTED:
            packed = b"" if entry.where == NONE else entry.content
            if entry.where == LISTED:
                packed = b"".join(self.chunk(one) for (one,) in struct.iter_unpack("<32s", packed))
            extents = [(one, 0, length) for one, length in struct.iter_unpack("<32sI", packed)]
        with open(os.open(full, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
            for chunk_id, offset, length in extents:
                piece = self.chunk(chunk_id)[offset : offset + length]
                need(len(piece) == length, "a chunk is too short")
                while piece and runs:
                    done = os.pwrite(stream.fileno(), piece[: runs[0][1]], runs[0][0])
                    piece, runs[0] = piece[done:], [runs[0][0] + done, runs[0][1] - done]
                    runs = runs[not runs[0][1] :]
            stream.truncate(entry.size)
        need(not any(length for _, length in runs), "contents are too short")

    def _put(self, entry, full, first):  # an entry in its place, and what it looks like
        group, rdev, parent = entry.extra.link_group, entry.extra.rdev, os.path.dirname(full)
        need(not stat.S_ISLNK(entry.mode) or os.path.realpath(parent) == parent, "led elsewhere")
        if group in first:
            os.link(first[group], full, follow_symlinks=False)
        elif stat.S_ISDIR(entry.mode):
            os.mkdir(full, 0o700)
        else:
            if stat.S_ISREG(entry.mode):
                self._write(entry, full)
            elif stat.S_ISLNK(entry.mode):
                os.symlink(entry.extra.link_target, full)
            else:
                os.mknod(full, entry.mode, os.makedev(rdev >> 32, rdev & 0xFFFFFFFF))
            first |= {group: full} if group else {}
            dress(entry, full)
        return True

    def restore(self, snapshot, target, prefix):
        os.makedirs(target, exist_ok=True)
        need(not os.listdir(target), "the target is not empty")
        first, links, folders = {}, [], []
        for entry in self._entries(*snapshot[2:]):
            full, slashed = os.path.join(target, entry.path), entry.path + b"/"
            if prefix and not (slashed.startswith(prefix + b"/") or prefix.startswith(slashed)):
                continue
            if stat.S_ISLNK(entry.mode):  # last, so that nothing is written through one
                links.append((entry, full))
            elif attempt(full, self._put, entry, full, first) and stat.S_ISDIR(entry.mode):
                folders.append((entry, full))
        for entry, full in links:
            attempt(full, self._put, entry, full, first)
        for entry, full in reversed(folders):
            attempt(full, dress, entry, full)


def block_entries(encoded):  # 8.3: the entries of one directory
    block = Block(*decode(encoded))
    names = block.names.split(b"\0") if block.names else []
    parts = block.path.split(b"/") if block.path else []
    n, bad = len(names), {b"", b".", b".."}
    need(names == sorted(set(names)) and b"/" not in block.names, "names of a directory")
    need(not bad & {*names, *parts} and b"\0" not in block.path, "names that lead elsewhere")
    stats = struct.unpack(f"<{7 * n}q", block.stats)
    columns = (struct.unpack(f"<{n}I", column) for column in (block.where, block.offsets))
    for i, (name, where, offset) in enumerate(zip(names, *columns, strict=True)):
        extra = Extra(*block.extras.get(i, (b"", 0, b"", [], 0, None, False)))
        content = block.many.get(i, block.chunks[32 * where : 32 * where + 32])
        path = b"/".join([*parts, name])
        yield Entry(path, *stats[i : 5 * n : n], where, offset, content, extra)


def dress(entry, full):  # owner, attributes, mode, time: in this order
    if os.geteuid() == 0:
        os.chown(full, entry.uid, entry.gid, follow_symlinks=False)
    for name, value in entry.extra.xattrs:
        attempt(full, os.setxattr, full, name, value, follow_symlinks=False)
    if not stat.S_ISLNK(entry.mode):
        os.chmod(full, stat.S_IMODE(entry.mode))
    os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for option in ("vault", "--key", "--fingerprint", "--path"):
        parser.add_argument(option, default="")
    for name in ("snapshot", "target"):
        parser.add_argument(name, nargs="?")
    given = parser.parse_intermixed_args()
    with open(given.key, encoding="utf-8") as stream:
        vault = Vault(Place(given.vault), read_key(stream.read()), given.fingerprint)
    snapshots = vault.snapshots()
    names = {name: one for one in snapshots for name in (one[0], "latest")}
    for name, _, root, refs, _ in () if given.snapshot else snapshots:
        print(name, datetime.fromtimestamp(root.started_ns // 10**9, UTC), root.kind, refs[1])
    if given.snapshot:
        target, path = os.path.realpath(given.target), given.path.strip("/")
        vault.restore(names[given.snapshot], os.fsencode(target), os.fsencode(path))
    sys.exit(f"{len(problems)} problems" if problems else 0)


if __name__ == "__main__":
    main()
