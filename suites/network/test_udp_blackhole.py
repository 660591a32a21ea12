"""udp-blackhole: the endpoints of a UDP Service move under a client that keeps its source port."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape
from chaos.harm.base import Fault
from chaos.harm.daemon import StopDaemon
from chaos.harm.kube_proxy import SwapKubeProxy
from chaos.judge.base import Invariant, Verdict, judge
from chaos.judge.mutants import MutantTried, mutants_killed, tried
from chaos.record.history import History
from chaos.record.probing import ServiceProbes
from chaos.report.mutants import tried_row
from chaos.run.fit import fit_workers
from chaos.run.incident import HARDENED, Load, incident
from chaos.run.lab import Lab, Sampling
from chaos.run.promised import Conditions, Judged, Seen, judged, nodes_of, says
from chaos.subjects.udp.faults import DeleteService, LosePod, TakeOutOfService
from chaos.subjects.udp.promises import answering, flows_kept, only_endpoints_answer, udp_reaches_an_endpoint
from chaos.subjects.udp.records import TARGET
from chaos.subjects.udp.sampler import UdpSamples
from chaos.subjects.udp.workload import BESIDE, Answerers, add_pod, endpoints, url_beside
from chaos.workloads.web import Deployed

SERVICE = "udp"
WITHIN_S = 5.0
TRIED_S = WITHIN_S + 3.0  # what is promised, and some datagrams more
SHOWN_WITHIN_S = 60.0
ANSWERED_WITHIN_S = 60.0
PODS = 3
LEFT = {"as-shipped-no-endpoint": 1}  # of the endpoints, where it is not PODS
BESIDE_PODS, FLOWS = 3, ("beside-1", "beside-2", "beside-3")  # of the Service's other port
NO_BUG = "no-bug"
MUTANTS = {"conntrack-kept": "udp-reaches-an-endpoint", "conntrack-port-ignored": "flows-kept"}
TWINS = {f"shipped: {kept}": kept for kept in MUTANTS.values()}
CLIENT = Seen("a node", lambda history, value: value in nodes_of(history))
HARM: dict[str | None, tuple[type[Fault[Any]], ...]] = {
    None: (TakeOutOfService, LosePod),
    "deaf-proxy": (StopDaemon, LosePod),
    "as-shipped-no-endpoint": (TakeOutOfService,),
    "as-shipped-deleted": (DeleteService,),
    "deaf-to-labels": (StopDaemon, TakeOutOfService),
}


def promises(told: Conditions) -> tuple[Judged, ...]:
    return judged(
        says(udp_reaches_an_endpoint, SERVICE, CLIENT, within_s=WITHIN_S),
        says(only_endpoints_answer, SERVICE, CLIENT, within_s=WITHIN_S),
        *([says(flows_kept, SERVICE, BESIDE, CLIENT, list(FLOWS))] if told.control is None else []),
        harm=HARM[told.control],
    )


def promises_of_mutants(told: Conditions) -> tuple[Judged, ...]:
    """Judged are the trials, which are written down as a recording of their own: without harm."""
    return judged(says(mutants_killed, list(MUTANTS), [] if told.control == NO_BUG else list(TWINS)))


@incident(
    "udp-blackhole",
    on=("kind",),
    needs=(RunsContainers, NodeExec, NodeNetwork),
    controls=("deaf-proxy", "as-shipped-no-endpoint", "as-shipped-deleted", "deaf-to-labels"),
    load=Load.ALONE,  # it is told how long the client was without an answer
    promises=promises,
)
def test_a_client_that_keeps_its_port_is_answered(lab: Lab) -> None:
    """When the endpoints of a UDP Service move, or go to zero and come back, a client that keeps its source port MUST
    be answered by an endpoint within 5 s of there being one, and MUST NOT be answered by a pod that is none.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    history, client = _story(lab, cluster, lab.control)
    lab.expect(history, *_made(client), *([_kept(client)] if lab.control is None else []))


