"""Getting this machine ready, and taking that back: what is missing is planned, agreed to, and only that is done."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.clusters.base import SIMULATED, ClusterRef
from chaos.clusters.kind.home import all_made_here
from chaos.clusters.way import kubeconfig_files
from chaos.errors import OrdealError
from chaos.hosts import (
    bundles,
    cgroups,
    daemon,
    engine,
    mounts,
    packages,
    preparations,
    record,
    registry,
    workload_build,
    workload_images,
    workload_recipes,
)
from chaos.hosts.places import APP, cache_dir, journals_dir, state_dir
from chaos.hosts.target import Target
from chaos.record.journal import adopt
from chaos.run import pool
from chaos.setup import doctor, facts
from chaos.setup.doctor import Status
from chaos.setup.facts import Kubernetes, Machine
from chaos.setup.steps import Lane, SetupStep, kind_steps, perform, simulated_steps

# The doctor's checks that set-up can't mend where they find something missing.
NOT_MENDED = frozenset(
    {
        "architecture",
        "capabilities",
        "cgroup",
        "disk for node images and nodes",
        doctor.PROGRAMS_DISK,
        "Go",
        "Python packages",
    }
)
SHOWN = 6  # of packages that are removed, beside their number


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """What set-up would do. `machine`: changes to the machine, in words; `cache`: what it would build or pull.

    `later`: what replays would change on the machine when one first needs it. `workloads`: the images of workloads are
    wanted too, which else are had when a replay first needs one. `kind_image`: the user's own node image.
    """

    target: Target
    versions: tuple[str, ...]
    machine: tuple[str, ...]
    cache: tuple[str, ...]
    workloads: bool = False
    later: tuple[str, ...] = ()
    kind_image: str = ""

    @property
    def todo(self) -> tuple[str, ...]:
        """Everything; empty where nothing is missing."""
        return self.machine + self.cache


def plan(
    versions: Sequence[str],
    target: Target,
    *,
    workloads: bool = False,
    kind_image: str = "",
    report: Report = silent,
) -> SetupPlan:
    """What is missing for these Kubernetes versions; `kind_image`: the user's own node image, of the one version.

    Raises OrdealError where set-up could not mend it.
    """
    if kind_image and (len(versions) > 1 or not target.kind):
        raise OrdealError(
            "--kind-image names the nodes of one version: give one --kubernetes, and not --for simulated."
        )
    looked_at = facts.look(tuple(versions), target, workloads=workloads, kind_image=kind_image, report=report)
    return planned(looked_at, target, workloads=workloads, kind_image=kind_image)


def planned(machine: Machine, target: Target, *, workloads: bool = False, kind_image: str = "") -> SetupPlan:
    """The plan for a machine, with the user's node image where one is named.

    Raises OrdealError where it lacks what no set-up can give: disk, root, a capability.
    """
    for check in doctor.judge(machine, target):
        if check.title in NOT_MENDED and check.status is Status.MISSING:
            built = [_why_built(machine, each) for each in machine.kubernetes]
            why = next(filter(None, built), "") if check.title == doctor.PROGRAMS_DISK else ""
            raise OrdealError(f"{check.title}: {check.found}; {check.mend}{why}.")
    if workloads and not target.kind:
        raise OrdealError("images of workloads are for kind clusters: leave --workloads out, or --for simulated.")
    if target.kind:
        _check_kind(machine)
    made = SetupPlan(
        target,
        tuple(each.version for each in machine.kubernetes),
        _machine_changes(machine, workloads=workloads) if target.kind else (),
        _programs(machine, target) + (_images(machine, workloads=workloads) if target.kind else ()),
        workloads,
        _later(machine) if target.kind and not workloads else (),
        kind_image,
    )
    if made.machine and not machine.root:
        raise OrdealError(
            f"set-up would {made.machine[0]}, and that needs root: run it with sudo, or for simulated clusters only: "
            f"{APP} setup --for simulated"
        )
    return made


def carry_out(made: SetupPlan, *, progress: bool = True) -> tuple[str, ...]:
    """Do what is missing, step by step; returns what changed on the machine, in words. Raises OrdealError as `perform`.

    A step that fails or is interrupted leaves nothing half-made behind that the next run would trust.
    """
    before = record.read()
    perform(_steps(made), progress=progress)
    return _changes(before, record.read())


def takes_back() -> tuple[str, ...]:
    """What `take_back` would do, in words; empty where set-up has left nothing running or changed."""
    state = record.read().of_this_boot()
    lines = [f"delete the cluster {ref.name}" for ref in _clusters()]
    if state.network:
        lines.append(f"remove the Docker network {state.network}")
    if state.pid:
        lines.append(f"stop the container engine, process {state.pid}, with all its containers")
    if state.forwarding:
        lines.append("remove the engine's bridges and firewall chains, and set packet forwarding back")
    if daemon.mounted_on_itself():
        lines.append(f"unmount {engine.DATA_ROOT}, which the container engine mounted on itself")
    lines += [f"remove the unreachable route to {route}" for route in state.routes]
    lines += [f"set {name} back to {value}" for name, value in state.sysctls.items()]
    if state.cgroup:
        lines.append(f"move processes back into {state.cgroup}")
    if state.packages and packages.can_install():
        more = f" and {len(state.packages) - SHOWN} more" if len(state.packages) > SHOWN else ""
        lines.append(f"remove packages that it installed: {', '.join(state.packages[:SHOWN])}{more}")
    return tuple(lines)


def take_back(report: Report) -> None:
    """Delete clusters that were kept, stop the engine, take back routes and limits, remove packages.

    Raises OrdealError where a run is going on, or without root, and at the end where a cluster could not be deleted.
    """
    if takes_back() and os.geteuid() != 0:
        raise OrdealError(f"taking back what set-up changed needs root; run `sudo {APP} teardown`.")
    if live := _live_runs():
        raise OrdealError(f"a run is going on ({', '.join(live)}); wait for it, or end it first.")
    failed = []
    for ref in _clusters():
        report(f"deleting the cluster {ref.name}")
        try:
            pool.delete(ref)
        except OrdealError as error:  # the rest is taken back all the same
            failed.append(f"the cluster {ref.name} stays: {error}")
    daemon.stop(report)
    if failed:
        raise OrdealError("\n".join(failed))


def stays() -> tuple[tuple[str, str], ...]:
    """What is there and stays after `take_back`: what it is, and the command that removes it."""
    found = []
    if any(cache_dir().iterdir()):
        found.append((f"the cache {cache_dir()} ({_size(cache_dir())})", f"{APP} teardown --cache"))
    if engine.DATA_ROOT.is_dir():
        found.append((f"node images in {engine.DATA_ROOT} ({_size(engine.DATA_ROOT)})", f"{APP} teardown --cache"))
    if kubeconfig_files.folder().is_dir() and any(kubeconfig_files.folder().iterdir()):
        found.append((f"kubeconfigs that were put together, in {kubeconfig_files.folder()}", f"{APP} teardown --cache"))
    return tuple(found)


def remove_cache(report: Report) -> None:
    """Remove programs, root file systems, kubeconfigs that were put together, and the data of set-up's engine.

    Raises OrdealError where that engine still runs, or something is mounted in a folder that would be removed.
    """
    running = engine.find()
    if running is not None and running.ours:
        raise OrdealError("the container engine still runs on its data; `take_back` comes first.")
    if daemon.runs_on_our_data():  # set up by somebody whose state is kept elsewhere
        raise OrdealError(
            f"a container engine runs on {engine.DATA_ROOT}: stop it first, by the `{APP} teardown` of who started it."
        )
    paths = [path for path in (cache_dir(), engine.DATA_ROOT.parent, kubeconfig_files.folder()) if path.is_dir()]
    for path in paths:
        below = mounts.below(path)
        if below:
            raise OrdealError(f"{below[0]} is mounted, so {path} is not removed: unmount it first.")
    for path in paths:
        report(f"removing {path}")
        shutil.rmtree(path)


# --- planning


def _check_kind(m: Machine) -> None:
    """Raises OrdealError where clusters on kind can't be had here, whatever set-up does."""
    if m.engine is not None and m.engine.unfit:
        raise OrdealError(f"{m.engine.unfit}: {APP} setup --for simulated.")
    if m.engine is None and m.silence is not None and m.silence.taken:
        raise OrdealError(f"{m.silence.why}.")
    if m.engine is None and not doctor.can_start_engine(m):
        lacks = ", ".join(m.engine_packages)
        raise OrdealError(
            f"no container engine answers, and {lacks} can't be installed: this machine has no apt-get; install and "
            f"start Docker, or take simulated clusters: {APP} setup --for simulated."
        )
    to_build = [each for each in m.kubernetes if each.version in doctor.built_here(m)]
    if to_build and not m.debootstrap and not m.apt:
        raise OrdealError(
            f"the node image of Kubernetes {to_build[0].version} can't be pulled{_why_built(m, to_build[0])}, and to "
            f"build it debootstrap is needed, which this machine has no apt-get to install: see to one of the two."
        )


