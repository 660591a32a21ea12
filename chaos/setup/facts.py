"""What the machine has and lacks for the incidents, as plain facts, and how they are read. Nothing is changed here."""

import importlib.metadata
import os
import platform
import resource
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import Requirement

from chaos.basics.progress import Report, silent
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
    image_rootfs,
    kubectl,
    packages,
    pins,
    preparations,
    registry,
    workload_images,
    workload_recipes,
)
from chaos.hosts.bundles import CONTROL_PLANE, KUBERNETES
from chaos.hosts.disk import GIB, Disk
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
REST, KUBECTL = "kubectl and what runs on nodes", "kubectl, which its node image has"


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


# --- looking


def look(
    versions: tuple[str, ...],
    target: Target = Target.ALL,
    *,
    workloads: bool = False,
    kind_image: str = "",
    report: Report = silent,
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


def _look_at_engine(running: engine.Engine, wanted: Sequence[str], report: Report) -> EngineFacts:
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
    image_is_built = target.kind and to_build and not image_rootfs.has_rootfs()
    return CACHE_NEED_NODE_IMAGE_BYTES if image_is_built else CACHE_NEED_BUILT_BYTES


def _look_at_version(version: str, running: engine.Engine | None, given: str) -> Kubernetes:
    control_plane, rest = (binaries.built(each, version) is not None for each in (CONTROL_PLANE, KUBERNETES))
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
    return tuple(n for n in workload_recipes.names() if running is None or not workload_images.there(running, n))


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
        return [pins.toolchain(KUBERNETES, version) for version in versions][-1]
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
