"""A fault and a cluster that do what a test gives them, and runs with them that are ended in each step."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from chaos.basics.waiting import eventually
from chaos.clusters.base import KIND, ClusterRef
from chaos.clusters.identity import Identity
from chaos.harm.base import inject
from chaos.record.history import History
from chaos.record.journal import JSON, Journal, Pending
from chaos.record.journal import _pending_in as pending_in
from chaos.record.records import FaultStep

REF = ClusterRef(KIND, "ordeal", "/k", "kind-ordeal")


class MadeUp(msgspec.Struct, frozen=True):
    """What is planned."""

    node: str
    it: int


PLAN = MadeUp("w1", 1)
SAVED: dict[str, JSON] = {"node": "w1", "it": 1}  # as the journal has it
SHORT_S = 0.05  # for what never comes: one try
LONG_S = 60.0  # to end a hang


@dataclass
class Target:
    """A cluster that is nothing but what it is."""

    ref: ClusterRef = REF
    now: Identity = field(default_factory=Identity)
    api: Any = None

    def identity(self) -> Identity:
        return self.now


@dataclass
class Harm:
    """Harm that goes well but for the steps that a test gives it, and keeps which steps were taken."""

    does: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    needs: tuple[type, ...] = ()
    taken: list[str] = field(default_factory=list)
    kind: ClassVar[str] = "made-up"

    def step(self, name: str, answer: Any = None) -> Any:
        self.taken.append(name)
        return self.does[name]() if name in self.does else answer

    def plan(self, _: object) -> MadeUp:
        planned: MadeUp = self.step("plan", PLAN)
        return planned

    def apply(self, _: object, saved: MadeUp) -> None:
        assert saved == PLAN
        self.step("apply")

    def landed(self, _: object, saved: MadeUp) -> bool:
        return bool(self.step("landed", answer=True))

    def lasts(self, _: object, saved: MadeUp) -> bool | None:
        return self.does["lasts"]() if "lasts" in self.does else None

    def undo(self, _: object, saved: MadeUp) -> None:
        assert saved == PLAN, "undo works from what was saved"
        self.step("undo")

    def undone(self, _: object, saved: MadeUp) -> bool:
        return bool(self.step("undone", answer=True))


def raises(error: BaseException) -> Callable[[], None]:
    def step() -> None:
        raise error

    return step


def once(step: Callable[[], object], answer: object = None) -> Callable[[], object]:
    """It goes so the first time, and well from then on."""
    left = [step]
    return lambda: left.pop()() if left else answer


def send(*numbers: int) -> Callable[[], bool]:
    """A step that goes well, in the middle of which signals come to this process."""

    def step() -> bool:
        for number in numbers:
            signal.raise_signal(number)
        return True

    return step


@dataclass
class Run:
    """One use of `inject`, and what is to be seen of it afterwards."""

    harm: Harm
    journal: Journal
    cluster: Any = field(default_factory=Target)
    history: History = field(default_factory=History)
    landing_within_s: float = SHORT_S
    undone_within_s: float = SHORT_S
    watched: bool = True
    consent: Callable[..., AbstractContextManager[None]] = lambda *_: nullcontext()

    def __call__(self) -> None:
        harm: Any = self.harm  # what it is of a fault is what `inject` needs
        with inject(
            harm,
            self.cluster,
            self.journal,
            self.history,
            landing_within_s=self.landing_within_s,
            undone_within_s=self.undone_within_s,
            not_landed=lambda: self.harm.step("evidence"),
            watched=self.watched,
            consent=self.consent,
        ) as saved:
            assert saved == PLAN
            self.harm.step("block")

    @property
    def steps(self) -> list[str]:
        return [each.step for each in self.history.of(FaultStep)]

    @property
    def left(self) -> list[Pending]:
        return pending_in(self.journal.path)

    def detail(self, step: str) -> str:
        (found,) = [each.detail for each in self.history.of(FaultStep) if each.step == step]
        return found


# --- runs that are ended


KILLED = {  # the step in which it comes: what the next start finds
    "plan": [],
    "apply": [("made-up", "")],
    "landed": [("made-up", "")],
    "block": [("made-up", "")],
    "undo": [("made-up", "")],
    "undone": [("made-up", "")],
    "a second undo": [("made-up", "")],
}
ENDED = (signal.SIGINT, signal.SIGTERM)


def die_in(step: str, journal: Journal) -> None:
    """A run that is killed in that step."""

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    tries = [die, raises(OSError("not yet"))]

    def next_try() -> None:
        tries.pop()()

    Run(Harm({"undo": next_try} if step == "a second undo" else {step: die}), journal, undone_within_s=LONG_S)()


def wait_in_undo(there: int, journal: Journal) -> None:
    """A run that says when it is in the undo, and stays there until a signal has come."""

    def wait() -> None:
        os.write(there, b"1")
        eventually(lambda: signal.sigpending() & set(ENDED), within_s=LONG_S, what="a signal")

    Run(Harm({"undo": wait}), journal, undone_within_s=LONG_S)()


def end_in_each(folder: Path) -> None:
    """In a process of its own: a child for each end, with a journal of its own; prints how each has ended."""
    for step in KILLED:
        if (child := os.fork()) == 0:
            with Journal(folder / f"{step}.jsonl") as journal:
                die_in(step, journal)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    for number in ENDED:
        sees, there = os.pipe()
        if (child := os.fork()) == 0:
            with Journal(folder / f"{number.name}.jsonl") as journal:
                wait_in_undo(there, journal)
            os._exit(1)
        os.read(sees, 1)
        os.kill(child, number)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    end_in_each(Path(sys.argv[1]))
