"""What an API server reads from etcd while nobody asks it for anything."""

import time

from chaos.basics.waiting import hold
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


def quiet_span(cluster: Cluster, pages: ComponentPages, history: History, lasts_s: float) -> QuietSpan:
    """Ask for nothing for so long, and record what came from etcd. `pages` is the cluster's too.

    Raises OrdealError where a component does not answer, ValueError where it says something else.
    """
    with cluster.api() as client:
        stored = stored_events(client)
    etcd, apiserver = _figures(pages)
    began = time.monotonic()
    hold(lasts_s)
    etcd_then, apiserver_then = _figures(pages)
    processes = [f"{profiles.figure(each, STARTED):.2f}" for each in (etcd, apiserver, etcd_then, apiserver_then)]
    span = QuietSpan(
        history.now(),
        round(time.monotonic() - began, 3),
        round(profiles.figure(etcd_then, SENT) - profiles.figure(etcd, SENT)),
        stored,
        round(profiles.figure(apiserver_then, PROCESSOR) - profiles.figure(apiserver, PROCESSOR), 3),
        tuple(dict.fromkeys(processes)),
    )
    history.add(span)
    return span


def _figures(pages: ComponentPages) -> tuple[str, str]:
    etcd, apiserver = (pages.component_page(name, "/metrics").decode() for name in ("etcd", "kube-apiserver"))
    return etcd, apiserver
