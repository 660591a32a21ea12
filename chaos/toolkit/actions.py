"""The faults as Chaos Toolkit actions, each with the one that takes it back, and what else an experiment needs.

Made from what is registered are an action for each fault, called as its kind, with the fault's fields as arguments, and
its counterpart; and one for some of the workloads. How arguments are given: chaos.toolkit.making. Written is the rest.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace

from chaos.basics.clock import unix_s
from chaos.clusters.abilities import ControlPlaneSwap, EtcdBehind, NodeExec, NodeNetwork
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.harm.base import counterpart, registered
from chaos.harm.control_plane import ReplaceControlPlane
from chaos.judge.base import Recipe, made_again
from chaos.judge.conformance import AFTER, BEFORE
from chaos.record.nodefacts import read_all
from chaos.record.probing import ServiceProbes
from chaos.subjects.eviction.sampler import EvictionLog
from chaos.subjects.eviction.workload import Eater
from chaos.subjects.handles.dns import dns_url
from chaos.subjects.handles.promises import DNS
from chaos.subjects.handles.sampler import HandleSamples
from chaos.subjects.identity.sampler import NodeIdentities
from chaos.subjects.links.redis import Redis
from chaos.subjects.mysql.workload import MySQL
from chaos.subjects.pleg.faults import DeletePods, StallRuntime
from chaos.subjects.pleg.promises import deadlock_seen
from chaos.subjects.pleg.records import Wave, WaveOver
from chaos.subjects.pleg.sampler import PlegSamples
from chaos.subjects.pleg.workload import ready_within_s
from chaos.subjects.volumes.driver import InstallRbdLock
from chaos.subjects.volumes.workload import VolumeWriter
from chaos.toolkit import settings
from chaos.toolkit.making import LEFT_OUT, Function, made, nodes_named, one_node, step, taking_back, written
from chaos.toolkit.reported import Reported, reported
from chaos.toolkit.session import SESSION, activity, always
from chaos.toolkit.settings import Configuration
from chaos.toolkit.words import DEFAULTS, SAID
from chaos.workloads.web import Web

LANDED = "landed"
ASK_EVERY_S = 0.2
DEPLOYED: dict[str, type] = {
    "deploy_eater": Eater,
    "deploy_mysql": MySQL,
    "deploy_redis": Redis,
    "deploy_volume_writer": VolumeWriter,
    "deploy_web": Web,
}

# --- an incident


@activity
def replay(
    incident: str,
    variant: str | None = None,
    control: str = "",
    cluster: str = "",
    profile: str = "",
    kubernetes: str = "",
    configuration: Configuration | None = None,
) -> Reported:
    """Replay an incident of the catalogue, by the function that pytest calls too. All of the experiment's story.

    variant: which of the incident's replays, where it has several; without it the first that has the control. control:
    a known-bad configuration; empty is hardened. cluster: kind, simulated or existing; empty: the cheapest that can.
    profile: smoke or full. Each is the configuration's where it is empty. Returns the verdict, the sentence that says
    why, whether it is what it must be (`passed`), and the folder of the results.
    """
    instead = {
        "control": control,
        "cluster": cluster,
        "profile": profile,
        "kubernetes": kubernetes,
        "incident": incident,
    }
    outcome = SESSION.replay(incident, variant, settings.settings(configuration, **instead))
    return {**reported(outcome), "results": str(SESSION.results)}


# --- a story of one's own: the cluster, what is recorded, how long it lasts


@step
def use_cluster(
    workers: int = 2,
    zones: Sequence[Mapping[str, object]] = (),
    timers: Mapping[str, float] | None = None,
    controller_manager: Mapping[str, str] | None = None,
    apiserver: Mapping[str, str] | None = None,
    imagefs_bytes: int = 0,
    nodefs_bytes: int = 0,
    volume_bytes: int = 0,
    shared_folder: bool = False,
    max_pods: int = 0,
    node_cidr_bits: int = 24,
) -> dict[str, str]:
    """Use the cluster that the configuration names. `cluster: existing` (the default) is the kubeconfig's; `kind` and
    `simulated` are made here in the shape that the arguments say, and deleted by clean_up.

    zones: simulated nodes, [{"name": "a", "nodes": 100, "parts": {"first": 50, "then": 50}}, ...]. timers: what differs
    from the profile's, by the names of the fields of Timers, in seconds and nodes per second. controller_manager,
    apiserver: further flags without dashes. The others: as in Shape. Returns what the cluster says of itself.
    """
    shape = Shape(
        workers,
        tuple(_zone(each) for each in zones),
        _timers(SESSION.lab.timers, timers or {}),
        tuple(sorted((controller_manager or {}).items())),
        tuple(sorted((apiserver or {}).items())),
        imagefs_bytes=imagefs_bytes,
        nodefs_bytes=nodefs_bytes,
        volume_bytes=volume_bytes,
        shared_folder=shared_folder,
        max_pods=max_pods,
        node_cidr_bits=node_cidr_bits,
    )
    cluster = SESSION.lab.cluster(shape)
    SESSION.nodes()
    return {"name": cluster.ref.name, **cluster.facts()}


@always
def clean_up() -> str:
    """Remove the workloads, and delete the cluster if it was made here; safe to repeat."""
    with ExitStack() as each_is_tried:
        each_is_tried.callback(SESSION.clean_up)
        each_is_tried.callback(SESSION.stop_recording)
        each_is_tried.callback(SESSION.take_back_all)
    return "clean"


@always
def remove_workloads() -> int:
    """Remove what was deployed; safe to repeat. Returns how many workloads there were."""
    return SESSION.remove_workloads()


@always
def take_back_everything() -> str:
    """Take back every fault of this run that is still in place; safe to repeat."""
    SESSION.take_back_all()
    return "nothing in place"


@step
def start_recording(probe_workload: bool = True) -> str:
    """Record nodes, pods and events from here on, and the workload's Service ten times a second from every worker."""
    SESSION.start_recording(SESSION.workload() if probe_workload else None)
    return str(SESSION.history.path)


