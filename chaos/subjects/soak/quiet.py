"""What an API server reads from etcd while nobody asks it for anything."""

import time

from chaos.basics.waiting import eventually, hold
from chaos.clusters.base import Cluster
from chaos.clusters.control_processes import ComponentPages
from chaos.record.history import History
from chaos.subjects.soak import profiles
from chaos.subjects.soak.records import QuietSpan
from chaos.subjects.soak.workload import stored_events

# Sources: etcd, server/etcdserver/api/v3rpc/metrics.go; the others are every Go component's.
SENT, STARTED, PROCESSOR = (
    "etcd_network_client_grpc_sent_bytes_total",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
)

QUIET_WITHIN_S = 180.0  # ends when it is seen
ALIKE = 1.25  # of two spans none reads more than so many times what the other does


def first_quiet_span(cluster: Cluster, pages: ComponentPages, history: History, lasts_s: float) -> QuietSpan:
    """The first span that reads as much as the one before it, with as many events: what came before is over.

    Raises WaitedInVainError where it does not become quiet.
    """
    before = quiet_span(cluster, pages, history, lasts_s)

    def alike() -> QuietSpan | None:
        nonlocal before
        last, before = before, quiet_span(cluster, pages, history, lasts_s)
        fits = max(last.read_bytes, before.read_bytes) <= ALIKE * min(last.read_bytes, before.read_bytes)
        same = (last.stored, last.processes) == (before.stored, before.processes)
        return before if fits and same else None

    found = eventually(alike, within_s=QUIET_WITHIN_S, what="an API server that nobody asks to be at rest")
    assert found is not None
    return found


def quiet_span(cluster: Cluster, pages: ComponentPages, history: History, lasts_s: float) -> QuietSpan:
    """Ask for nothing for so long, and tell what came from etcd. `pages` is the cluster's too; `history` has the time.

    Raises OrdealError where a component does not answer, ValueError where it says something else.
    """
    with cluster.api() as client:
        stored = stored_events(client)
    etcd, apiserver = _figures(pages)
    began = time.monotonic()
    hold(lasts_s)
    etcd_then, apiserver_then = _figures(pages)
    processes = [f"{profiles.figure(each, STARTED):.2f}" for each in (etcd, apiserver, etcd_then, apiserver_then)]
    return QuietSpan(
        history.now(),
        round(time.monotonic() - began, 3),
        round(profiles.figure(etcd_then, SENT) - profiles.figure(etcd, SENT)),
        stored,
        round(profiles.figure(apiserver_then, PROCESSOR) - profiles.figure(apiserver, PROCESSOR), 3),
        tuple(dict.fromkeys(processes)),
    )


def _figures(pages: ComponentPages) -> tuple[str, str]:
    etcd, apiserver = (pages.component_page(name, "/metrics").decode() for name in ("etcd", "kube-apiserver"))
    return etcd, apiserver
