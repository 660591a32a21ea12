"""What each workload is judged by: promises that suites make, as they are. None is made for the campaign."""

import hashlib
import inspect
import sys
from collections.abc import Sequence

from chaos.campaign.ground import ADDRESS, ORDERED, PINNED, PODS, WEB
from chaos.campaign.slot import FAULT
from chaos.judge.availability import outage_at_most
from chaos.judge.base import Finding, Invariant, judge
from chaos.judge.nodes_ready import ready_throughout
from chaos.judge.pods import nothing_terminated, same_pods
from chaos.judge.start import new_pods_start
from chaos.record.history import History, Window
from chaos.subjects.aged.promises import (
    changed_workload_follows,
    components_keep_running,
    endpoints_follow,
    selected_nodes_stay,
)
from chaos.subjects.garbage.promises import pods_of_deleted_go
from chaos.subjects.pleg.promises import pods_converge

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
WITHIN_S = 40.0  # from the touch on: what has not come by then has not come
RUNS_ON_S = 15.0
OUTAGE_S, GAP_S = 5.0, 10.0  # looks are a second apart, on a busy machine some
MAKERS = (
    outage_at_most,
    same_pods,
    nothing_terminated,
    pods_converge,
    endpoints_follow,
    changed_workload_follows,
    selected_nodes_stay,
    pods_of_deleted_go,
    new_pods_start,
    ready_throughout,
    components_keep_running,
)


def promises(node: str, until_touch: Window) -> tuple[Invariant, ...]:
    """The promises about a workload on that node. `until_touch`: from its edit until it was touched: from then on its
    pods are to be others.
    """
    still = [
        make(name, window=until_touch) for name in (WEB, ORDERED, PINNED) for make in (same_pods, nothing_terminated)
    ]
    return (
        *still,
        *(pods_converge(name, least=PODS[name]) for name in (WEB, ORDERED, PINNED)),
        outage_at_most(OUTAGE_S, nodes=(node,), target=ADDRESS, gap_s=GAP_S, window=until_touch),
        endpoints_follow((ADDRESS,), fault=FAULT, within_s=WITHIN_S),
        changed_workload_follows(ORDERED, replicas=PODS[ORDERED], fault=FAULT, within_s=WITHIN_S),
        selected_nodes_stay(PINNED, fault=FAULT),
        pods_of_deleted_go(within_s=WITHIN_S, fault=FAULT),
        new_pods_start(within_s=WITHIN_S),
        ready_throughout((node,)),
        components_keep_running(COMPONENTS, fault=FAULT, for_s=RUNS_ON_S),
    )


def judged(history: History, node: str, until_touch: Window) -> Sequence[Finding]:
    """What they say of a history."""
    return [judge(each, history) for each in promises(node, until_touch)]


def digest() -> str:
    """Of the sources of all the promises, and of how they are used here: equal before and after a campaign."""
    modules = sorted({make.__module__ for make in MAKERS} | {__name__})
    text = "".join(inspect.getsource(sys.modules[name]) for name in modules)
    return hashlib.sha256(text.encode()).hexdigest()
