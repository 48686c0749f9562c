"""The whole life of a vault through the real program: make, back up, look, bring back, forget."""

from __future__ import annotations

import filecmp
import os
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.cli import Done, Home, Machine

PART, UNREADABLE = "/proc/sys/vm", "/proc/sys/vm/compact_memory"
"""A folder, and a file in it that may be written and not read, even by root."""


@dataclass(frozen=True)
class Life:
    """Three snapshots of the same store, in the order in which they were made."""

    full: Done
    incremental: Done
    differential: Done

    def id(self, name: str) -> str:
        snapshot_id: str = getattr(self, name).summary["snapshot_id"]
        return snapshot_id


@pytest.fixture(scope="module")
def life(home: Home, data: Path) -> Life:
    full = home.json("backup", data, "--name", "crm", "--tag", "first,keep")
    (data / "etc/hosts").write_text("127.0.0.1 localhost\n10.0.0.1 db\n")
    (data / "new").write_text("new\n")
    incremental = home.json("backup", data, "--name", "crm", "--tag", "second")
    (data / "new").unlink()
    os.utime(data / "etc/käse", (0, 0))
    differential = home.json("backup", data, "--name", "crm", "--kind", "differential")
    return Life(full, incremental, differential)


def test_the_first_backup_is_full_and_reads_everything(life: Life) -> None:
    summary = life.full.summary

    assert ("full", 6, 6, 6) == (
        summary["kind"],
        summary["files_new"],
        summary["files_read"],
        summary["total_files_processed"],
    )
    assert summary["data_added_packed"] > 0
    assert summary["reason"] == "this store has no full snapshot yet"


def test_the_second_is_incremental_and_reads_what_changed(life: Life) -> None:
    summary = life.incremental.summary

    assert ("incremental", 1, 1, 2) == (
        summary["kind"],
        summary["files_new"],
        summary["files_changed"],
        summary["files_read"],
    )
    assert 5 == summary["files_unmodified"]


def test_a_differential_snapshot_builds_on_the_full_one(life: Life) -> None:
    summary = life.differential.summary

    assert ("differential", life.full.summary["seq"]) == (summary["kind"], summary["base"])


def test_snapshots_are_listed_with_what_the_host_knows(home: Home, life: Life, data: Path) -> None:
    done = home.json("snapshots", "--store", "crm")

    first = done.of_type("snapshot")[0]
    assert {
        "id": life.id("full"),
        "kind": "full",
        "store": "crm",
        "host": "web1",
        "tags": ["first", "keep"],
        "paths": [str(data)],
    }.items() <= first.items()
    assert life.full.summary["total_bytes_processed"] == first["summary"]["total_bytes_processed"]
    assert ["full", "incremental", "differential"] == [
        line["kind"] for line in done.of_type("snapshot")
    ]


def test_the_list_for_people_is_a_table(home: Home, life: Life) -> None:
    done = home.ok("list", "--store", "crm")

    rows = done.text.splitlines()
    assert rows[0].split()[:2] == ["ID", "Time"]
    assert life.id("full")[:8] == rows[2].split()[0]
    assert "first, keep" in rows[2]
    assert done.err.startswith("3 snapshots")


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (("--tag", "keep"), ["full"]),
        (("--tag", "keep,second"), []),
        (("--tag", "keep", "--tag", "second"), ["full", "incremental"]),
        (("--tag", "", "--store", "crm"), ["differential"]),
        (("-H", "web1", "--latest", "1", "-g", "store", "--store", "crm"), ["differential"]),
        (("-H", "db1"), []),
        (("--path", "data", "--latest", "2", "-g", ""), ["incremental", "differential"]),
        (("--at", "1970-01-01"), []),
    ],
)
@pytest.mark.usefixtures("life")
def test_filters_choose_snapshots(home: Home, options: tuple[str, ...], kinds: list[str]) -> None:
    done = home.json("snapshots", *options)

    assert kinds == [line["kind"] for line in done.of_type("snapshot")]


def test_a_backup_without_a_name_is_named_after_its_paths(home: Home, data: Path) -> None:
    summary = home.json("backup", data / "etc", data / "link").summary

    assert f"{data}/etc + {data}/link" == summary["store"]


