"""The record of what set-up has started and changed here: written before it is done, read to take it back."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec

from chaos.basics.files import place
from chaos.basics.untrusted import json_file
from chaos.errors import OrdealError
from chaos.hosts import trusted
from chaos.hosts.lock import locked
from chaos.hosts.places import state_dir


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """What was started and changed. `started` is in clock ticks since boot (proc_pid_stat(5)).

    `packages`: Debian's, with those that they needed. `network`: a Docker network, of an earlier version's set-up.
    `forwarding`: the FORWARD policy and ip_forward before the engine. `cgroup`: where processes were moved to.
    `boot`: the boot that the process, limits and forwarding are of.
    """

    pid: int = 0
    started: int = 0
    boot: str = ""
    packages: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    forwarding: Mapping[str, str] = field(default_factory=dict)
    cgroup: str = ""

    @property
    def runs(self) -> bool:
        """Whether the process runs: the same pid, started at the same tick of the same boot, not a zombie."""
        return self.pid > 0 and self.boot == boot() and start_ticks(self.pid) == self.started

    def of_this_boot(self) -> "MachineRecord":
        """The same without what ended with an earlier boot: the process, limits and forwarding."""
        now = boot()
        return self if self.boot == now else replace(self, boot=now, pid=0, started=0, sysctls={}, forwarding={})


def read() -> MachineRecord:
    """What is on record; an empty record where nothing is.

    Raises OrdealError where the file is damaged, or others could have written it.
    """
    trusted.check(path(), state_dir())
    try:
        kept = MachineRecord(**json_file(path()))
        return msgspec.convert(asdict(kept), MachineRecord)
    except FileNotFoundError:
        return MachineRecord()
    except (ValueError, TypeError) as error:
        raise OrdealError(f"{path()} is damaged ({error}); look what it says, then remove it.") from error


def change(to: Callable[[MachineRecord], MachineRecord]) -> MachineRecord:
    """Make another record of what is on record, and have it on the disk before this returns; returns it."""
    with locked(state_dir() / ".record.lock"):
        changed = to(read())
        place(path(), json.dumps(asdict(changed), indent=1), durable=True)
    return changed


def forget() -> None:
    """All is taken back."""
    path().unlink(missing_ok=True)


def path() -> Path:
    """The file."""
    return state_dir() / "engine.json"


def boot() -> str:
    """This boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot; None where it does not run."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


def this_process() -> str:
    """What tells this process from every other of this boot, as a part of a file's name."""
    return f"{os.getpid()}-{start_ticks(os.getpid())}"


def is_alive(process: str) -> bool:
    """Whether the process that `this_process` names so still runs; False for what names none."""
    pid, _, ticks = process.partition("-")
    return pid.isdecimal() and f"{start_ticks(int(pid))}" == ticks
