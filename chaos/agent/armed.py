"""What this node is to take back by itself: on its own disk before harm is done, each with a deadline.

A deadline is on CLOCK_BOOTTIME, which nobody can turn. After a reboot nobody renews any more: all that is pending is
undone at once.
"""

import secrets
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from chaos.agent.here import NoApiError, ThisNode
from chaos.basics.files import place
from chaos.clusters.agent import protocol
from chaos.errors import OrdealError
from chaos.hosts.places import journals_dir
from chaos.hosts.record import boot as boot_id
from chaos.record.journal import Journal, Pending, pending

if TYPE_CHECKING:
    from chaos.harm.base import Fault

LOOK_EVERY_S = 0.1
AGAIN_AFTER_S = 0.5  # an undo that did not come to its end is tried again, until it does
JOURNAL = "node.jsonl"
KNOWN_LAPSED = 100
DEADLINE = "deadline"  # a file in memory: the last deadline that the run has given, on CLOCK_BOOTTIME


def now_s() -> float:
    """Seconds since boot, those in which the machine slept among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Kept(msgspec.Struct, frozen=True):
    """What an entry of the journal holds: the fault's plan, the boot in which it was armed, and its own deadline."""

    plan: dict[str, Any]
    boot: str
    deadline_s: float
    number: int


@dataclass(slots=True)
class _Entry:
    """`in_journal`: its number there, which a later entry may have again; its own number no other one ever has."""

    number: int
    in_journal: int
    fault: str
    plan: msgspec.Struct
    deadline_s: float
    error: str = ""
    is_being_undone: bool = False


