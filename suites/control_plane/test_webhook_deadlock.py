"""webhook-deadlock: a webhook's backend is gone, or slow; nodes report all the same, and its pods come back."""

from typing import Any

from kubernetes import client as k8s

from chaos.clusters.abilities import ComponentSwap, EtcdBehind
from chaos.clusters.base import Cluster
from chaos.clusters.beside import ServesBeside
from chaos.clusters.shape import Shape, Timers
from chaos.harm.component import SwapComponent
from chaos.judge.base import Finding, Invariant, judge
from chaos.judge.mutants import mutants_killed, tried
from chaos.record.history import History
from chaos.report.mutants import tried_row
from chaos.run.incident import HARDENED, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, Promise, judged, says
from chaos.subjects.webhooks.configured import Asks
from chaos.subjects.webhooks.faults import LoseWebhook, ServeWebhook
from chaos.subjects.webhooks.promises import (
    allowed_s,
    nodes_admitted,
    nodes_stay_ready,
    replaced_once_back,
    system_pods_admitted,
    way_out_stays,
    webhook_comes_back,
)
from chaos.subjects.webhooks.records import Admission, Request
from chaos.subjects.webhooks.sampler import Admissions
from chaos.workloads.web import Deployed, Web

OWN, OTHER = Web(name="webhook", replicas=2), Web(replicas=3)
# Whoever could not create a pod tries again after 5 ms, 10 ms and so on up to 1,000 s (client-go's workqueue,
# DefaultTypedControllerRateLimiter): after half a minute of that the next try comes within less than a minute.
WITHIN_S, BACK_WITHIN_S = 60.0, 30.0
SEEN_S = 2.0  # until a watch is known to have seen all of that time
SLOW_S = 10.0
ALL, LEADERS = "asks-for-all", "asks-for-leaders"
SHOWN = ("nodes-stay-ready", "system-pods-admitted", "webhook-comes-back")  # by the control ALL
ASKS = {None: Asks.HARDENED, ALL: Asks.ALL, LEADERS: Asks.LEADERS}
FAULT = LoseWebhook.kind
BUGS = {
    "namespace-selector-ignored": "system-pods-admitted",
    "configurations-asked": "way-out-stays",
    "match-conditions-ignored": "nodes-admitted",
}
SHIPPED, NO_BUG = "shipped", "no-bug"
ASKED = 5  # requests of each kind, until a trial is over


def lapse_s(timers: Timers) -> float:
    """After so long without a heartbeat every node is seen to be away; the last one may be just sent."""
    return timers.monitor_grace_s + timers.monitor_grace_s / 5 + 2 * timers.monitor_period_s


def promised(told: Conditions) -> tuple[Promise, ...]:
    back = says(replaced_once_back, OTHER.name, OTHER.replicas, within_s=WITHIN_S, fault=FAULT)
    if told.control == LEADERS:  # whoever would call nodes lost, or make pods, has ended himself
        return (back,)
    return (
        says(nodes_stay_ready, fault=FAULT, lapse_s=lapse_s(told.timers)),
        says(system_pods_admitted, fault=FAULT),
        says(way_out_stays, fault=FAULT),
        *((says(nodes_admitted, fault=FAULT),) if told.control is None else ()),
        says(webhook_comes_back, OWN.name, OWN.replicas, within_s=BACK_WITHIN_S, fault=FAULT),
        back,
    )


def promises(told: Conditions) -> tuple[Judged, ...]:
    return judged(*promised(told), harm=(LoseWebhook,))


@incident(
    "webhook-deadlock",
    on=("simulated",),
    needs=(ServesBeside, EtcdBehind),
    controls=(ALL, LEADERS),
    variant="backend gone",
    faults={HARDENED: (ServeWebhook,), ALL: (ServeWebhook,), LEADERS: (ServeWebhook,)},
    promises=promises,
)
def test_a_cluster_outlives_a_webhook_that_is_gone(lab: Lab) -> None:
    """When the backend of a webhook is gone, nodes MUST stay Ready, pods of the system, of nodes and its own be
    admitted, its configuration be open to changes, and another pod that is lost MUST be replaced once it is back.
    """
    story(lab, answer_after_s=0)


@incident(
    "webhook-deadlock",
    on=("simulated",),
    needs=(ServesBeside, EtcdBehind),
    controls=(ALL,),
    variant="backend slow",
    faults={HARDENED: (ServeWebhook,), ALL: (ServeWebhook,)},
    promises=promises,
)
def test_a_cluster_outlives_a_webhook_that_is_slow(lab: Lab) -> None:
    """When the backend of a webhook answers after 10 s, nodes MUST stay Ready, pods of the system, of nodes and its
    own be admitted, its configuration be open to changes, and another pod that is lost MUST be replaced once it is as
    quick as before.
    """
    story(lab, answer_after_s=SLOW_S)


def promises_of_mutants(told: Conditions) -> tuple[Judged, ...]:
    """Judged are the trials, which are written down as a recording of their own: without harm."""
    twins = [f"{SHIPPED}: {invariant}" for invariant in BUGS.values()]
    return judged(says(mutants_killed, list(BUGS), [] if told.control == NO_BUG else twins))