def test_a_dry_run_stores_nothing_and_says_what_would_be_read(
    home: Home, life: Life, data: Path
) -> None:
    before = sum(1 for _ in home.vault.rglob("*"))

    summary = home.json("backup", "-n", data, "--name", "crm").summary

    assert sum(1 for _ in home.vault.rglob("*")) == before
    assert summary["snapshot_id"] is None
    assert (True, 0, True) == (summary["dry_run"], summary["files_read"], summary["unchanged"])
    assert "nothing was stored" in home.ok("backup", "-n", data, "--name", "other").text
    assert life.full.code == 0


def test_an_unchanged_store_can_be_skipped(home: Home, data: Path) -> None:
    first = home.json("backup", "--skip-if-unchanged", data, "--name", "skip").summary
    again = home.json("backup", "--skip-if-unchanged", data, "--name", "skip").summary
    (data / "grown").write_text("x")
    grown = home.json("backup", "-n", data, "--name", "skip").summary
    (data / "grown").unlink()

    assert first["snapshot_id"]
    assert again["snapshot_id"] is None
    assert (False, 1) == (grown["unchanged"], grown["files_new"])


def test_what_is_excluded_is_not_in_the_snapshot(home: Home, data: Path) -> None:
    patterns = home.folder / "patterns"
    patterns.write_text("# comment\n*.tmp\nnumb*\n")
    paths = home.folder / "paths"
    paths.write_bytes(b"%s/e*\n# nothing\n%s/twin\n" % (os.fsencode(data), os.fsencode(data)))
    (data / "etc/x.tmp").write_text("")

    home.ok(
        *("backup", "--name", "some", "--files-from", paths, "-e", "h?sts"),
        *("--exclude-file", patterns, "--exclude-larger-than", "1M", data / "empty"),
    )
    (data / "etc/x.tmp").unlink()
    done = home.json("ls", "latest", "--store", "some", *home.key)

    names = {Path(line["path"]).name for line in done.of_type("node") if line["type"] == "file"}
    assert {"käse", "twin"} == names


def test_an_incomplete_backup_says_what_is_missing_and_ends_with_code_3(home: Home) -> None:
    done = home.run("backup", PART, "--name", "part")

    assert 3 == done.code
    assert "INCOMPLETE" in done.text
    assert f"{UNREADABLE}: " in done.err

    listed = home.ok("snapshots", "--store", "part")
    assert "full !" in listed.text
    as_json = home.run("backup", PART, "--name", "part", "--json")
    assert 3 == as_json.code
    assert as_json.summary["error_count"] > 0
    assert f'"item": "{UNREADABLE}"' in as_json.err


def test_ls_shows_what_is_in_a_snapshot(home: Home, life: Life, data: Path) -> None:
    done = home.json("ls", "latest~1", "--store", "crm", *home.key)

    nodes = {line["path"]: line for line in done.of_type("node")}
    assert {"type": "symlink", "linktarget": "etc/hosts"}.items() <= nodes[f"{data}/link"].items()
    assert {"type": "file", "size": 32}.items() <= nodes[f"{data}/etc/hosts"].items()
    twisted = nodes[f"{data}/latin\ufffd"]
    assert twisted["path_b64"]
    assert len(nodes) == done.summary["entries"]

    short = home.ok("ls", f"{life.id('full')[:6]}:{data}/etc", *home.key)
    assert [f"{data}/etc", f"{data}/etc/hosts", f"{data}/etc/käse"] == short.text.splitlines()
    long = home.ok("ls", "-l", f"latest:{data}/etc/hosts", "--store", "crm", *home.key)
    assert long.text.startswith("-rw")


@pytest.mark.parametrize("reference", ["latest~2", "web1/1", "web1/0000000001"])
@pytest.mark.usefixtures("life")
def test_references_find_the_same_snapshot(home: Home, life: Life, reference: str) -> None:
    done = home.ok("ls", reference, "--store", "crm", *home.key)

    assert life.id("full")[:8] in done.err


def test_latest_among_several_stores_says_that_there_was_a_choice(home: Home, data: Path) -> None:
    home.ok("backup", data / "etc", "--name", "another")

    anyone = home.ok("ls", "latest", *home.key)
    chosen = home.ok("ls", "latest", "--store", "crm", *home.key)

    assert "another on web1" in anyone.err
    assert "choose with --store" in anyone.err
    assert "choose with" not in chosen.err


