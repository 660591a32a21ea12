"""What a fault uses of a node beside an ability of its cluster, declared at the fault's class.

    uses: ClassVar[Uses] = Uses(capabilities=(Capability.NET_ADMIN,), tools=("tc",), modules=(("sch_htb",),))

It is for who runs nothing yet: a plan of a run, and the unit of the agent on a node that somebody else made.
"""

from dataclasses import dataclass
from enum import StrEnum


class Capability(StrEnum):
    """Capabilities as capabilities(7), and systemd's CapabilityBoundingSet, have them; what each is needed for here."""

    CHOWN = "CAP_CHOWN"  # to give a file back to whom it belonged
    DAC_OVERRIDE = "CAP_DAC_OVERRIDE"  # to remove what the user of a container wrote
    DAC_READ_SEARCH = "CAP_DAC_READ_SEARCH"  # to look at processes of other users in /proc
    FOWNER = "CAP_FOWNER"  # to set the times of a file of somebody else
    KILL = "CAP_KILL"  # to end a process of another user
    NET_ADMIN = "CAP_NET_ADMIN"  # rules, routes and queueing disciplines
    NET_RAW = "CAP_NET_RAW"  # the socket by which iptables' legacy variant talks to the kernel
    SYS_ADMIN = "CAP_SYS_ADMIN"  # mounts, the hostname
    SYS_PTRACE = "CAP_SYS_PTRACE"  # to read /proc/PID/exe and environ of a process that has more capabilities
    SYS_RESOURCE = "CAP_SYS_RESOURCE"  # prlimit(2) on a process of another user


@dataclass(frozen=True, slots=True)
class Uses:
    """What plan, harm, looks and undo of a fault use.

    `capabilities`: of what it runs on a node as root, beside those that lead there (the namespaces of the node's first
    process). What it lets the node's systemd do needs none: a unit has its own.
    `modules`: of the node's kernel; of each inner tuple one is enough. They may be built in.
    `programs`: of the node itself, beside a POSIX shell, coreutils, grep and sed.
    `tools`: what is brought to the node's network: programs of this machine, or of the agent's image.
    `labels`: whether it makes files on the node that somebody else's process reads or runs, so that under an enforcing
    SELinux their labels decide what becomes of them.
    """

    capabilities: tuple[Capability, ...] = ()
    modules: tuple[tuple[str, ...], ...] = ()
    programs: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    labels: bool = False


def uses_of(fault: type) -> Uses | None:
    """What a fault's class declares; None where it declares nothing, so that nobody knows."""
    found = getattr(fault, "uses", None)
    return found if isinstance(found, Uses) else None