@always
def stop_recording() -> bool:
    """End the recording once all that had happened is seen; safe to repeat. The invariants judge what it saw."""
    return SESSION.stop_recording()


@step
def hold(for_s: float, because: str = "as the experiment says") -> None:
    """Let the fault last for so many seconds."""
    SESSION.lab.hold(for_s, because)


@step
def hold_until_shown(promise: str, arguments: Mapping[str, object] | None = None, within_s: float = 240.0) -> bool:
    """Let a fault last until a promise, by its name, is seen to be broken. False where it was not within so many
    seconds, and where they are null.

    arguments: those of the promise; `node` and `nodes` as everywhere here.
    """
    given = dict(arguments or {})
    if isinstance(given.get("nodes"), str):
        given["nodes"] = list(nodes_named(str(given["nodes"])))
    if isinstance(given.get("node"), str):
        given["node"] = one_node(str(given["node"]))
    return SESSION.lab.hold_until_shown(made_again(Recipe(promise, given)), within_s=within_s)


@step
def take_evidence(of: str, since_s: float = 300.0) -> int:
    """Collect objects, events and logs of all nodes now, as is done at the end of each fault by itself.

    of: what the folder is called. since_s: logs of so many seconds before. Returns how many files there are by now.
    """
    SESSION.lab.take_evidence(of, since_wall=unix_s() - since_s)
    return len(SESSION.lab.evidence)


@step
def wait_until_recovered(within_s: float = 90.0, workload: bool = True, kubelets: bool = False) -> bool:
    """Wait until every node is Ready, and every replica of the workload. False where not: the invariants judge it.

    workload: false leaves the replicas out. kubelets: also until every kubelet has renewed its lease since the last
    fault was undone (needs start_recording with probe_workload).
    """
    lab, replicas_count = SESSION.lab, workload and SESSION.has_workload

    def recovered() -> bool:
        if not lab.nodes_ready() or (kubelets and not lab.kubelets_report()):
            return False
        return not replicas_count or SESSION.workload().ready()

    return lab.recover(recovered, within_s=within_s, what="every node and replica Ready")