def test_any_terminal_can_show_any_name(home: Home, life: Life) -> None:
    narrow = Machine(folder=home.folder, environment={"PYTHONIOENCODING": "ascii"})

    text = narrow.ok("ls", life.id("full"), *home.key).text
    as_json = narrow.json("ls", life.id("full"), *home.key).of_type("node")

    assert "/etc/k\\xe4se" in text
    assert any(line["path"].endswith("/etc/käse") for line in as_json)


def test_find_looks_into_all_snapshots_newest_first(home: Home, life: Life) -> None:
    done = home.json("find", "-i", "NEW", "--store", "crm", *home.key)

    matches = done.of_type("match")
    assert [life.id("incremental")] == [match["snapshot"] for match in matches]
    assert {"matches": 1, "snapshots": 3}.items() <= done.summary.items()
    people = home.ok("find", "hosts", "--snapshot", "latest", "--store", "crm", *home.key)
    assert people.text.splitlines()[1].endswith("/data/etc/hosts")


def test_diff_marks_what_changed(home: Home, life: Life, data: Path) -> None:
    done = home.ok("diff", life.id("full"), life.id("incremental"), *home.key)

    changes = dict(line.split(maxsplit=1)[::-1] for line in done.text.splitlines())
    assert {"M", "+"} == {changes[f"{data}/etc/hosts"], changes[f"{data}/new"]}

    as_json = home.json(
        *("diff", "latest~1", "latest", "--store", "crm", "--no-metadata", *home.key)
    )
    assert {"added": 0, "removed": 1, "changed": 0}.items() <= as_json.summary.items()
    assert [f"{data}/new"] == [line["path"] for line in as_json.of_type("change")]


def test_only_like_is_compared_with_like(home: Home, life: Life) -> None:
    done = home.run("diff", f"{life.id('full')}:/a", f"{life.id('full')}:/b", *home.key)

    assert 2 == done.code
    assert "cannot compare /a with /b" in done.err


def test_dump_writes_the_bytes_of_a_file(home: Home, data: Path) -> None:
    done = home.ok("dump", "latest", f"{data}/numbers", "--store", "crm", *home.key)

    assert (data / "numbers").read_bytes() == done.out
    holes = home.ok("cat", f"latest:{data}/sparse", "--store", "crm", *home.key)
    assert (data / "sparse").read_bytes() == holes.out


def test_dump_writes_a_folder_as_an_archive(home: Home, data: Path) -> None:
    done = home.ok("dump", f"latest:{data}", "--store", "crm", *home.key)

    with tarfile.open(fileobj=BytesIO(done.out)) as archive:
        members = {member.name: member for member in archive}
        sparse = archive.extractfile("sparse")
        assert sparse is not None
        assert (data / "sparse").read_bytes() == sparse.read()
    assert members["link"].linkname == "etc/hosts"
    assert members["twin"].islnk()
    assert "latin\udce9" in members
    assert members["etc/käse"].mtime == 0


def test_dump_into_a_file_leaves_a_file_for_its_owner_only(home: Home, data: Path) -> None:
    target = home.folder / "hosts.copy"
    arguments = ("dump", "latest", f"{data}/etc/hosts", "--store", "crm", "-o", target, *home.key)

    assert 1 == home.json(*arguments).summary["entries"]
    assert ((data / "etc/hosts").read_bytes(), 0o100600) == (
        target.read_bytes(),
        target.stat().st_mode,
    )
    assert 2 == home.run(*arguments).code


def test_a_restore_brings_everything_back(home: Home, life: Life, data: Path) -> None:
    target = home.folder / "restored"

    done = home.json("restore", "latest", "-t", target, "--store", "crm", "--verify", *home.key)

    found = Path(f"{target}{data}")
    compared = filecmp.dircmp(data, found)
    assert ([], [], []) == (compared.left_only, compared.right_only, compared.diff_files)
    assert (data / "sparse").read_bytes() == (found / "sparse").read_bytes()
    assert (found / "sparse").stat().st_blocks < (1 << 20) // 512
    assert (found / "twin").stat().st_nlink == 2
    assert {
        "snapshot_id": life.id("differential"),
        "verified": True,
        "error_count": 0,
    }.items() <= done.summary.items()


def test_a_part_of_a_snapshot_lands_in_the_target_itself(home: Home, data: Path) -> None:
    target = home.folder / "part"

    done = home.ok(
        *("restore", f"latest:{data}/etc", "-t", target, "--store", "crm", "-e", "käse"),
        *home.key,
    )

    assert ["hosts"] == os.listdir(target)
    assert "result   complete" in done.text