def _machine_changes(m: Machine, *, workloads: bool) -> tuple[str, ...]:
    lines = []
    if wanted := _packages(m, workloads=workloads):
        lines.append(f"install Debian's {', '.join(wanted)}, with what they depend on")
    if m.engine is None:
        lines.append(
            f"start a container engine, its data in {engine.DATA_ROOT}; it adds firewall chains and turns packet "
            f"forwarding on"
        )
        if m.crowded:
            lines.append(f"move this container's processes into a cgroup of their own, {cgroups.ROOT / cgroups.ASIDE}")
    lines += [
        f"raise {name} from {value} to {preparations.SYSCTLS[name]}"
        for name, value in m.inotify.items()
        if value < preparations.SYSCTLS[name]
    ]
    if m.engine is None:
        lines.append("add unreachable routes of the worst metric, so that pod and node traffic stays on this machine")
    else:
        lines += [f"mend this: {each}" for each in m.engine.missing_preparations if not each.startswith("fs.inotify")]
    return tuple(lines)


def _packages(m: Machine, *, workloads: bool) -> tuple[str, ...]:
    """What would be installed now; nothing where this machine has no Debian packages.

    What parts of this machine lack is left out without root: the replays that use them are skipped then anyway.
    """
    if not m.apt:
        return ()
    wanted = [each for part in m.parts for each in part.packages] if m.root else []
    wanted += m.engine_packages if m.engine is None else ()
    if doctor.built_here(m) and not m.debootstrap:
        wanted.append("debootstrap")
    wanted += _builders(m, m.lacking_images) if workloads else ()
    return tuple(dict.fromkeys(wanted))


