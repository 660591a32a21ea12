"""webhook-deadlock: a webhook's backend is gone, or slow; nodes report all the same, and its pods come back."""

from typing import Any

from kubernetes import client as k8s

from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.beside import ServesBeside
from chaos.clusters.shape import Shape, Timers
from chaos.judge.base import Invariant
from chaos.run.incident import HARDENED, incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, Promise, judged, says
from chaos.subjects.webhooks.configured import Asks
from chaos.subjects.webhooks.faults import LoseWebhook, ServeWebhook
from chaos.subjects.webhooks.promises import (
    allowed_s,
    nodes_stay_ready,
    replaced_once_back,
    system_pods_admitted,
    webhook_comes_back,
)
from chaos.subjects.webhooks.sampler import Admissions
from chaos.workloads.web import Deployed, Web

OWN, OTHER = Web(name="webhook", replicas=2), Web(replicas=3)
# Whoever could not create a pod tries again after 5 ms, 10 ms and so on up to 1,000 s (client-go's workqueue,
# DefaultTypedControllerRateLimiter): after half a minute of that the next try comes within less than a minute.
WITHIN_S, BACK_WITHIN_S = 60.0, 30.0
SEEN_S = 2.0  # until a watch is known to have seen all of that time
SLOW_S = 10.0
ALL, LEADERS = "asks-for-all", "asks-for-leaders"
ASKS = {None: Asks.HARDENED, ALL: Asks.ALL, LEADERS: Asks.LEADERS}
FAULT = LoseWebhook.kind


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
    """When the backend of a webhook is gone, nodes MUST stay Ready, pods of the system and its own be admitted, and
    another pod that is lost MUST be replaced once the webhook is back.
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
    """When the backend of a webhook answers after 10 s, nodes MUST stay Ready, pods of the system and its own be
    admitted, and another pod that is lost MUST be replaced once the webhook is as quick as before.
    """
    story(lab, answer_after_s=SLOW_S)


def story(lab: Lab, *, answer_after_s: float) -> None:
    """The webhook is lost, and a pod of another namespace with it; both are to be back."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    node = next(n.name for n in cluster.nodes() if not n.control_plane)
    own, other = lab.deploy(OWN), lab.deploy(OTHER)
    invariants = made(lab)
    with (
        lab.configured(ServeWebhook(own.namespace, other.namespace, ASKS[lab.control])),
        lab.record() as history,
        Admissions(history, cluster.api, node),
    ):
        with lab.inject(LoseWebhook(own.namespace, other.namespace, answer_after_s)):
            delete_a_pod(other)
            if lab.control == ALL:
                for each in invariants[:-1]:
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
        webhook_comes_back(OWN.name, OWN.replicas, within_s=BACK_WITHIN_S, fault=FAULT),
        back,
    ]


def delete_a_pod(web: Deployed) -> None:
    """Delete one pod of a workload."""
    with web.cluster.api() as client:
        name: Any = web.pods()[0].metadata.name
        k8s.CoreV1Api(client).delete_namespaced_pod(name, web.namespace)
