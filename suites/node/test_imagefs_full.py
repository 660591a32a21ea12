"""imagefs-full: a worker's image file system, or its kubelet's, fills up past the eviction threshold."""

from collections.abc import Mapping
from contextlib import ExitStack

from chaos.clusters.abilities import NodeExec, NodeImages, NodeNetwork, OwnFileSystems, RunsContainers
from chaos.clusters.kind.home import IMAGEFS, NODEFS
from chaos.clusters.shape import dense_shape
from chaos.errors import OrdealError
from chaos.harm.ballast import FillFileSystem
from chaos.harm.kubelet import SetKubeletConfig
from chaos.harm.program import SwapProgram
from chaos.harm.static_pod import PlaceStaticPod
from chaos.hosts import mutants
from chaos.judge.availability import outage_at_most
from chaos.judge.nodes_ready import DOCUMENTED_WITHIN_S, nodes_ready_again
from chaos.judge.start import new_pods_start
from chaos.report.mutants import killed_row
from chaos.run.incident import DENSE, HARDENED, incident
from chaos.run.lab import Lab
from chaos.run.profile import Profile
from chaos.run.promised import WORKERS, Conditions, Judged, judged, node_of, says
from chaos.run.stage import LacksAbilityError
from chaos.subjects.eviction.faults import DropPriority
from chaos.subjects.eviction.promises import (
    critical_pods_stay,
    evicted_by_use,
    pressure_clears,
    pressure_reported,
    runs_again,
)
from chaos.subjects.eviction.records import ImageRemoved, KubeletEvicted, NoneLeft
from chaos.subjects.eviction.sampler import EvictionLog, under_pressure
from chaos.subjects.eviction.workload import Eater
from chaos.workloads.web import Web

NEEDS = (RunsContainers, NodeExec, NodeNetwork, OwnFileSystems, NodeImages)
SET_UP = (PlaceStaticPod, SetKubeletConfig)  # in each variant
EVICTS_CRITICAL = "evict-critical-pods"  # the control has the mutant's name
NO_THRESHOLD, SLOW = "no-threshold", "slow-transition"
SLOW_TRANSITION = "1h"
HARD, RECLAIM = "25%", "5%"
FILLED_PERCENT = 95.0  # so full that all evictions and all unused images together do not end the pressure
# The kubelet looks every 10 s (monitoringInterval, pkg/kubelet/kubelet.go) at numbers that may be 15 s old.
PRESSURE_WITHIN_S = 60.0
EVICTED_WITHIN_S = 300.0  # ends when it is seen
SHIPPED_TRANSITION_S = 300  # evictionPressureTransitionPeriod
# So short that unused images are removed while the pressure lasts, and so long that those which are put back when the
# space is back are not removed again by a kubelet that has not noticed yet.
GC_AGE_S = 20
CLEARS_AFTER_TRANSITION_S = 60.0
RUNS_AFTER_CLEARING_S = 60.0


def promises(told: Conditions) -> tuple[Judged, ...]:
    """The eater is put on the node whose file system is filled."""
    harmed, fault = node_of("eater"), FillFileSystem.kind
    clears_s = transition_of(told.profile) + CLEARS_AFTER_TRANSITION_S
    return judged(
        says(critical_pods_stay, harmed, fault=fault),
        says(pressure_reported, harmed, fault=fault, within_s=PRESSURE_WITHIN_S),
        says(evicted_by_use, harmed, "eater", fault=fault),
        says(outage_at_most, 2.0),
        says(pressure_clears, harmed, fault=fault, within_s=clears_s),
        says(runs_again, "eater", fault=fault, within_s=clears_s + RUNS_AFTER_CLEARING_S),
        says(nodes_ready_again, WORKERS, within_s=DOCUMENTED_WITHIN_S),
        says(new_pods_start, within_s=60),
        harm=(FillFileSystem,),
    )


def transition_of(profile: Profile) -> int:
    """evictionPressureTransitionPeriod, in seconds."""
    return SHIPPED_TRANSITION_S if profile.name == "full" else 10


@incident(
    "imagefs-full",
    on=("kind",),
    needs=NEEDS,
    controls=("no-priority", EVICTS_CRITICAL),
    variant="imagefs, the post-mortem's setting",
    shape=DENSE,
    mutants={EVICTS_CRITICAL: (EVICTS_CRITICAL,)},
    faults={
        HARDENED: SET_UP,
        "no-priority": (*SET_UP, DropPriority),
        EVICTS_CRITICAL: (*SET_UP, SwapProgram),
    },
    promises=promises,
)
def test_an_image_file_system_that_must_reclaim_more_than_its_threshold(lab: Lab) -> None:
    """When a worker's image file system is full, with the post-mortem's thresholds (hard 25 %, minimum reclaim 5 %),
    the kubelet MUST report it and evict by use, MUST spare kube-proxy, the CNI agent and static pods, and Services MUST
    answer through that node; when the space is back the pressure MUST clear and what was evicted MUST run again.
    """
    thresholds = {"imagefs.available": HARD}
    _fill(lab, IMAGEFS, {"evictionHard": thresholds, "evictionMinimumReclaim": {"imagefs.available": RECLAIM}})