def _later(m: Machine) -> tuple[str, ...]:
    """What is installed when a replay first needs an image that can't be pulled."""
    now = _packages(m, workloads=False)
    wanted = [each for each in _builders(m, m.lacking_images) if each not in now] if m.apt else []
    return (
        (f"install Debian's {', '.join(wanted)}, to build images of {', '.join(m.lacking_images)}",) if wanted else ()
    )


def _builders(m: Machine, names: Sequence[str]) -> tuple[str, ...]:
    """The packages that building those of the workloads' images takes that are not known to be pulled."""
    built = [name for name in names if m.engine is None or not m.engine.pulls(workload_images.published(name))]
    return tuple(
        dict.fromkeys(each for name in built for each in workload_build.builders(workload_recipes.recipe(name)))
    )


def _programs(m: Machine, target: Target) -> tuple[str, ...]:
    lines = [
        f"build {bundle} {bundles.BUNDLES[bundle].default} from Go modules"
        for bundle in _bundles(target)
        if bundle not in m.bundles
    ]
    for each in m.kubernetes:
        if what := ", ".join(each.builds(target)):
            lines.append(f"build Kubernetes {each.version} from Go modules ({what}), some minutes on 2 cores")
        if facts.KUBECTL in each.lacks(target):
            lines.append(f"take kubectl {each.version} out of its node image")
    return tuple(lines)


