"""aged-objects: the control plane is started anew, as by an upgrade, on what an older version wrote."""

from collections.abc import Sequence
from functools import partial

from chaos.clusters.abilities import ComponentSwap, ControllerManagerSwitch, ControlPlaneSwap, EtcdBehind
from chaos.clusters.control_processes import ControlProcesses
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import FAILURES
from chaos.judge.base import Verdict
from chaos.record.history import History
from chaos.record.records import Observation
from chaos.run.incident import HARDENED, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.aged.faults import PlantAged, StartAnew
from chaos.subjects.aged.promises import (
    changed_workload_follows,
    components_keep_running,
    endpoints_follow,
    only_changed_pods_replaced,
    selected_nodes_stay,
)
from chaos.subjects.aged.records import Followed
from chaos.subjects.aged.sampler import MuseumWatch
from chaos.subjects.aged.workload import (
    ADDRESSES,
    MENDED,
    MENDED_REPLICAS,
    ORDERED,
    PINNED,
    PINNED_TO,
    SERVICES,
    Museum,
    ask_etcd,
    orphan,
    select,
    touch,
    write_services,
)
from chaos.workloads.web import Deployed

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
AS_SHIPPED, ROLLED, PINNED_LABEL, COUNTED = CONTROLS = ("as-shipped", "rolled", "pinned-label", "unavailable-counted")
GATES = {ROLLED: "StatefulSetSemanticRevisionComparison=false", COUNTED: "MaxUnavailableStatefulSet=true"}
RUNS_ON_S = 15.0  # after the last touch; each object is met within a second of it
WITHIN_S = 30.0
AT_IT_WITHIN_S = 90.0  # ends when it is seen: a controller manager that is started waits for its lease first
SETTLED_WITHIN_S = WITHIN_S + 5  # after the last touch: what has not come by then has not come in time

FAULT = StartAnew.kind
JUDGED = (
    (components_keep_running, (COMPONENTS,), {"fault": FAULT, "for_s": RUNS_ON_S}),
    (only_changed_pods_replaced, ((ORDERED, PINNED, "pods"),), {"changed": MENDED, "fault": FAULT}),
    (changed_workload_follows, (MENDED,), {"replicas": MENDED_REPLICAS, "fault": FAULT, "within_s": WITHIN_S}),
    (endpoints_follow, (SERVICES,), {"fault": FAULT, "within_s": WITHIN_S}),
    (selected_nodes_stay, (PINNED,), {"fault": FAULT}),
)
# What needs no end of the recording to be called held: when these are, all has happened.
SETTLED = ("components-keep-running", "changed-workload-follows", "endpoints-follow")


def promises(_: Conditions) -> tuple[Judged, ...]:
    return judged(*(says(make, *args, **kwargs) for make, args, kwargs in JUDGED), harm=(StartAnew,))


@incident(
    "aged-objects",
    on=("simulated",),
    needs=(EtcdBehind, ControllerManagerSwitch, ControlPlaneSwap, ComponentSwap, ControlProcesses),
    controls=CONTROLS,
    faults=dict.fromkeys((HARDENED, *CONTROLS), (PlantAged,)),
    promises=promises,
)
def test_a_control_plane_meets_what_an_older_version_wrote(lab: Lab) -> None:
    """When the control plane is started anew on what older versions have stored, no component MUST end itself, no pod
    of a workload that nobody changed MUST be replaced, a workload that somebody changes MUST get there, the endpoints
    of each Service MUST follow, and what selects nodes by a label MUST still find them.
    """
    gate = GATES.get(lab.control or HARDENED)
    flags = (("feature-gates", gate),) if gate else ()
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers, controller_manager=flags))
    assert isinstance(cluster, EtcdBehind)
    assert isinstance(cluster, ComponentSwap)
    assert isinstance(cluster, ControlProcesses)
    museum = lab.deploy(Museum())
    with lab.configured(PlantAged(museum.namespace, SERVICES, (ORDERED,))) as planted, lab.removing_workloads():
        if lab.control != AS_SHIPPED:
            write_services(museum)
        orphan(museum)
        watch = partial(MuseumWatch, cluster=cluster, namespace=museum.namespace, services=SERVICES, daemon=PINNED)
        with lab.record(samplers=(watch,)) as history:
            ask_etcd(cluster, history, planted.objects)
            with lab.inject(StartAnew(PINNED_TO if lab.control == PINNED_LABEL else "")):
                met(lab, museum, history)
            lab.recover(lab.nodes_ready, within_s=60, what="every node Ready")
    lab.expect(history, *(make(*args, **kwargs) for make, args, kwargs in JUDGED))


def met(lab: Lab, museum: Deployed, history: History) -> None:
    """Each object is touched, once the controllers are at it: what they list is filled in, and what they watch is not.
    It lasts until all has come of it that is promised, or what the control is to show.
    """
    invariants = {each.name: each for each in (make(*args, **kwargs) for make, args, kwargs in JUDGED)}
    try:
        select(museum, history, joins=True)
        at_it = partial(both_served, history)
        lab.hold_until(at_it, within_s=AT_IT_WITHIN_S, because="the endpoints controller is at it")
        touch(museum, history)
        select(museum, history, joins=False)
    except FAILURES as error:  # an API server that is gone is a finding, and no reason not to judge
        history.add(Observation(history.now(), "touch", museum.name, str(error)))
    control = lab.incident.control(lab.control) if lab.control else None
    shows = (control.breaks, *control.also_breaks) if control else ()

    def are(verdict: Verdict, names: Sequence[str]) -> bool:
        return all(lab.finding_now(invariants[name]).verdict is verdict for name in names)

    def settled() -> bool:
        return bool(shows and are(Verdict.VIOLATED, shows)) or are(Verdict.HELD, SETTLED)

    lab.hold_until(settled, within_s=SETTLED_WITHIN_S, because="each object was met", every_s=1.0)


def both_served(history: History) -> bool:
    """Whether, by what was seen last, the endpoints of each Service are both pods."""
    last = {each.service: each for each in history.of(Followed)}
    return all(name in last and last[name].is_right and len(last[name].pods) == len(ADDRESSES) for name in SERVICES)
