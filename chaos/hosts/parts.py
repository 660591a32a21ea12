"""Programs and parts of the kernel that replays on kind use on this machine, and whether they are there.

Each is tried, not looked up: a program may be there and its kernel's part not. What is tried is done in a network
namespace that ends with it, so nothing of this machine changes.
"""

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, run

TRY_TIMEOUT_S = 20.0
_TRIED_ADDRESS = "192.0.2.1"  # for documentation (RFC 5737): no packet has it


@dataclass(frozen=True, slots=True)
class Part:
    """What is needed, the programs of it with Debian's package of each, and what says why it lacks ("" where not).

    `mend`: what a person can do where no package is missing.
    """

    name: str
    packages: tuple[tuple[str, str], ...]
    try_it: Callable[[], str]
    mend: str

    def lacking_packages(self) -> tuple[str, ...]:
        """Debian's packages of its programs that are not installed."""
        return tuple(package for program, package in self.packages if shutil.which(program) is None)

    def lacks(self) -> str:
        """Why it can't be used here, in words; "" where it can."""
        return _lacks(self)


@cache  # nothing of it changes while replays go on
def _lacks(part: Part) -> str:
    absent = [program for program, _ in part.packages if shutil.which(program) is None]
    if absent:
        return f"there is no {' and no '.join(absent)} in PATH"
    return part.try_it()


def lacking_packages() -> tuple[str, ...]:
    """Debian's packages that the programs of all parts lack."""
    return tuple(dict.fromkeys(package for part in PARTS for package in part.lacking_packages()))


def check(*parts: Part) -> None:
    """Raises OrdealError that names the first of the parts that lacks, and why."""
    for part in parts:
        if why := part.lacks():
            raise OrdealError(f"{part.name} is not possible on this machine: {why}; {part.mend}.")


def _is_root() -> str:
    return "" if os.geteuid() == 0 else "this user is not root"


def _apart(*commands: str) -> Callable[[], str]:
    """Shell commands in a network namespace of their own, one after the other: what the first that fails says."""

    def try_it() -> str:
        if os.geteuid() != 0:
            return ""  # can't be told, and is told by ROOT
        script = "\n".join(commands)
        return _failure(["unshare", "--net", "sh", "-ec", script])

    return try_it


def _own_file_systems() -> str:
    """mkfs.ext4 runs, the kernel has ext4, and a loop device is free that is one."""
    if os.geteuid() != 0:
        return ""
    if broken := _failure(["mkfs.ext4", "-V"]):
        return broken
    known = Path("/proc/filesystems").read_text().split()
    if "ext4" not in known and _failure(["modprobe", "--dry-run", "ext4"]):
        return "the kernel has no ext4"
    try:
        device = run(["losetup", "--find"], timeout_s=TRY_TIMEOUT_S).out.strip()
        is_one = stat.S_ISBLK(Path(device).stat().st_mode)
    except (CommandError, OSError):
        return "there is no loop device to be had"
    return "" if is_one else f"{device} is no loop device"


def _failure(argv: list[str]) -> str:
    try:
        said = run(argv, timeout_s=TRY_TIMEOUT_S, check=False, env={"LC_ALL": "C"})
    except CommandError as error:
        return str(error).splitlines()[0]
    if said.code == 0:
        return ""
    words = said.err.strip() or said.out.strip() or f"`{' '.join(argv)}` ended with {said.code}"
    return words.splitlines()[0]


_DEVICE = "ip link set dev lo up"
ROOT = Part("root", (), _is_root, "run it as root (sudo)")
NODE_NETWORKS = Part(
    "entering a node's network",
    (("nsenter", "util-linux"), ("unshare", "util-linux"), ("ip", "iproute2"), ("ss", "iproute2")),
    _apart(_DEVICE, "nsenter --net=/proc/self/ns/net -- ip -json link", "ss -Hltn"),
    "allow this user to make network namespaces",
)
FIREWALL = Part(
    "cutting nodes off",
    (("iptables", "iptables"), ("ip6tables", "iptables")),
    _apart(
        "iptables -w 5 -N KUBE-ORDEAL",
        f"iptables -w 5 -A KUBE-ORDEAL -s {_TRIED_ADDRESS} -j DROP",
        "[ ! -e /proc/net/if_inet6 ] || ip6tables -w 5 -N KUBE-ORDEAL",
    ),
    "load the kernel's part of iptables (ip_tables, or nf_tables)",
)
LOSS = Part(
    "losing packets",
    (("iptables", "iptables"),),
    _apart(
        "iptables -w 5 -t mangle -A PREROUTING -i lo -m statistic --mode random --probability 0.5 -j DROP",
    ),
    "load the kernel module xt_statistic",
)
THROTTLING = Part(
    "throttling a link",
    (("tc", "iproute2"),),
    _apart(
        _DEVICE,
        "tc qdisc add dev lo root handle 1: htb",
        "tc class add dev lo parent 1: classid 1:1 htb rate 8mbit",
        "tc qdisc add dev lo parent 1:1 bfifo limit 131072",
        f"tc filter add dev lo parent 1: protocol ip prio 1 u32 match ip dst {_TRIED_ADDRESS} flowid 1:1",
    ),
    "load the kernel modules sch_htb and cls_u32",
)
OWN_FILE_SYSTEMS = Part(
    "file systems of a node's own",
    (("mkfs.ext4", "e2fsprogs"), ("losetup", "mount"), ("mount", "mount"), ("umount", "mount")),
    _own_file_systems,
    "load the kernel module loop, or give this machine loop devices",
)
PARTS = (ROOT, NODE_NETWORKS, FIREWALL, LOSS, THROTTLING, OWN_FILE_SYSTEMS)