def test_a_dry_restore_writes_nothing(home: Home, life: Life) -> None:
    target = home.folder / "dry"
    arguments = ("restore", "latest", "-t", target, "--store", "crm", "-n", *home.key)

    plan = home.json(*arguments).summary

    assert not target.exists()
    assert (True, life.id("differential")) == (plan["dry_run"], plan["snapshot_id"])
    assert plan["create"] == plan["files"] + plan["directories"] + plan["others"]
    assert "nothing was written" in home.ok(*arguments).text


def test_a_restore_in_place_writes_only_what_differs(home: Home, data: Path) -> None:
    target = home.folder / "restored"
    broken = Path(f"{target}{data}/etc/hosts")
    broken.write_text("broken")

    done = home.json(
        *("restore", "latest", "-t", target, "--store", "crm", "--overwrite", "if-changed"),
        *home.key,
    )

    assert (data / "etc/hosts").read_text() == broken.read_text()
    assert 1 == done.summary["files"]


def test_check_without_keys_compares_and_with_keys_opens(home: Home, life: Life) -> None:
    looked = home.json("check").summary
    read = home.json("check", "--read-data").summary
    opened = home.json("check", "--read-data", *home.key).summary

    assert (0, 0, False) == (looked["num_errors"], looked["bytes_read"], looked["contents_opened"])
    assert read["bytes_read"] >= read["pack_bytes"] > 0
    assert opened["contents_opened"]
    assert "all good" in home.ok("check", "--read-data").text
    assert life.full.code == 0


def test_stats_add_up_what_is_stored(home: Home, life: Life) -> None:
    done = home.json("stats", "--store", "crm")

    (store,) = done.of_type("store")
    assert {"name": "web1:crm", "snapshots": 3}.items() <= store.items()
    assert done.summary["all_bytes"] > done.summary["pack_bytes"] > 0
    assert {life.id("full"), life.id("incremental"), life.id("differential")} == {
        one["id"] for one in done.of_type("snapshot")
    }
    assert "web1:crm" in home.ok("stats", "--chains").text
    assert life.id("full")[:8] in home.ok("stats", "--each").text


def test_stats_foretell_what_forgetting_frees(home: Home, life: Life) -> None:
    one = home.json("stats", "--forget", life.id("incremental")).summary
    all_ = home.json("stats", "--forget", "--store", "crm").summary

    assert (1, 3) == (one["snapshots"], all_["snapshots"])
    assert 0 < one["size"] < all_["size"]
    said = home.ok("stats", "--forget", life.id("full"), life.id("incremental")).text
    assert "Forgetting 2 snapshots would free" in said
    assert home.run("stats", "--forget").code != 0


def test_tags_can_be_added_removed_and_set(home: Home, life: Life) -> None:
    first = life.id("full")

    added = home.json("tag", "add", "late,keep", first).of_type("changed")
    removed = home.json("tag", "remove", "first", first).of_type("changed")
    home.ok("tag", "set", "only", first)
    listed = home.json("snapshots", "--tag", "only").of_type("snapshot")
    home.ok("tag", "set", "first,keep", first)

    assert [["first", "keep", "late"]] == [line["tags"] for line in added]
    assert [["keep", "late"]] == [line["tags"] for line in removed]
    assert [first] == [line["id"] for line in listed]


def test_a_forgotten_snapshot_is_gone_from_the_list(home: Home, data: Path) -> None:
    for _ in range(2):
        home.ok("backup", data / "etc", "--name", "forget-me")
    dry = home.json("forget", "latest~1", "--store", "forget-me", "--dry-run")
    assert dry.of_type("forget")[0]["dry_run"]

    home.ok("forget", "latest~1", "--store", "forget-me", "--yes")
    left = home.json("snapshots", "--store", "forget-me").of_type("snapshot")
    last = home.run("forget", "latest", "--store", "forget-me", "--yes")

    assert ["incremental"] == [line["kind"] for line in left]
    assert 2 == last.code
    assert "--even-the-last" in last.err
    home.ok("forget", "--store", "forget-me", "--yes", "--even-the-last")
    assert 0 == home.json("snapshots", "--store", "forget-me").summary["snapshots"]


def test_the_doctor_examines_the_storage(home: Home) -> None:
    done = home.json("doctor")

    findings = {line["name"]: line["ok"] for line in done.of_type("finding")}
    assert findings["put refuses to overwrite"]
    assert 0 == done.summary["serious"]
