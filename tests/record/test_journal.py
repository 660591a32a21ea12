"""The journal: what is planned survives a SIGKILL, and only one process at a time may undo it."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.clusters.base import ClusterRef
from chaos.errors import OrdealError
from chaos.record.journal import Journal, Leftovers, TakenError, adopt, left, pending
from chaos.record.journal import _pending_in as pending_in
from tests.moments import Moments

REF = ClusterRef("kind", "ordeal", "/tmp/kubeconfig", "kind-ordeal")

WRITER = """
import sys
from pathlib import Path
from chaos.clusters.base import ClusterRef
from chaos.record.journal import Journal
journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    entry = journal.planned("cut", ClusterRef("kind", "ordeal", "k"), {"number": number, "filler": "x" * 5000})
    print("planned", entry, flush=True)
    if number % 3 == 0:
        journal.undone(entry)
        print("undone", entry, flush=True)
"""


def start_writer(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("time", [1, 2, 3])
def test_a_killed_writer_leaves_every_promise_it_made(tmp_path: Path, moments: Moments, time: int) -> None:
    path = tmp_path / "run.jsonl"
    writer = start_writer(path)
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(moments.number(2, 60))]
    os.kill(writer.pid, signal.SIGKILL)
    said += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    words = [line.split() for line in said if line.endswith("\n")]
    planned = {int(number) for word, number in words if word == "planned"}
    undone = {int(number) for word, number in words if word == "undone"}
    found = {p.entry: p for p in pending(tmp_path)}
    # What was on disk may not have been said yet when the kill came: one entry more, or one more that is undone.
    last = max(planned)
    assert planned - undone - {last} <= set(found)
    assert set(found) <= (planned - undone) | {last + 1}
    assert all(p.saved["number"] == n for n, p in found.items())


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = Journal(path)
    journal.planned("cut", REF, {"node": "a"})
    journal.planned("cut", REF, {"node": "b"})
    journal.close()
    path.write_bytes(path.read_bytes()[:-10])
    assert [p.saved for p in pending(tmp_path)] == [{"node": "a"}]


def test_an_adopted_journal_does_not_go_on_in_a_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = Journal(path)
    entry = journal.planned("cut", REF, {"node": "a"})
    journal.planned("cut", REF, {"node": "b"})
    journal.close()
    path.write_bytes(path.read_bytes()[:-10])
    with adopt(path) as adopted:
        assert adopted is not None
        adopted.failed(entry, "not yet")
        assert [p.last_error for p in pending_in(path)] == ["not yet"]
        adopted.undone(entry)
    assert not path.exists()


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """No file grows beyond that, as on a disk that is full: what still fits of a write is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room_bytes", [0, 1, 20])
def test_an_entry_that_the_disk_takes_only_in_part_is_refused_and_leaves_nothing(
    tmp_path: Path, room_bytes: int
) -> None:
    """A part would pass for a cut line, so for harm that was never done; and the next entry would go on in it."""
    path = tmp_path / "run.jsonl"
    with Journal(path) as journal:
        first = journal.planned("cut", REF, {"node": "a"})
        whole = path.read_bytes()
        with room_for(len(whole) + room_bytes), pytest.raises(OrdealError, match="free the disk"):
            journal.planned("cut", REF, {"node": "b"})
        assert path.read_bytes() == whole
        journal.failed(first, "not yet")
    assert [(p.saved, p.last_error) for p in pending(tmp_path)] == [({"node": "a"}, "not yet")]


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = Journal(path)
    journal.planned("cut", REF, {})
    journal.close()
    path.write_bytes(b"{nonsense\n" + path.read_bytes())
    with pytest.raises(OrdealError, match="damaged at line 1"):
        pending(tmp_path)


def test_a_live_run_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    writer = start_writer(path)
    assert writer.stdout is not None
    writer.stdout.readline()
    try:
        assert left(tmp_path) == Leftovers((), {}, ("run",))
        with adopt(path) as journal:
            assert journal is None
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert pending(tmp_path)


def test_two_in_one_process_do_not_share_a_journal(tmp_path: Path) -> None:
    first = Journal(tmp_path / "run.jsonl")
    with pytest.raises(TakenError, match="belongs to a run that is alive"):
        Journal(tmp_path / "run.jsonl")
    first.close()


def test_pending_is_newest_first_and_knows_the_last_error(tmp_path: Path) -> None:
    with Journal(tmp_path / "run.jsonl") as journal:
        first = journal.planned("cut", REF, {"node": "a"})
        second = journal.planned("power-off", REF, {"node": "b"})
        third = journal.planned("cut", REF, {"node": "c"})
        journal.undone(second)
        journal.failed(first, "docker does not answer")
    found = pending(tmp_path)
    assert [p.entry for p in found] == [third, first]
    assert found[1].last_error == "docker does not answer"
    assert found[0].cluster == REF


def test_a_journal_with_nothing_pending_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Journal(path) as journal:
        journal.undone(journal.planned("cut", REF, {}))
    assert not path.exists()
    assert pending(tmp_path) == ()


def test_an_adopted_journal_goes_on_counting_and_is_removed_when_all_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Journal(path) as journal:
        entry = journal.planned("cut", REF, {})
    with adopt(path) as adopted:
        assert adopted is not None
        with adopt(path) as second:
            assert second is None
        adopted.undone(entry)
    assert not path.exists()
    with adopt(path) as gone:
        assert gone is None


def test_a_journal_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OrdealError, match="so no fault is injected"):
        Journal(tmp_path / "file" / "run.jsonl")
