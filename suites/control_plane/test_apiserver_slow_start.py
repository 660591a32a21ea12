"""apiserver-slow-start: an API server starts, and its etcd does not answer."""

from functools import partial

from chaos.clusters.abilities import ControlPlaneSwap, EtcdBehind
from chaos.clusters.control_processes import ControlProcesses, EtcdWrites
from chaos.clusters.shape import Shape
from chaos.judge.base import Invariant, Verdict
from chaos.record.history import History
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.slow_start.faults import StallEtcdAtStart, let_go_on
from chaos.subjects.slow_start.promises import does_not_end_itself, ready_after_etcd
from chaos.subjects.slow_start.records import ControlPlaneProcesses
from chaos.subjects.slow_start.sampler import StartSamples
from chaos.subjects.slow_start.workload import NodePorts, forget_ports, taken_ports

SERVICES = 50
READY_WITHIN_S = 60.0
AWAY_S = 20.0  # less than the 30 s that the first pass gives etcd (portallocator/controller/repair.go, doRunOnce)
OUTLIVED_S = 28.0  # the story may be late by so much, on a slow machine
FULL_S = 15.0  # the first pass fails at once, and there are 45 s more
GIVEN_UP_WITHIN_S = 120.0  # ends when it is seen: a hook has a minute


def most_away_s(control: str | None) -> float:
    """For how long etcd may have been away, of an API server that is to outlive it."""
    return GIVEN_UP_WITHIN_S if control else OUTLIVED_S


def promises(told: Conditions) -> tuple[Judged, ...]:
    fault = StallEtcdAtStart.kind
    away_s = most_away_s(told.control)
    ready = says(ready_after_etcd, fault, within_s=READY_WITHIN_S, away_s=away_s)
    return judged(says(does_not_end_itself, fault, away_s=away_s), ready, harm=(StallEtcdAtStart,))


@incident(
    "apiserver-slow-start",
    on=("simulated",),
    needs=(ControlProcesses, ControlPlaneSwap, EtcdBehind, EtcdWrites),
    controls=("etcd-away", "as-shipped"),
    promises=promises,
)
def test_an_apiserver_waits_for_its_etcd(lab: Lab) -> None:
    """When an API server starts and its etcd does not answer for a while, it MUST NOT end itself, and MUST be ready in
    time once etcd answers again.
    """
    cluster = lab.cluster(Shape(workers=1, timers=lab.timers))
    assert isinstance(cluster, ControlProcesses)
    assert isinstance(cluster, EtcdBehind)
    assert isinstance(cluster, EtcdWrites)
    before = taken_ports(cluster)
    lab.deploy(NodePorts(SERVICES))
    fault = StallEtcdAtStart.kind
    away_s = most_away_s(lab.control)
    runs = does_not_end_itself(fault, away_s=away_s)
    ready = ready_after_etcd(fault, within_s=READY_WITHIN_S, away_s=away_s)
    samples = partial(StartSamples, cluster=cluster)
    with lab.record(samplers=[samples]) as history:
        forget_ports(cluster, before)  # as late as can be: an API server that runs has it right again after a while
        with lab.inject(StallEtcdAtStart(full=lab.control == "as-shipped"), [n.name for n in cluster.nodes()]):
            if lab.control == "etcd-away":
                lab.hold_until_shown(runs, within_s=GIVEN_UP_WITHIN_S)
            else:
                hold_s = FULL_S if lab.control else AWAY_S
                lab.hold(max(0.0, round(hold_s - is_away_s(history), 1)), "etcd is away")
                let_go_on(cluster)
                told = partial(is_told, lab, ready)
                lab.hold_until(told, within_s=READY_WITHIN_S + 10, because="the API server is ready, or has ended")
        lab.recover(lab.nodes_ready, within_s=90, what="every node Ready")
    lab.expect(history, runs, ready)
    lab.fact("services", SERVICES)


def is_away_s(history: History) -> float:
    """For how long etcd has been away: the hook's minute runs since then, and that the fault landed was seen later."""
    seen = history.of(ControlPlaneProcesses)
    ran_at = max((s.at for s in seen if s.etcd == "running"), default=0.0)
    return history.now() - min((s.at for s in seen if s.at > ran_at), default=history.now())


def is_told(lab: Lab, invariant: Invariant) -> bool:
    """Whether what was recorded by now tells."""
    return lab.finding_now(invariant).verdict is not Verdict.UNKNOWN
