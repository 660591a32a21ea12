"""What a node takes back by itself: what nobody renews, also after a restart, a reboot and a kill; and nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chaos.agent import armed
from chaos.agent.armed import Armory
from chaos.agent.here import ThisNode
from chaos.basics.waiting import eventually
from chaos.clusters.agent import protocol
from chaos.errors import OrdealError
from chaos.harm import base
from chaos.harm.uses import Capability, Uses
from chaos.hosts.places import journals_dir
from chaos.hosts.record import boot as boot_id
from chaos.record.journal import Journal, Pending, Saved
from chaos.record.journal import _pending_in as pending_in
from tests.agent.made_up import LONG_S, WITHIN_S, InFolder, harm, undone_in

ROOT = Path(__file__).parents[2]


class Clock:
    """It stands until a test turns it."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(armed, "now_s", lambda: made.now)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the harm is, of a fault that an agent knows; its journal is elsewhere."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setitem(base._REGISTRY, InFolder.kind, InFolder)
    monkeypatch.setattr(armed, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(armed, "AGAIN_AFTER_S", 0.01)
    made = tmp_path / "harm"
    made.mkdir()
    return made


@pytest.fixture
def reported() -> list[str]:
    return []


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """What a reboot empties."""
    made = tmp_path / "memory"
    made.mkdir()
    return made


@pytest.fixture
def starts(folder: Path, memory: Path, clock: Clock, reported: list[str]) -> Iterator[Callable[[], Armory]]:
    """Start an agent's armory, after the one before it has ended."""
    made = list[Armory]()

    def start() -> Armory:
        if made:
            made.pop().close()
        made.append(Armory("w1", memory, reported.append))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def node(starts: Callable[[], Armory]) -> Armory:
    return starts()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("unit", "is_done"), [((), True), (("CAP_NET_ADMIN",), True), (("CAP_SYS_ADMIN",), False)])
def test_what_uses_a_capability_that_the_unit_has_not_is_refused_before_it_is_on_disk(
    folder: Path, memory: Path, unit: tuple[str, ...], is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InFolder, "uses", Uses(capabilities=(Capability.NET_ADMIN,)), raising=False)
    armory = Armory("w1", memory, lambda _: None, unit)
    try:
        if is_done:
            armory.arm(harm(folder, 1))
        else:
            with pytest.raises(OrdealError, match=r"^made-up-in-folder is not done: it uses CAP_NET_ADMIN, which the"):
                armory.arm(harm(folder, 1))
        assert len(pending_now()) == len(armory.armed()) == is_done
    finally:
        armory.close()


def pending_now() -> list[Pending]:
    path = journals_dir() / armed.JOURNAL
    return pending_in(path) if path.exists() else []


def left() -> list[Any]:
    """The numbers of the harms that are in the journal."""
    plans: list[Any] = [each.saved["plan"] for each in pending_now()]
    return [each["number"] for each in plans]


def errors() -> list[str]:
    return [each.last_error for each in pending_now()]


def wait_until_lapsed(node: Armory, *entries: int) -> None:
    eventually(lambda: node.lapsed() == entries, within_s=LONG_S, what=f"{entries} to lapse", every_s=0.01)


def wait_until_told(node: Armory, why: str) -> None:
    eventually(lambda: [e.error for e in node.armed()] == [why], within_s=LONG_S, what=why, every_s=0.01)


# --- deadlines


def test_what_nobody_renews_is_undone(node: Armory, folder: Path, clock: Clock, reported: list[str]) -> None:
    number = node.arm(harm(folder, 7))
    assert node.armed() == (protocol.ArmedEntry(number, InFolder.kind, WITHIN_S),)
    assert left() == [7], "on disk before it is done"
    clock.now += WITHIN_S
    wait_until_lapsed(node, number)
    assert undone_in(folder) == [7]
    assert node.armed() == ()
    eventually(lambda: not left(), within_s=LONG_S, what="the journal to say so")
    assert reported == [f"undone by the node itself: {InFolder.kind}"]