@step
def start_new_pods(within_s: float = 60.0) -> None:
    """Try to start a pod on every worker; the probe new_pods_start judges how it went."""
    SESSION.lab.start_new_pods(within_s=within_s)


@step
def save_snapshot(name: str = "before") -> str:
    """Save a snapshot of etcd under a name, for restore_snapshot. Returns its path."""
    cluster = SESSION.cluster()
    if not isinstance(cluster, EtcdBehind):
        raise OrdealError(f"etcd of {cluster.ref.name} ({cluster.ref.kind}) can't be reached behind the API server")
    return cluster.etcd_snapshot(name)


@step
def run_specs(when: str = AFTER) -> dict[str, str]:
    """Run five quick specs of upstream's e2e.test now, before or after the harm. Needs start_recording.

    Returns what became of each.
    """
    if when not in {BEFORE, AFTER}:
        raise OrdealError(f"specs can be run {BEFORE} or {AFTER} the harm, not {when!r}")
    SESSION.lab.run_specs(when, SESSION.history)
    return {each.spec: each.state for each in SESSION.lab.specs.results if each.round == when}


# --- what is measured beside, until stop_recording


@step
def ask_dns(nodes: tuple[str, ...] = ("first-worker",)) -> None:
    """Ask the cluster's DNS over UDP from nodes' own networks, five times a second."""
    cluster, url = SESSION.cluster(), dns_url(SESSION.cluster())
    if not isinstance(cluster, NodeNetwork):
        raise OrdealError(f"nothing can be asked from the nodes' own networks of {cluster.ref.name}")
    probes = ServiceProbes(cluster, SESSION.history, target=DNS, url=url, nodes=nodes, interval_s=ASK_EVERY_S)
    SESSION.while_recording(probes)


@step
def follow_eviction_log(node: str) -> None:
    """Read in a node's kubelet log how it ranks and evicts pods and which images it removes."""
    SESSION.while_recording(EvictionLog(SESSION.history, _executing(), node))


@step
def watch_handles(node: str = "first-worker", daemons: Sequence[str] = ("containerd", "kubelet")) -> None:
    """Count the open handles of daemons on a node against their limits, twice a second."""
    SESSION.while_recording(HandleSamples(_executing(), SESSION.history, node, daemons))


@step
def watch_node_identities() -> None:
    """Ask which machine each Node stands for: its ids and its address."""
    SESSION.while_recording(NodeIdentities(SESSION.history, SESSION.cluster().api))


@step
def watch_pleg(node: str = "last-worker", limit_s: float = 180.0) -> None:
    """Sample the kubelet's PLEG, goroutines and handles each second; beyond limit_s its goroutines are looked at."""
    SESSION.while_recording(PlegSamples(SESSION.history, SESSION.cluster(), node, limit_s=limit_s))


@step
def read_node_facts() -> None:
    """Read once what every node is made of: versions, storage, limits, clock. The preflight probes judge it."""
    read_all(SESSION.cluster(), SESSION.history)


# --- faults with more to them than their fields


@step
def stall_runtime(node: str = "last-worker", for_s: float = 0.0) -> str:
    """Stop one node's containerd with SIGSTOP, and let that last for so many seconds; 0 does not wait."""
    SESSION.inject(StallRuntime(node))
    if for_s:
        SESSION.lab.hold(for_s, "the runtime stands still")
    return LANDED


@step
def replace_control_plane(timers: Mapping[str, float] | None = None, controllers: str = "*") -> str:
    """Stop the control plane and start a second one on the same etcd, where the kubelets do not look.

    timers: where the second one's differ from the first one's. controllers: as in --controllers, such as
    "*,-taint-eviction-controller". A recording goes on through the second one.
    """
    cluster = SESSION.cluster()
    SESSION.inject(ReplaceControlPlane(_timers(cluster.shape.timers, timers or {}), controllers))
    if SESSION.is_recording and isinstance(cluster, ControlPlaneSwap):
        SESSION.lab.recorder.switch(cluster.second_api)
        SESSION.lab.recorder.wait_synced()
    return LANDED