@incident(
    "webhook-deadlock",
    on=("simulated",),
    needs=(ServesBeside, EtcdBehind, ComponentSwap),
    controls=(NO_BUG,),
    variant="mutants",
    mutants={HARDENED: tuple(BUGS)},
    faults={HARDENED: (ServeWebhook, LoseWebhook, SwapComponent), NO_BUG: (ServeWebhook, LoseWebhook)},
    promises=promises_of_mutants,
)
def test_bugs_of_webhooks_are_found(lab: Lab) -> None:
    """When a historical bug of webhooks is put back, the invariant that is there for it MUST be violated, and with the
    shipped API server it MUST hold.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    findings = trial(lab, cluster, SHIPPED)
    if lab.control == NO_BUG:  # the shipped one under the mutants' names: nothing may be found in it
        said = [tried(0, name, invariant, findings) for name, invariant in BUGS.items()]
    else:
        said = [tried(0, f"{SHIPPED}: {invariant}", invariant, findings) for invariant in BUGS.values()]
        for name, invariant in BUGS.items():
            program = lab.mutant(name)
            with lab.configured(SwapComponent(program.mutant.component, str(program.path))):
                said.append(tried(0, name, invariant, trial(lab, cluster, name)))
    rows = (
        tried_row(
            each.mutant,
            incident="webhook-deadlock",
            shipped="kube-apiserver",
            judged_by=each.invariant,
            verdict=each.verdict,
            reason=each.why(),
        )
        for each in said
    )
    lab.table("mutants", list(rows))
    lab.expect(
        History.of_records(said), mutants_killed(list(BUGS), [t.mutant for t in said if t.mutant.startswith(SHIPPED)])
    )


def trial(lab: Lab, cluster: Cluster, who: str) -> list[Finding]:
    """The webhook is lost, as in the hardened replay, until enough was asked of that API server."""
    lab.phase("story", f"the webhook is lost, with {who}")
    node = next(n.name for n in cluster.nodes() if not n.control_plane)
    own, other = lab.deploy(OWN), lab.deploy(OTHER)

    def asked() -> bool:
        window = history.fault_window(FAULT)
        seen = [a.request for a in history.of(Admission, window)] if window else []
        return all(seen.count(each) >= ASKED for each in Request)

    with (
        lab.configured(ServeWebhook(own.namespace, other.namespace)),
        lab.record() as history,
        Admissions(history, cluster.api, node, other.namespace),
        lab.inject(LoseWebhook(own.namespace, other.namespace)),
    ):
        lab.hold_until(asked, within_s=WITHIN_S, because=f"{ASKED} requests of each kind were answered")
    lab.recover(lab.nodes_ready, within_s=WITHIN_S, what="every node Ready")
    lab.remove_workloads()
    return [judge(each(fault=FAULT), history) for each in (system_pods_admitted, way_out_stays, nodes_admitted)]


def story(lab: Lab, *, answer_after_s: float) -> None:
    """The webhook is lost, and a pod of another namespace with it; both are to be back."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    node = next(n.name for n in cluster.nodes() if not n.control_plane)
    own, other = lab.deploy(OWN), lab.deploy(OTHER)
    invariants = made(lab)
    with (
        lab.configured(ServeWebhook(own.namespace, other.namespace, ASKS[lab.control])),
        lab.record() as history,
        Admissions(history, cluster.api, node, "" if lab.control else other.namespace),
    ):
        with lab.inject(LoseWebhook(own.namespace, other.namespace, answer_after_s)):
            delete_a_pod(other)
            if lab.control == ALL:
                for each in (each for each in invariants[:-1] if each.name in SHOWN):
                    lab.hold_until_shown(each, within_s=BACK_WITHIN_S + WITHIN_S)
            else:  # the most that a lost node, or a controller's lease, needs to be seen
                lab.hold(max(BACK_WITHIN_S, lapse_s(lab.timers)) + 1, "nodes, leaders and pods have had their time")
        back_s = allowed_s(history, within_s=WITHIN_S, fault=FAULT) + SEEN_S
        lab.recover(lambda: other.ready() and own.ready(), within_s=back_s, what="every replica Ready")
        lab.recover(lab.nodes_ready, within_s=WITHIN_S, what="every node Ready")
    lab.expect(history, *invariants)


def made(lab: Lab) -> list[Invariant]:
    """What is promised, made."""
    back = replaced_once_back(OTHER.name, OTHER.replicas, within_s=WITHIN_S, fault=FAULT)
    if lab.control == LEADERS:
        return [back]
    return [
        nodes_stay_ready(fault=FAULT, lapse_s=lapse_s(lab.timers)),
        system_pods_admitted(fault=FAULT),
        way_out_stays(fault=FAULT),
        *((nodes_admitted(fault=FAULT),) if lab.control is None else ()),
        webhook_comes_back(OWN.name, OWN.replicas, within_s=BACK_WITHIN_S, fault=FAULT),
        back,
    ]


def delete_a_pod(web: Deployed) -> None:
    """Delete one pod of a workload."""
    with web.cluster.api() as client:
        name: Any = web.pods()[0].metadata.name
        k8s.CoreV1Api(client).delete_namespaced_pod(name, web.namespace)
