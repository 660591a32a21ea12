"""Undoing what runs that are over have left behind: faults that were never taken back, clusters never deleted."""

from collections.abc import Callable
from dataclasses import dataclass

from chaos.clusters import pool
from chaos.clusters.client import FAILURES, told
from chaos.faults import load_all
from chaos.faults.base import undo_pending
from chaos.hosts.places import journals_dir
from chaos.journal import CLUSTER, WORKLOAD, Pending, adopt, pending
from chaos.workloads.web import remove_namespace


@dataclass(frozen=True, slots=True)
class Undone:
    """One entry of a journal that was handled; `error` is empty where it is undone."""

    what: str
    error: str = ""


def undo_all(report: Callable[[str], None]) -> tuple[Undone, ...]:
    """Undo all that is pending and not of a live run, newest first. Each is tried; what fails stays pending."""
    load_all()
    found = pending(journals_dir())
    doomed = {p.cluster.name for p in found if p.kind == CLUSTER}
    handled: list[Undone] = []
    for one in found:
        what = f"{one.kind} on {one.cluster.name}"
        report(f"an earlier run left {what} behind; undoing it")
        try:
            if _undo(one, with_its_cluster=one.cluster.name in doomed and one.kind != CLUSTER):
                handled.append(Undone(what))
        except FAILURES as error:
            report(f"{what} could not be undone: {told(error)}")
            handled.append(Undone(what, told(error)))
    return tuple(handled)


def _undo(one: Pending, *, with_its_cluster: bool) -> bool:
    there = one.kind != CLUSTER and not with_its_cluster and pool.exists(one.cluster)
    if there and one.kind != WORKLOAD:
        return undo_pending(one, pool.attach(one.cluster))
    with adopt(one.path) as journal:
        if journal is None:
            return False
        if one.kind == CLUSTER:
            pool.attach(one.cluster).delete()
        elif there:
            remove_namespace(pool.attach(one.cluster), str(one.saved["namespace"]))
        journal.undone(one.entry)  # a fault ends with the cluster that it was done to
    return True