def test_what_is_renewed_stays_and_what_is_not_named_lapses(node: Armory, folder: Path, clock: Clock) -> None:
    """The newest would be undone first."""
    forgotten, renewed = node.arm(harm(folder, 1)), node.arm(harm(folder, 2))
    clock.now += WITHIN_S - 1
    assert node.renew(protocol.Renew(WITHIN_S, (renewed, 99))) == (99,)
    clock.now += 1
    wait_until_lapsed(node, forgotten)
    assert node.armed() == (protocol.ArmedEntry(renewed, InFolder.kind, WITHIN_S - 1),)
    assert undone_in(folder) == [1]
    assert node.renew(protocol.Renew(WITHIN_S, (forgotten, renewed))) == (forgotten,)


def test_the_newest_is_undone_first(node: Armory, folder: Path, clock: Clock) -> None:
    numbers = [node.arm(harm(folder, number, WITHIN_S - number)) for number in range(4)]
    clock.now += WITHIN_S
    wait_until_lapsed(node, *reversed(numbers))
    assert undone_in(folder) == [3, 2, 1, 0]


def test_what_is_disarmed_is_never_undone(node: Armory, folder: Path, clock: Clock) -> None:
    late, early = node.arm(harm(folder, 1)), node.arm(harm(folder, 2))
    node.disarm(early)
    node.disarm(early)
    assert [each.entry for each in node.armed()] == [late]
    assert left() == [1]
    clock.now += WITHIN_S
    wait_until_lapsed(node, late)
    assert undone_in(folder) == [1]


def test_a_number_that_is_not_armed_is_no_error(node: Armory) -> None:
    node.disarm(7)
    assert node.renew(protocol.Renew(WITHIN_S, (7,))) == (7,)
    assert (node.armed(), node.lapsed(), left()) == ((), (), [])


# --- an undo that fails


def test_an_undo_that_fails_is_told_and_tried_again(
    node: Armory, folder: Path, clock: Clock, reported: list[str]
) -> None:
    (folder / "broken").write_text("no such device")
    number = node.arm(harm(folder, 1))
    clock.now += WITHIN_S + 2
    wait_until_told(node, "no such device")
    assert node.armed() == (protocol.ArmedEntry(number, InFolder.kind, -2.0, "no such device"),)
    eventually(lambda: errors() == ["no such device"], within_s=LONG_S, what="the journal")
    (folder / "broken").unlink()
    wait_until_lapsed(node, number)
    assert undone_in(folder) == [1]
    assert reported == [
        f"{InFolder.kind} is not undone by the node itself yet: no such device",
        f"undone by the node itself: {InFolder.kind}",
    ], "each once, however often it is tried"


def test_the_reason_of_the_last_try_is_told(node: Armory, folder: Path, clock: Clock) -> None:
    (folder / "broken").write_text("no such device")
    number = node.arm(harm(folder, 1))
    clock.now += WITHIN_S
    wait_until_told(node, "no such device")
    (folder / "unseen").touch()
    (folder / "broken").unlink()
    wait_until_told(node, "it is not undone yet")
    (folder / "unseen").unlink()
    wait_until_lapsed(node, number)


def test_one_that_cannot_be_undone_keeps_no_other_from_it(node: Armory, folder: Path, clock: Clock) -> None:
    other = folder / "other"
    other.mkdir()
    (folder / "broken").write_text("no such device")
    good, broken = node.arm(harm(other, 1)), node.arm(harm(folder, 2))
    clock.now += WITHIN_S
    wait_until_lapsed(node, good)
    assert undone_in(other) == [1]
    assert [each.entry for each in node.armed()] == [broken]


def test_what_only_the_api_server_could_undo_is_left_to_the_run(node: Armory, folder: Path, clock: Clock) -> None:
    (folder / "api").touch()
    number = node.arm(harm(folder, 1))
    clock.now += WITHIN_S
    wait_until_lapsed(node, number)
    assert undone_in(folder) == [1]


def test_what_is_being_undone_is_waited_for(node: Armory, folder: Path, clock: Clock) -> None:
    """What comes next, the end of the harm or new harm of its kind, may be at the same place."""
    os.mkfifo(folder / "slow")
    first = node.arm(harm(folder, 1))
    clock.now += WITHIN_S
    with ThreadPoolExecutor(2) as waits:
        with (folder / "slow").open("wb"):  # when it is open, the undo has begun
            assert node.renew(protocol.Renew(WITHIN_S, (first,))) == (first,)
            disarmed, second = waits.submit(node.disarm, first), waits.submit(node.arm, harm(folder, 2))
            assert not disarmed.done()
            assert not second.done()
        disarmed.result()
        number = second.result()
        assert [each.entry for each in node.armed()] == [number]
    assert node.lapsed() == (first,)


