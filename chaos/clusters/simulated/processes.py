"""The processes of a simulated cluster: started so that they outlive us, ended only when they are surely ours.

A process is known by its pid and the kernel's start time of it, and by a mark in its environment. The mark is there
from the first instant and is inherited, so that also what was started in the moment of a crash is found.
"""

import os
import re
import select
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.hosts import trusted
from chaos.hosts.command import PRIVATE_UMASK, run
from chaos.hosts.places import state_path

MARK = "KUBE_ORDEAL_SIMULATED_CLUSTER"  # the value is the cluster's directory
START_WITHIN_S = 30.0
KILL_WITHIN_S = 10.0

# Writes down who it is (one line of /proc/PID/stat), then becomes the program: pid and start time stay the same, so
# the record is on disk before the program's first instruction.
_BECOME = (
    "record=$1 log=$2; shift 2; read -r stat < /proc/$$/stat; "
    'echo "$stat" > "$record.new"; mv "$record.new" "$record"; exec "$@" >> "$log" 2>&1 < /dev/null'
)


@dataclass(frozen=True, slots=True)
class OwnProcess:
    """A process of ours: its pid, and its start time in clock ticks since boot (/proc/PID/stat, field 22)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "OwnProcess | None":
        """The process that has this pid now; None where none has."""
        fields = _stat(pid)
        return None if fields is None else cls(fields.pid, fields.started)

    def state(self) -> str:
        """What the kernel says of it: "running", "stopped" (by a signal) or "gone"."""
        fields = _stat(self.pid)
        if fields is None or fields.started != self.started or fields.state in "ZX":
            return "gone"
        return "stopped" if fields.state in "Tt" else "running"

    def send(self, number: signal.Signals) -> bool:
        """Signal this very process, never one that got its pid later; False where it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if self.state() == "gone":  # asked while the handle is open: from here on the pid can't mean another
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


def start(
    record: Path, argv: Sequence[str], *, log: Path, cwd: Path, mark: str, env: Mapping[str, str] | None = None
) -> OwnProcess:
    """Start a program in a session of its own; `record` holds its pid and start time before it runs.

    It is no child of ours: it goes on when we end, and leaves no zombie. Raises CommandError where it can't start.
    """
    record.unlink(missing_ok=True)
    run(
        ["setsid", "--fork", "sh", "-c", _BECOME, "sh", str(record), str(log), *argv],
        timeout_s=START_WITHIN_S,
        cwd=cwd,
        env={**(env or {}), MARK: mark},
        umask=PRIVATE_UMASK,
    )
    eventually(record.exists, within_s=START_WITHIN_S, what=f"{argv[0]} to start", every_s=0.01)
    process = read(record)
    if process is None:
        raise OrdealError(f"{record} does not name a process; is the disk full?")
    return process


def read(record: Path) -> OwnProcess | None:
    """The process that a record names, alive or not; None where there is no record.

    Raises OrdealError where others could have written it: what it names is ended.
    """
    trusted.check(record, state_path())
    try:
        fields = _parse(_line(record))
    except FileNotFoundError:
        return None
    return None if fields is None else OwnProcess(fields.pid, fields.started)


def adopt(record: Path, pid: int, *, mark: str) -> bool:
    """Write down a process that another program of ours started; False where it is gone, or is none of ours."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        line = stat.read_text()
        ours = _carries(pid, mark)
    except (FileNotFoundError, ProcessLookupError):
        ours = False
    record.write_text(line if ours else f"{pid} () X" + " 0" * 20)
    return ours


def marked(mark: str) -> tuple[OwnProcess, ...]:
    """Every live process that carries the mark, however it was started."""
    found = []
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        fields = _stat(pid)  # before its environment: a process that takes the pid later has another start time
        if fields is not None and fields.state not in "ZX" and _carries(pid, mark):
            found.append(OwnProcess(fields.pid, fields.started))
    return tuple(found)


def _carries(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or belongs to another user: not ours
        return False


def kill(processes: Iterable[OwnProcess]) -> None:
    """End processes without a word (SIGKILL), and wait until they are gone. Raises OrdealError where one stays."""
    handles: list[int] = []
    try:
        for process in processes:
            try:
                handles.append(os.pidfd_open(process.pid))
            except ProcessLookupError:
                continue
            if not process.send(signal.SIGKILL):
                os.close(handles.pop())
        end = time.monotonic() + KILL_WITHIN_S
        for handle in handles:
            ready, _, _ = select.select([handle], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise OrdealError(f"a process was killed and is still there after {KILL_WITHIN_S:g} s; see `dmesg`")
    finally:
        for handle in handles:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    state: str
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        return _parse(_line(Path(f"/proc/{pid}/stat")))
    except (FileNotFoundError, ProcessLookupError):
        return None


_PID, _TICKS = re.compile(r"[1-9][0-9]{0,8}", re.ASCII), re.compile(r"[0-9]{1,18}", re.ASCII)
_LINE_BYTES = 4096


def _line(path: Path) -> str:
    """A process may give itself any name."""
    with path.open("rb") as file:
        return file.read(_LINE_BYTES).decode(errors="replace")


def _parse(text: str) -> _Stat | None:
    """Of a /proc/PID/stat line; the name, in parentheses, may itself hold spaces and parentheses."""
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    if len(fields) < 20:
        return None
    pid, started = head.split(" ", 1)[0], fields[19]
    if not (_PID.fullmatch(pid) and _TICKS.fullmatch(started)):
        return None
    return _Stat(int(pid), fields[0], int(started))