@incident(
    "imagefs-full",
    on=("kind",),
    needs=NEEDS,
    controls=(NO_THRESHOLD, SLOW),
    variant="nodefs",
    shape=DENSE,
    faults={HARDENED: SET_UP, NO_THRESHOLD: SET_UP, SLOW: SET_UP},
    promises=promises,
)
def test_a_full_kubelet_file_system(lab: Lab) -> None:
    """The same MUST hold when it is the file system of the kubelet, where pods have their volumes."""
    _fill(lab, NODEFS, {"evictionHard": {"nodefs.available": HARD}})


@incident(
    "imagefs-full",
    on=("kind",),
    needs=NEEDS,
    variant="imagefs, no minimum reclaim",
    shape=DENSE,
    faults={HARDENED: SET_UP},
    promises=promises,
)
def test_a_full_image_file_system(lab: Lab) -> None:
    """The same MUST hold with the threshold alone."""
    if lab.profile.name != "full":
        raise LacksAbilityError("the threshold without a minimum reclaim is replayed in the profile full only")
    _fill(lab, IMAGEFS, {"evictionHard": {"imagefs.available": HARD}})


def _fill(lab: Lab, path: str, thresholds: Mapping[str, object]) -> None:
    """The story: a worker's file system is filled, the kubelet evicts what it may, the Service's pods are replaced."""
    cluster = lab.cluster(dense_shape(lab.timers))
    assert isinstance(cluster, OwnFileSystems)
    assert isinstance(cluster, NodeExec)
    workers = tuple(n.name for n in cluster.nodes() if not n.control_plane)
    worker = next((w for w in workers if path in {f.path for f in cluster.own_file_systems(w)}), "")
    if not worker:
        raise OrdealError(f"no worker of {cluster.ref.name} has {path} as a file system of its own")
    transition_s = transition_of(lab.profile)
    period = SLOW_TRANSITION if lab.control == SLOW else f"{transition_s}s"
    config = {**(thresholds if lab.control != NO_THRESHOLD else {}), "evictionPressureTransitionPeriod": period}
    if lab.profile.name != "full":
        config["imageMinimumGCAge"] = f"{GC_AGE_S}s"
    lab.fact("kubelet", f"{worker}: {config}")
    lab.fact("filled_percent", FILLED_PERCENT)
    web = lab.deploy(Web(replicas=2))
    eater = lab.deploy(Eater(worker, into_volume=path == NODEFS))
    with ExitStack() as configured:
        configured.enter_context(lab.configured(PlaceStaticPod(worker)))
        if lab.control == EVICTS_CRITICAL:
            program = lab.mutant(EVICTS_CRITICAL)
            configured.enter_context(lab.configured(SwapProgram(worker, "kubelet", str(program.path))))
        configured.enter_context(lab.configured(SetKubeletConfig(worker, config)))
        if lab.control == "no-priority":
            configured.enter_context(lab.configured(DropPriority()))
        with lab.record(probe=web, samplers=(lambda history: EvictionLog(history, cluster, worker),)) as history:
            with lab.inject(FillFileSystem(worker, path, FILLED_PERCENT)):
                if lab.control == NO_THRESHOLD:
                    lab.hold(PRESSURE_WITHIN_S + 5, "a kubelet with a threshold has reported its pressure by then")
                else:
                    lab.hold_until(
                        lambda: bool(history.of(NoneLeft)),
                        within_s=EVICTED_WITHIN_S,
                        because="the kubelet has evicted what it may",
                    )
                if lab.control in {"no-priority", EVICTS_CRITICAL}:
                    stay = critical_pods_stay(worker, fault=FillFileSystem.kind)
                    lab.hold_until_shown(stay, within_s=EVICTED_WITHIN_S)
                # A kube-proxy that is gone leaves its rules behind: what it misses shows when the endpoints change.
                lab.phase("roll out", f"every pod of {web.name} is replaced while the pressure lasts")
                web.roll_out(within_s=300)
                lab.hold(5, "the Service has new endpoints")
            lab.recover(
                lambda: not under_pressure(history, worker) and web.ready() and eater.ready(),
                within_s=transition_s + CLEARS_AFTER_TRANSITION_S + RUNS_AFTER_CLEARING_S,
                what="no pressure, every replica Ready",
            )
            lab.start_new_pods()
    lab.fact("evicted", len(history.of(KubeletEvicted)))
    lab.fact("images_removed", len(history.of(ImageRemoved)))
    lab.expect(
        history,
        critical_pods_stay(worker, fault=FillFileSystem.kind),
        pressure_reported(worker, fault=FillFileSystem.kind, within_s=PRESSURE_WITHIN_S),
        evicted_by_use(worker, eater.name, fault=FillFileSystem.kind),
        outage_at_most(2.0),
        pressure_clears(worker, fault=FillFileSystem.kind, within_s=transition_s + CLEARS_AFTER_TRANSITION_S),
        runs_again(
            eater.name,
            fault=FillFileSystem.kind,
            within_s=transition_s + CLEARS_AFTER_TRANSITION_S + RUNS_AFTER_CLEARING_S,
        ),
        nodes_ready_again(workers, within_s=DOCUMENTED_WITHIN_S),
        new_pods_start(within_s=60),
    )
    if lab.control == EVICTS_CRITICAL:
        lab.table("mutants", [killed_row(mutants.find(EVICTS_CRITICAL), lab.findings)])