@always
def bring_back_control_plane() -> int:
    """Stop the second control plane and start the first; safe to repeat. Returns how many replacements there were."""
    undone = SESSION.take_back(ReplaceControlPlane.kind)
    if undone and SESSION.is_recording:
        SESSION.lab.recorder.switch(SESSION.cluster().api)
        SESSION.lab.recorder.wait_synced()
    return undone


@always
def await_replacements(node: str = "last-worker") -> int:
    """Wait until as many pods as before delete_pods are Ready; safe to repeat. Returns how many deletions there were.

    It stops waiting where PLEG of that node is seen to be deadlocked: the invariants judge it.
    """
    if DeletePods.kind in SESSION.in_place and SESSION.is_recording:
        history, deployed, where = SESSION.history, SESSION.workload(), one_node(node)
        history.add(Wave(history.now(), where, "replacements"))
        SESSION.lab.recover(
            lambda: deployed.ready() or deadlock_seen(history, where),
            within_s=ready_within_s(deployed.replicas),
            what="replacements Ready",
        )
        history.add(WaveOver(history.now(), where, "replacements"))
    return SESSION.take_back(DeletePods.kind)


@always
def remove_rbd_lock() -> int:
    """Remove the workloads, and then the driver that can take their volumes back; safe to repeat. Returns how many."""
    if InstallRbdLock.kind in SESSION.in_place:
        SESSION.remove_workloads()
    return SESSION.take_back(InstallRbdLock.kind)


def _executing() -> NodeExec:
    cluster = SESSION.cluster()
    if not isinstance(cluster, NodeExec):
        raise OrdealError(f"nothing can be run on the nodes of {cluster.ref.name} ({cluster.ref.kind})")
    return cluster


def _timers(base: Timers, given: Mapping[str, float]) -> Timers:
    known = {each.name: type(getattr(base, each.name)) for each in fields(base)}
    if unknown := sorted(given.keys() - known):
        raise OrdealError(f"timers has {', '.join(unknown)}; it may have numbers for {', '.join(known)}")
    return replace(base, **{name: known[name](value) for name, value in given.items()})


def _zone(given: Mapping[str, object]) -> Zone:
    name, nodes, parts = given.get("name"), given.get("nodes"), given.get("parts", {})
    if not isinstance(name, str) or not isinstance(nodes, int) or not isinstance(parts, Mapping):
        raise OrdealError(f"a zone is {{name: TEXT, nodes: NUMBER, parts: {{GROUP: NUMBER}}}}, not {dict(given)!r}")
    return Zone(name, nodes, tuple((str(group), int(size)) for group, size in parts.items()))


# --- what is made from the registers


def _fault(name: str, cls: type) -> Function:
    call = SAID.get(name, cls)

    def do(**given: object) -> str:
        fault = call(**given)
        if fault is None:
            return LEFT_OUT
        SESSION.inject(fault)
        return LANDED

    words = "" if call is cls else f"\n\n{call.__doc__}"
    doc = f"{cls.__doc__}{words}\n\nTaken back by {counterpart(cls)}."
    return made(name, __name__, call, do, defaults=DEFAULTS.get(name), doc=doc)


def _deploying(name: str, cls: type) -> Function:
    own = {"image"} & {each.name for each in fields(cls)}

    def do(**given: object) -> dict[str, str | int]:
        SESSION.cluster()
        made_of = SESSION.deploy(
            cls(**given, **{each: SESSION.lab.image(name.removeprefix("deploy_")) for each in own})
        )
        return {"name": made_of.name, "namespace": made_of.namespace, "replicas": made_of.replicas}

    return made(name, __name__, cls, do, defaults=DEFAULTS.get(name), filled=own)


def _made() -> dict[str, Function]:
    load_all()
    found = {name: _deploying(name, cls) for name, cls in DEPLOYED.items()}
    for kind, cls in registered().items():
        name, back = kind.replace("-", "_"), counterpart(cls)
        found |= {name: _fault(name, cls), back: taking_back(back, __name__, kind)}
    return found


globals().update({name: each for name, each in _made().items() if name not in globals()})
__all__ = list(written(globals()))