def test_what_is_being_undone_can_not_be_renewed(node: Armory, folder: Path, clock: Clock) -> None:
    """It may be undone in part."""
    (folder / "broken").write_text("no such device")
    number = node.arm(harm(folder, 1))
    clock.now += WITHIN_S
    wait_until_told(node, "no such device")
    assert node.renew(protocol.Renew(WITHIN_S, (number,))) == (number,)
    assert node.armed()[0].left_s == 0
    (folder / "broken").unlink()
    wait_until_lapsed(node, number)


# --- an agent that comes after another one


def by_harm(node: Armory) -> dict[int, protocol.ArmedEntry]:
    """What is armed, the oldest first, by when it was."""
    return dict(enumerate(node.armed(), start=1))


def test_after_a_restart_the_deadline_is_what_it_was(starts: Callable[[], Armory], folder: Path, clock: Clock) -> None:
    node = starts()
    for number in (1, 2):
        node.arm(harm(folder, number, WITHIN_S * number))
    clock.now += WITHIN_S - 1
    node = starts()
    found = by_harm(node)
    assert [each.left_s for each in found.values()] == [1.0, WITHIN_S + 1]
    clock.now += 1
    wait_until_lapsed(node, found[1].entry)
    assert undone_in(folder) == [1]
    assert [each.entry for each in node.armed()] == [found[2].entry]


def test_after_a_restart_what_was_renewed_has_the_time_that_it_was_given(
    starts: Callable[[], Armory], folder: Path, clock: Clock
) -> None:
    node = starts()
    number = node.arm(harm(folder, 1))
    for _ in range(10):
        clock.now += WITHIN_S - 1
        assert node.renew(protocol.Renew(WITHIN_S, (number,))) == ()
    clock.now += 1
    node = starts()
    assert [each.left_s for each in node.armed()] == [WITHIN_S - 1]
    assert undone_in(folder) == []


