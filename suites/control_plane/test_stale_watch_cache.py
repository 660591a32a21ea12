"""stale-watch-cache: etcd is changed behind the API server's back, and watchers must see what is stored."""

from collections.abc import Callable

from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.shape import Shape
from chaos.judge.base import Verdict
from chaos.record.informer import ConfigMapInformer
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.watch_cache.faults import FAR_AHEAD, EditEtcdBehind, RestoreSnapshot
from chaos.subjects.watch_cache.promises import watchers_see
from chaos.subjects.watch_cache.workload import KEY, NAMESPACE, ask_etcd, etcd_key, forget, say

# What is promised, and so how long the fault lasts: etcd is asked when the time for seeing it is over, and not before.
SEEN_WITHIN_S = 5.0
NEVER_AFTER = 3.0  # times as long, a busy machine's watchers are late
CHANGED, DELETED, MADE_LATER = "changed-after-the-snapshot", "deleted-after-the-snapshot", "made-after-the-snapshot"


def promises_of_edited(_: Conditions) -> tuple[Judged, ...]:
    return judged(says(watchers_see, EditEtcdBehind.kind, within_s=SEEN_WITHIN_S), harm=(EditEtcdBehind,))


def promises_of_restored(_: Conditions) -> tuple[Judged, ...]:
    return judged(says(watchers_see, RestoreSnapshot.kind, within_s=SEEN_WITHIN_S), harm=(RestoreSnapshot,))


@incident(
    "stale-watch-cache",
    on=("simulated",),
    needs=(EtcdBehind,),
    variant="edited in place",
    promises=promises_of_edited,
)
def test_watchers_see_an_object_that_was_edited_in_etcd(lab: Lab) -> None:
    """When an object's bytes are changed in etcd while the API server runs, watchers MUST see the new ones."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    assert isinstance(cluster, EtcdBehind)
    say(cluster, "edited", "value-as-written")
    edit = EditEtcdBehind(etcd_key("edited"), "value-as-written", "value-as-edited!")
    with lab.record() as history, ConfigMapInformer(history, cluster.api, NAMESPACE, KEY), lab.inject(edit):
        _hold_until_seen(lab, EditEtcdBehind.kind, lambda: ask_etcd(cluster, history, ["edited"]))
    forget(cluster, ["edited"])
    lab.expect(history, watchers_see(EditEtcdBehind.kind, within_s=SEEN_WITHIN_S))


@incident(
    "stale-watch-cache",
    on=("simulated",),
    needs=(EtcdBehind,),
    controls=("no-bump",),
    variant="restored",
    promises=promises_of_restored,
)
def test_watchers_see_what_a_restored_snapshot_holds(lab: Lab) -> None:
    """When etcd is restored from a snapshot while the API server runs, watchers MUST see what the snapshot holds:
    the old value of what was changed, what was deleted, and nothing of what was made after it.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    assert isinstance(cluster, EtcdBehind)
    say(cluster, CHANGED, "in the snapshot")
    say(cluster, DELETED, "in the snapshot")
    with lab.record() as history, ConfigMapInformer(history, cluster.api, NAMESPACE, KEY):
        snapshot = cluster.etcd_snapshot("before-the-changes")
        say(cluster, CHANGED, "after the snapshot")
        forget(cluster, [DELETED])
        say(cluster, MADE_LATER, "after the snapshot")
        bump = 0 if lab.control == "no-bump" else FAR_AHEAD
        with lab.inject(RestoreSnapshot(snapshot, bump_revision=bump)):
            _hold_until_seen(
                lab, RestoreSnapshot.kind, lambda: ask_etcd(cluster, history, [CHANGED, DELETED, MADE_LATER])
            )
        lab.recover(lab.nodes_ready, within_s=60, what="every node Ready")
    forget(cluster, [CHANGED, MADE_LATER])
    lab.expect(history, watchers_see(RestoreSnapshot.kind, within_s=SEEN_WITHIN_S))


def _hold_until_seen(lab: Lab, fault: str, ask: Callable[[], None]) -> None:
    """Until watchers must have seen it, and, but in a control, for longer where they did not: late is not never."""
    lab.hold(SEEN_WITHIN_S + 1, "until watchers must have seen it")
    ask()
    promised = watchers_see(fault, within_s=SEEN_WITHIN_S)
    if lab.control or lab.finding_now(promised).verdict is not Verdict.VIOLATED:
        return

    def is_seen() -> bool:
        ask()
        return lab.finding_now(promised).verdict is not Verdict.VIOLATED

    lab.hold_until(is_seen, within_s=(NEVER_AFTER - 1) * SEEN_WITHIN_S, because="watchers see it late", every_s=2.0)
