"""stale-watch-cache: etcd is changed behind the API server's back, and watchers must see what is stored; LISTs in pages
must come from the cache.
"""

from collections.abc import Callable
from contextlib import nullcontext

from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import ComponentSwap, EtcdBehind
from chaos.clusters.shape import Shape
from chaos.harm.component import SwapComponent
from chaos.judge.base import Verdict
from chaos.record.informer import ConfigMapInformer
from chaos.report.mutants import killed_row
from chaos.run.incident import incident
from chaos.run.lab import Lab
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.subjects.watch_cache.faults import FAR_AHEAD, EditEtcdBehind, RestoreSnapshot
from chaos.subjects.watch_cache.promises import pages_from_cache, watchers_see
from chaos.subjects.watch_cache.workload import KEY, LISTED, NAMESPACE, ask_etcd, count_lists, etcd_key, forget, say

# What is promised, and so how long the fault lasts: etcd is asked when the time for seeing it is over, and not before.
SEEN_WITHIN_S = 5.0
NEVER_AFTER = 3.0  # times as long, a busy machine's watchers are late
MUTANT, TOO_MANY_REQUESTS = "pages-from-etcd", 429
LISTS, COUNTED_WITHIN_S = 20, 60.0  # ends when it is seen: an API server that was just started has no cache yet
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


def promises_of_pages(_: Conditions) -> tuple[Judged, ...]:
    return judged(says(pages_from_cache, LISTED))


@incident(
    "stale-watch-cache",
    on=("simulated",),
    needs=(ComponentSwap,),
    controls=(MUTANT,),
    variant="in pages",
    mutants={MUTANT: (MUTANT,)},
    faults={MUTANT: (SwapComponent,)},
    promises=promises_of_pages,
)
def test_lists_in_pages_spare_etcd(lab: Lab) -> None:
    """When a client lists in pages, as kubectl does, the first MUST come from the watch cache, and not from etcd."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    program = lab.mutant(MUTANT) if lab.control == MUTANT else None
    kept = pages_from_cache(LISTED)
    bug = lab.configured(SwapComponent(program.mutant.component, str(program.path))) if program else nullcontext()
    with bug, lab.record() as history:

        def counted() -> bool:
            try:
                count_lists(cluster, history, asked=LISTS)
            except ApiException as error:
                if error.status != TOO_MANY_REQUESTS:
                    raise
            return lab.finding_now(kept).verdict is not Verdict.UNKNOWN

        lab.hold_until(counted, within_s=COUNTED_WITHIN_S, because="the watch cache serves the whole", every_s=2.0)
    lab.expect(history, kept)
    if program:
        lab.table("mutants", [killed_row(program.mutant, lab.findings)])


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