def test_after_a_reboot_all_is_undone_at_once(
    starts: Callable[[], Armory], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert boot_id()
    node = starts()
    numbers = [node.arm(harm(folder, number)) for number in (1, 2)]
    node.renew(protocol.Renew(WITHIN_S, tuple(numbers)))
    monkeypatch.setattr(armed, "boot_id", lambda: "another one")
    node = starts()
    eventually(lambda: undone_in(folder) == [2, 1] and not node.armed(), within_s=LONG_S, what="both to be undone")
    assert len(node.lapsed()) == 2


def test_what_was_disarmed_or_undone_is_not_taken_up(
    starts: Callable[[], Armory], folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = starts()
    node.disarm(node.arm(harm(folder, 1)))
    number = node.arm(harm(folder, 2))
    clock.now += WITHIN_S
    wait_until_lapsed(node, number)
    monkeypatch.setattr(armed, "boot_id", lambda: "another one")
    node = starts()
    assert (node.armed(), node.lapsed(), undone_in(folder)) == ((), (), [2])


def test_a_number_is_never_another_ones(starts: Callable[[], Armory], folder: Path) -> None:
    """A run that is told nothing of a start disarms by the number that it was given before."""
    node = starts()
    was = node.arm(harm(folder, 1))
    node.disarm(was)
    node = starts()
    node.arm(harm(folder, 2))
    node.disarm(was)
    assert (len(node.armed()), left()) == (1, [2])


def test_what_is_left_when_it_ends_stays_armed_with_the_last_error(
    starts: Callable[[], Armory], folder: Path, clock: Clock
) -> None:
    (folder / "broken").write_text("no such device")
    node = starts()
    node.arm(harm(folder, 1))
    clock.now += WITHIN_S
    eventually(lambda: errors() == ["no such device"], within_s=LONG_S, what="the journal")
    assert [each.error for each in starts().armed()] == ["no such device"]


def test_an_entry_that_was_cut_off_was_never_done(starts: Callable[[], Armory], folder: Path) -> None:
    """And what comes next does not go on in it."""
    node = starts()
    for number in (1, 2):
        node.arm(harm(folder, number))
    node.close()
    path = journals_dir() / armed.JOURNAL
    path.write_bytes(path.read_bytes()[:-10])
    node = starts()
    assert (len(node.armed()), left()) == (1, [1])
    node.arm(harm(folder, 3))
    assert left() == [1, 3]
    assert len(starts().armed()) == 2


def test_what_a_killed_agent_had_armed_is_taken_up(folder: Path, starts: Callable[[], Armory], clock: Clock) -> None:
    argv = [sys.executable, "-m", "tests.agent.made_up", str(folder)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert all(child.stdout.readline().strip().isdecimal() for _ in range(2))
        child.kill()
    assert child.returncode == -signal.SIGKILL
    clock.now = 0.0  # whatever this machine's is, it is later
    node = starts()
    assert (len(node.armed()), left(), undone_in(folder)) == (2, [1, 2], [])


BEFORE: Saved = {"boot": "b", "deadline_s": 1.0, "number": 5}


@pytest.mark.parametrize(
    ("kind", "saved", "told"),
    [
        (
            "there-is-none",
            {"plan": {}, "boot": "b", "deadline_s": 1.0, "number": 5},
            "this agent knows no fault 'there-is-none': ",
        ),
        (
            InFolder.kind,
            {"plan": {"number": 1}, "boot": "b", "deadline_s": 1.0, "number": 5},
            "that is no plan of the fault ",
        ),
        (InFolder.kind, {"number": 1}, "the entry 1 of "),
    ],
)
def test_an_entry_that_cannot_be_read_is_told_and_stays_and_keeps_no_other_from_being_undone(
    starts: Callable[[], Armory], folder: Path, clock: Clock, reported: list[str], kind: str, saved: Saved, told: str
) -> None:
    with Journal(journals_dir() / armed.JOURNAL) as journal:
        journal.planned(kind, ThisNode("w1").ref, saved)
    node = starts()
    assert [each.startswith(told) for each in reported] == [True]
    assert node.armed() == ()
    number = node.arm(harm(folder, 1))
    clock.now += WITHIN_S
    wait_until_lapsed(node, number)
    assert [each.saved for each in pending_now()] == [saved]


# --- what is refused


@pytest.mark.parametrize(
    ("fault", "plan", "sentence"),
    [
        (
            "there-is-none",
            b"{}",
            r"^this agent knows no fault 'there-is-none': its image is of another version than the run$",
        ),
        (
            InFolder.kind,
            b'{"folder": 1, "number": 1}',
            rf"^that is no plan of the fault {InFolder.kind}: Expected `str`, got `int` - at `\$\.folder`$",
        ),
        (
            InFolder.kind,
            b'{"number": 1}',
            rf"^that is no plan of the fault {InFolder.kind}: Object missing required field `folder`$",
        ),
    ],
)
def test_what_could_not_be_undone_here_is_refused(node: Armory, fault: str, plan: bytes, sentence: str) -> None:
    with pytest.raises(OrdealError, match=sentence):
        node.arm(protocol.Arm(fault, plan, WITHIN_S))
    assert (node.armed(), left()) == ((), [])


def test_an_agent_that_leaves_arms_nothing_more_and_one_with_something_armed_does_not_leave(
    node: Armory, folder: Path
) -> None:
    number = node.arm(harm(folder, 1))
    assert not node.close_if_empty()
    node.arm(harm(folder, 2))
    for each in node.armed():
        node.disarm(each.entry)
    assert number not in {each.entry for each in node.armed()}
    assert node.close_if_empty()
    with pytest.raises(OrdealError, match=r"^the agent is leaving its node$"):
        node.arm(harm(folder, 3))
    assert left() == []


WITHOUT_PYTEST = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pytest", "_pytest"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refused())
from chaos.agent.armed import _faults
print(len(_faults()))
"""


def test_an_agent_knows_all_faults_without_what_its_image_has_not() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PYTEST], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:2].isdecimal()) == (0, True), done.stderr