def _images(m: Machine, *, workloads: bool) -> tuple[str, ...]:
    built = doctor.built_here(m)
    lines = [
        f"build the node image of Kubernetes {each.version}{_why_built(m, each)}"
        if each.version in built
        else f"pull the node image of Kubernetes {each.version}, {each.published}"
        for each in m.kubernetes
        if not each.node_image
    ]
    if m.lacking_images and workloads:
        pulled = [n for n in m.lacking_images if m.engine is not None and m.engine.pulls(workload_images.published(n))]
        made = [name for name in m.lacking_images if name not in pulled]
        lines += [f"pull the published images of workloads: {', '.join(pulled)}"] if pulled else []
        lines += [f"build the images of workloads: {', '.join(made)}"] if made else []
    return tuple(lines)


def _why_built(m: Machine, wanted: Kubernetes) -> str:
    """Why the node image is not pulled, where it is not known by its digest, or a registry was asked for it."""
    if not wanted.published:
        lacks = f"{registry.NODE}:v{wanted.version}" if registry.known(registry.BUSYBOX) else registry.BUSYBOX
        return f" ({registry.not_known(lacks)}; --kind-image names another)"
    refused = m.engine.refusal(wanted.published) if m.engine is not None else ""
    return f" ({wanted.published} can't be pulled: {refused})" if refused else ""


def _bundles(target: Target) -> tuple[str, ...]:
    return (("kind",) if target.kind else ()) + (("etcd", "kwok") if target.simulated else ())


# --- doing


def _steps(made: SetupPlan) -> tuple[SetupStep, ...]:
    """All steps: what simulated clusters run comes first, so that they can be used while the rest is made."""
    steps = [step for version in made.versions for step in simulated_steps(version)] if made.target.simulated else []
    if made.target.kind:
        steps += kind_steps(made.versions, kind_image=made.kind_image)
    if made.workloads:
        lacking = lambda: bool(facts.lacking_images(engine.find()))  # noqa: E731
        steps.append(SetupStep("images of workloads", lacking, _workload_images, Lane.ALONE))
    first: dict[str, SetupStep] = {}
    for step in steps:
        first.setdefault(step.title, step)
    return tuple(first.values())


def _workload_images(report: Report) -> None:
    running = engine.require()
    for name in facts.lacking_images(running):
        workload_images.choose(name, report=report, engine=running)


def _changes(before: record.MachineRecord, after: record.MachineRecord) -> tuple[str, ...]:
    """What the record of changes has now and had not before."""
    installed = [each for each in after.packages if each not in before.packages]
    lines = [f"installed Debian's {', '.join(installed)}"] if installed else []
    if after.pid and after.pid != before.pid:
        lines.append(f"started a container engine, process {after.pid}, its data in {engine.DATA_ROOT}")
    if after.cgroup and not before.cgroup:
        lines.append(f"moved processes out of {after.cgroup}")
    lines += [f"added an unreachable route to {route}" for route in after.routes if route not in before.routes]
    lines += [
        f"raised {name} from {value} to {preparations.SYSCTLS[name]}"
        for name, value in after.sysctls.items()
        if name not in before.sysctls
    ]
    return tuple(lines)


# --- taking back


def _clusters() -> tuple[ClusterRef, ...]:
    """The clusters of runs that are over: kept by --ordeal-keep-cluster, or left behind. Never those of other tools."""
    simulated = state_dir() / "simulated"
    folders = [path for path in (simulated.iterdir() if simulated.is_dir() else ()) if path.is_dir()]
    found = [ClusterRef(SIMULATED, path.name, "") for path in folders if not path.name.startswith(".")]
    if engine.find() is not None:  # where it does not answer, no kind cluster runs
        found += all_made_here()
    return tuple(sorted(found, key=lambda ref: ref.name))


def _live_runs() -> tuple[str, ...]:
    """The ids of runs whose journal is held by a living process."""
    live = []
    for path in sorted(journals_dir().glob("*.jsonl")):
        with adopt(path) as journal:
            if journal is None and path.exists():
                live.append(path.stem)
    return tuple(live)


def _size(directory: Path) -> str:
    sizes = (
        os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118
        for where, _, names in os.walk(directory)
        for name in names
    )
    return f"{sum(sizes) / 1e9:.1f} GB"
