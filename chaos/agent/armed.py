"""What this node is to take back by itself: on its own disk before harm is done, each with a deadline.

A deadline is on CLOCK_BOOTTIME, which nobody can turn. After a reboot nobody renews any more: all that is pending is
undone at once.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from chaos.agent.here import ThisNode
from chaos.clusters.agent import protocol
from chaos.errors import OrdealError
from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal, Pending, pending

if TYPE_CHECKING:
    from chaos.harm.base import Fault

LOOK_EVERY_S = 0.1
AGAIN_AFTER_S = 0.5  # an undo that did not come to its end is tried again, until it does
AFTER_START_S = 15.0  # an agent that was started anew in the same boot may still be renewed
JOURNAL = "node.jsonl"
KNOWN_LAPSED = 100


def boot_id() -> str:
    """Of the kernel that runs now."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def now_s() -> float:
    """Seconds since boot, those in which the machine slept among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Kept(msgspec.Struct, frozen=True):
    """What an entry holds: the fault's plan, and the boot in which it was armed."""

    plan: dict[str, Any]
    boot: str


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    fault: str
    plan: msgspec.Struct
    deadline_s: float
    error: str = ""


class Armory:
    """Holds the journal for as long as the agent lives. One thread undoes what nobody renews."""

    def __init__(self, node: str, report: Callable[[str], None]) -> None:
        """Takes up what an agent before it left: raises OrdealError where that can't be read."""
        self._here, self._report = ThisNode(node), report
        self._lock, self._over = threading.RLock(), threading.Event()
        self._entries: dict[int, _Entry] = {}
        self._lapsed: list[int] = []
        left = pending(journals_dir())
        self._journal = Journal(journals_dir() / JOURNAL)
        for each in left:
            self._take_up(each)
        self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
        self._thread.start()

    def arm(self, asked: protocol.Arm) -> int:
        """On disk when this returns. Raises OrdealError where this version has no such fault, its plan can't be read,
        or the disk takes it not.
        """
        plan = msgspec.json.decode(asked.plan, type=dict[str, Any])
        read = _plan(asked.fault, plan)
        with self._lock:
            kept = msgspec.to_builtins(_Kept(plan, boot_id()))
            number = self._journal.planned(asked.fault, self._here.ref, kept)
            self._entries[number] = _Entry(number, asked.fault, read, now_s() + asked.within_s)
        return number

    def renew(self, asked: protocol.Renew) -> None:
        """Of those that it names, what is not being undone yet has so long from now."""
        with self._lock:
            now = now_s()
            for number in asked.entries:
                each = self._entries.get(number)
                if each is not None and each.deadline_s > now:
                    self._entries[number] = replace(each, deadline_s=now + asked.within_s)

    def disarm(self, number: int) -> None:
        """The run has undone it. One that is not armed is no error."""
        with self._lock:
            if self._entries.pop(number, None) is not None:
                self._journal.undone(number)

    def armed(self) -> tuple[protocol.Armed, ...]:
        """All that is armed."""
        with self._lock:
            now = now_s()
            return tuple(
                protocol.Armed(each.number, each.fault, each.deadline_s - now, each.error)
                for each in self._entries.values()
            )

    def lapsed(self) -> tuple[int, ...]:
        """What was undone here because nobody renewed it, in this agent's life."""
        return tuple(self._lapsed)

    def close(self) -> None:
        """Let go of the journal; what is armed stays in it."""
        self._over.set()
        self._thread.join()
        self._journal.close()

    def _take_up(self, left: Pending) -> None:
        try:
            kept = msgspec.convert(left.saved, _Kept)
        except msgspec.ValidationError as error:
            raise OrdealError(f"the entry {left.entry} of {left.path} is none of an agent's ({error})") from error
        deadline_s = now_s() + (AFTER_START_S if kept.boot == boot_id() else 0.0)
        plan = _plan(left.kind, kept.plan)
        self._entries[left.entry] = _Entry(left.entry, left.kind, plan, deadline_s, left.last_error)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            with self._lock:
                now = now_s()
                due = [each for each in self._entries.values() if each.deadline_s <= now]
            for each in sorted(due, key=lambda one: one.number, reverse=True):  # the newest stands on the others
                self._undo(each)
            if due:
                self._over.wait(AGAIN_AFTER_S)

    def _undo(self, entry: _Entry) -> None:
        fault = _faults()[entry.fault]
        try:
            fault.undo(self._here, entry.plan)
            why = "" if fault.undone(self._here, entry.plan) else "it is not undone yet"
        except Exception as error:  # noqa: BLE001  (whatever it is, it is tried again)
            why = str(error) or repr(error)
        if why:
            self._keep_error(entry, why)
            return
        self._report(f"undone by the node itself: {entry.fault}")
        with self._lock:
            if self._entries.pop(entry.number, None) is not None:
                self._lapsed = [*self._lapsed, entry.number][-KNOWN_LAPSED:]
                with suppress(OrdealError):  # a full disk: it is undone once more after a start, which does no harm
                    self._journal.undone(entry.number)

    def _keep_error(self, entry: _Entry, why: str) -> None:
        with self._lock:
            known = self._entries.get(entry.number)
            if known is None or known.error == why:
                return
            self._entries[entry.number] = replace(known, error=why)
            self._report(f"{entry.fault} is not undone by the node itself yet: {why}")
            with suppress(OrdealError):
                self._journal.failed(entry.number, why)


def _faults() -> "dict[str, type[Fault[Any]]]":
    """All there are, by kind. They are loaded when the first one is armed: until then an agent is small."""
    from chaos.harm import load_all  # noqa: PLC0415
    from chaos.harm.base import registered  # noqa: PLC0415

    load_all()
    return registered()


def _plan(fault: str, saved: object) -> msgspec.Struct:
    from chaos.harm.base import plan_type  # noqa: PLC0415  (as in `_faults`)

    cls = _faults().get(fault)
    if cls is None:
        raise OrdealError(f"this agent knows no fault {fault!r}: its image is of another version than the run")
    try:
        read: msgspec.Struct = msgspec.convert(saved, plan_type(cls))
    except msgspec.ValidationError as error:
        raise OrdealError(f"that is no plan of the fault {fault}: {error}") from error
    return read