class Armory:
    """Holds the journal for as long as the agent lives. One thread undoes what nobody renews."""

    def __init__(
        self, node: str, memory: Path, report: Callable[[str], None], capabilities: Collection[str] = ()
    ) -> None:
        """Takes up what an agent before it left; what of it can't be read is told, and left. Raises OrdealError.

        `memory`: a folder that a reboot empties. `capabilities`: those that there are, as capabilities(7) names them;
        none are named where all of root's are.
        """
        self._capabilities = frozenset(capabilities)
        self._here, self._memory, self._report = ThisNode(node), memory, report
        self._changed, self._over = threading.Condition(threading.RLock()), threading.Event()
        self._entries: dict[int, _Entry] = {}
        self._lapsed: list[int] = []
        self._closed = False
        memory.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = pending(journals_dir())
        self._journal = Journal(journals_dir() / JOURNAL)
        for each in reversed(left):
            try:
                self._take_up(each)
            except OrdealError as error:
                self._report(str(error))
        self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
        self._thread.start()

    def arm(self, asked: protocol.Arm) -> int:
        """On disk when this returns. Raises OrdealError where this version has no such fault, its plan can't be read, a
        capability that it uses is not there, the disk takes it not, or the agent is about to leave.
        """
        try:
            plan = msgspec.json.decode(asked.plan, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise OrdealError(f"that is no plan of the fault {asked.fault}: {error}") from error
        read = _plan(asked.fault, plan)
        if lacking := self._lacking(asked.fault):
            raise OrdealError(
                f"{asked.fault} is not done: it uses {', '.join(lacking)}, which the agent's unit has not, since the "
                "guard did not allow it when the agent was put there: begin a run anew"
            )
        with self._changed:
            if self._closed:
                raise OrdealError("the agent is leaving its node")
            # What is being undone may be the same file: nothing new is done under its hands.
            self._changed.wait_for(lambda: not any(each.is_being_undone for each in self._entries.values()))
            deadline_s = now_s() + asked.within_s
            number = secrets.randbits(48)
            kept = msgspec.to_builtins(_Kept(plan, boot_id(), deadline_s, number))
            in_journal = self._journal.planned(asked.fault, self._here.ref, kept)
            self._entries[number] = _Entry(number, in_journal, asked.fault, read, deadline_s)
        return number

    def renew(self, asked: protocol.Renew) -> tuple[int, ...]:
        """Of those that it names, what is not being undone yet has so long from now. Returns the others."""
        with self._changed:
            now = now_s()
            for number in asked.entries:
                each = self._entries.get(number)
                if each is not None and not each.is_being_undone and each.deadline_s > now:
                    each.deadline_s = now + asked.within_s
            lapsed = tuple(each for each in asked.entries if not self._is_held(each, now))
        with suppress(OSError):  # then a start in between gives less time
            place(self._memory / DEADLINE, f"{now + asked.within_s}")
        return lapsed

    def disarm(self, number: int) -> None:
        """The run has undone it. One that is not armed is no error. Waits for an undo that has begun here.

        Raises OrdealError where the disk does not take it: it is armed still.
        """
        with self._changed:
            self._changed.wait_for(lambda: number not in self._entries or not self._entries[number].is_being_undone)
            found = self._entries.get(number)
            if found is not None:
                self._journal.undone(found.in_journal)
                del self._entries[number]

    def armed(self) -> tuple[protocol.ArmedEntry, ...]:
        """All that is armed."""
        with self._changed:
            now = now_s()
            return tuple(
                protocol.ArmedEntry(each.number, each.fault, each.deadline_s - now, each.error)
                for each in self._entries.values()
            )

    def lapsed(self) -> tuple[int, ...]:
        """What was undone here because nobody renewed it, in this agent's life."""
        with self._changed:
            return tuple(self._lapsed)

    def close_if_empty(self) -> bool:
        """Arm nothing more, where nothing is armed; whether that is so."""
        with self._changed:
            self._closed = self._closed or not self._entries
            return self._closed

    def close(self) -> None:
        """Let go of the journal; what is armed stays in it."""
        self._over.set()
        self._thread.join()
        self._journal.close()

    def _lacking(self, fault: str) -> list[str]:
        from chaos.harm.uses import Uses, uses_of  # noqa: PLC0415  (as in `_faults`)

        used = {str(each) for each in (uses_of(_faults()[fault]) or Uses()).capabilities}
        return sorted(used - self._capabilities) if self._capabilities else []

    def _is_held(self, number: int, now: float) -> bool:
        found = self._entries.get(number)
        return found is not None and not found.is_being_undone and found.deadline_s > now

    def _take_up(self, left: Pending) -> None:
        try:
            kept = msgspec.convert(left.saved, _Kept)
        except msgspec.ValidationError as error:
            raise OrdealError(f"the entry {left.entry} of {left.path} is none of an agent's ({error})") from error
        deadline_s = max(kept.deadline_s, self._renewed_until()) if kept.boot == boot_id() else 0.0
        number, plan = kept.number, _plan(left.kind, kept.plan)
        self._entries[number] = _Entry(number, left.entry, left.kind, plan, deadline_s, left.last_error)

    def _renewed_until(self) -> float:
        try:
            return float((self._memory / DEADLINE).read_text())
        except (OSError, ValueError):
            return 0.0

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            with self._changed:
                now = now_s()
                due = [each for each in self._entries.values() if each.deadline_s <= now]
            for each in sorted(due, key=lambda one: one.in_journal, reverse=True):  # the newest stands on the others
                self._undo(each)
            if due:
                self._over.wait(AGAIN_AFTER_S)

    def _undo(self, entry: _Entry) -> None:
        with self._changed:
            if entry.number not in self._entries:
                return
            entry.is_being_undone = True
        try:
            why = self._tried(entry)
            with self._changed:
                if not why:
                    del self._entries[entry.number]
                    self._lapsed = [*self._lapsed, entry.number][-KNOWN_LAPSED:]
                    with suppress(OrdealError):  # a full disk: it is undone once more after a start, which does no harm
                        self._journal.undone(entry.in_journal)
                    self._report(f"undone by the node itself: {entry.fault}")
                elif why != entry.error:
                    entry.error = why
                    self._report(f"{entry.fault} is not undone by the node itself yet: {why}")
                    with suppress(OrdealError):
                        self._journal.failed(entry.in_journal, why)
        finally:
            with self._changed:
                entry.is_being_undone = False
                self._changed.notify_all()

    def _tried(self, entry: _Entry) -> str:
        """Why it is not undone, in words; "" where it is, as far as the node can. What needs the API comes last in an
        undo (chaos.harm.base.Fault), and is left to `kube-ordeal undo`, whose journal is where the run was.
        """
        try:
            fault = _faults()[entry.fault]
            with suppress(NoApiError):
                fault.undo(self._here, entry.plan)
            with suppress(NoApiError):
                return "" if fault.undone(self._here, entry.plan) else "it is not undone yet"
        except Exception as error:  # noqa: BLE001  (whatever it is, it is tried again)
            return str(error) or repr(error)
        return ""


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