@incident(
    "udp-blackhole",
    on=("kind",),
    needs=(RunsContainers, NodeExec, NodeNetwork),
    controls=(NO_BUG,),
    variant="mutants",
    load=Load.ALONE,
    mutants={HARDENED: tuple(MUTANTS)},
    faults={HARDENED: (TakeOutOfService, LosePod, SwapKubeProxy), NO_BUG: (TakeOutOfService, LosePod)},
    promises=promises_of_mutants,
)
def test_historical_bugs_of_connection_tracking_are_found(lab: Lab) -> None:
    """When kube-proxy no longer compares connection tracking with the endpoints, or does so whatever a flow's port is,
    as it once did, the promise that is there for it MUST be violated, and with the shipped one it MUST hold.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    if lab.control == NO_BUG:  # the shipped one under the mutants' names: nothing may be found in it
        said = _trial(lab, cluster, MUTANTS)
    else:
        said = _trial(lab, cluster, TWINS)
        for name, kept in MUTANTS.items():
            with lab.configured(SwapKubeProxy(str(lab.mutant(name).path))):
                said += _trial(lab, cluster, {name: kept})
    rows = (
        tried_row(
            each.mutant,
            incident="udp-blackhole",
            shipped="kube-proxy",
            judged_by=each.invariant,
            verdict=each.verdict,
            reason=each.why(),
        )
        for each in said
    )
    lab.table("mutants", list(rows))
    twins = [each.mutant for each in said if each.mutant in TWINS]
    lab.expect(History.of_records(said), mutants_killed(list(MUTANTS), twins))


def _trial(lab: Lab, cluster: Cluster, by: Mapping[str, str]) -> list[MutantTried]:
    """Endpoints move: what each of the promises `by` name says of that kube-proxy."""
    lab.phase("story", f"endpoints move, with {', '.join(by)}")
    history, client = _story(lab, cluster, None)
    found = [judge(each, history) for each in (*_made(client), _kept(client))]
    lab.remove_workloads()
    return [tried(0, name, kept, found) for name, kept in by.items()]


def _story(lab: Lab, cluster: Cluster, control: str | None) -> tuple[History, str]:
    """What was recorded, and the client's node."""
    client, server = (node.name for node in fit_workers(cluster, 2)[:2])
    beside = BESIDE_PODS if control is None else 0
    udp = lab.deploy(Answerers(server, LEFT.get(control or "", PODS), beside=beside))
    assert isinstance(cluster, NodeNetwork)
    reached = cluster

    def probes(target: str, url: str) -> Sampling:
        return lambda history: ServiceProbes(reached, history, target=target, url=url, nodes=(client,))

    samplers: list[Sampling] = [lambda history: UdpSamples(history, cluster, client, udp), probes(TARGET, udp.url)]
    samplers += [probes(flow, url_beside(udp)) for flow in FLOWS if beside]
    with lab.record(samplers=samplers) as history:
        lab.recover(lambda: answering(history, client) is not None, within_s=ANSWERED_WITHIN_S, what="a first answer")
        if control is None:
            _move(lab, history, client, server, udp)
        else:
            _broken(lab, history, client, udp)
        _answered(lab, history, client, udp)
    return history, client


def _made(client: str) -> tuple[Invariant, ...]:
    return (
        udp_reaches_an_endpoint(SERVICE, client, within_s=WITHIN_S),
        only_endpoints_answer(SERVICE, client, within_s=WITHIN_S),
    )


def _kept(client: str) -> Invariant:
    return flows_kept(SERVICE, BESIDE, client, list(FLOWS))


def _move(lab: Lab, history: History, client: str, server: str, udp: Deployed) -> None:
    """The pod that answers is taken out of the Service, and lost; then all are, and another one comes."""
    with lab.inject(TakeOutOfService(udp.namespace, _who_answers(history, client, udp))):
        lab.hold(TRIED_S, "the client is to be answered by another endpoint")
    if not _answered(lab, history, client, udp):
        return  # what is promised is broken, and nobody is there to be lost
    with lab.inject(LosePod(udp.namespace, _who_answers(history, client, udp))):
        lab.hold(TRIED_S, "the client is to be answered by another endpoint")
    with ExitStack() as lost:
        for pod in sorted(endpoints(udp).values()):
            lost.enter_context(lab.inject(LosePod(udp.namespace, pod)))
        lab.hold(TRIED_S, "nobody is there to answer")
        add_pod(udp, f"{SERVICE}-again", server)
        lab.hold(TRIED_S, "the client is to be answered by the new endpoint")


def _broken(lab: Lab, history: History, client: str, udp: Deployed) -> None:
    """The pod that answers goes, and the client stays with it."""
    pod = _who_answers(history, client, udp)
    harm: Fault[Any] = TakeOutOfService(udp.namespace, pod)
    if lab.control == "deaf-proxy":
        harm = LosePod(udp.namespace, pod)
    elif lab.control == "as-shipped-deleted":
        harm = DeleteService(udp.namespace, udp.name)
    breaks = lab.incident.control(lab.control or "").breaks
    (shown,) = (made for made in _made(client) if made.name == breaks)
    with ExitStack() as deaf:
        if StopDaemon in HARM[lab.control]:
            deaf.enter_context(lab.inject(StopDaemon(client, "kube-proxy")))
        with lab.inject(harm):
            lab.hold_until_shown(shown, within_s=SHOWN_WITHIN_S)


def _who_answers(history: History, client: str, udp: Deployed) -> str:
    """The name of the pod that answered the client last."""
    return endpoints(udp)[answering(history, client) or ""]


def _answered(lab: Lab, history: History, client: str, udp: Deployed) -> bool:
    """Whether the client is answered by an endpoint, waited for unless a mutant has shown already that it is not."""
    if lab.replay and lab.finding_now(_made(client)[0]).verdict is Verdict.VIOLATED:
        return False
    return lab.recover(
        lambda: _is_answered(history, client, udp), within_s=ANSWERED_WITHIN_S, what="an endpoint answers"
    )


def _is_answered(history: History, client: str, udp: Deployed) -> bool:
    return answering(history, client) in endpoints(udp)
