"""What Kubernetes' documentation promises to go on while harm is done, checked without the API server.

e2e.test needs the API server for its every step (each spec makes a namespace first), so while that is away no spec of
upstream's can be run. What they check of the network can: upstream's "Networking Granular Checks" start agnhost's
netexec on the nodes and have one pod call the others through its HTTP interface. Here those pods are started before the
harm, and asked from the nodes' network namespaces while it lasts.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kubernetes import client as k8s

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import NodeNetwork
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.harm.base import Fault
from chaos.harm.network import CutOff
from chaos.harm.node import Pause, PowerOff
from chaos.judge.conformance import DURING, FAILED, LOST, PASSED
from chaos.record.history import History
from chaos.record.probing import ServiceProbes
from chaos.record.records import Blind, Probe, SpecRun
from chaos.results.specs import SpecResult
from chaos.workloads.base import WORKLOAD_LABEL, create, creating, manifest
from chaos.workloads.web import READY_WITHIN_S, Deployed

AREA = "network"
EVERY_S, TIMEOUT_S = 1.0, 6.0  # netexec itself gives up after five seconds a try
TRIES = 2  # of a call, one after the other: UDP may lose a packet
HTTP_PORT, UDP_PORT = 8083, 8081
# kubernetes.io/docs/tasks/debug/debug-cluster, "Cluster failure modes".
API_SERVER_AWAY = (
    '"API server VM shutdown or apiserver crashing: [...] existing pods and services should continue to work normally, '
    'unless they depend on the Kubernetes API"'
)
PARTITION = '"Network partition: [...] partition B thinks the apiserver is down": for its pods it is as if it were'

Deploy = Callable[["Talkers"], Deployed]


@dataclass(frozen=True, slots=True)
class Talkers:
    """agnhost's netexec on each worker, behind a Service; its url is the Service's address."""

    image: str
    name: str = "talkers"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create them, in a namespace of their own, and wait until each is Ready. Raises OrdealError."""
        filled = manifest("talkers.yaml").substitute(name=self.name, namespace=namespace, run=run, image=self.image)
        with cluster.api() as client, creating(self.name, cluster):
            create(client, filled)
            service: Any = k8s.CoreV1Api(client).read_namespaced_service(self.name, namespace)
        deployed = Deployed(self.name, namespace, service.spec.cluster_ip, 0, cluster)

        def ready() -> bool:
            with cluster.api() as client:
                status: Any = k8s.AppsV1Api(client).read_namespaced_daemon_set_status(self.name, namespace).status
            return bool(status.desired_number_scheduled and status.number_ready == status.desired_number_scheduled)

        eventually(ready, within_s=READY_WITHIN_S, what=f"the pods of {self.name} to be Ready")
        return deployed


def documented(harm: Fault[Any], control_planes: Collection[str]) -> str:
    """What the documentation says goes on while this harm lasts; "" where it promises nothing.

    `control_planes`: the names of the control plane's nodes.
    """
    match harm:
        case PowerOff(node=node) | Pause(node=node) if node in control_planes:
            return API_SERVER_AWAY
        case CutOff(peers=peers) if control_planes and set(control_planes) <= set(peers):
            return PARTITION
    return ""


class Checks:
    """Pods call pods, and the Service of all of them, from each worker, by HTTP and UDP, again and again."""

    def __init__(self, cluster: Cluster, talkers: Deployed) -> None:
        """Reads where the pods are: nobody can be asked later. Raises OrdealError for pods of fewer than two nodes."""
        if not isinstance(cluster, NodeNetwork):
            raise OrdealError(
                f"cluster {cluster.ref.name} gives no way into its nodes' networks, so nothing can be asked"
            )
        self._network, self._service = cluster, talkers.url
        with cluster.api() as client:
            pods: list[Any] = (
                k8s.CoreV1Api(client)
                .list_namespaced_pod(talkers.namespace, label_selector=f"{WORKLOAD_LABEL}={talkers.name}")
                .items
            )
        self._pods = {p.spec.node_name: str(p.status.pod_ip) for p in sorted(pods, key=lambda p: p.spec.node_name)}
        if len(self._pods) < 2:
            raise OrdealError(f"pods of {len(self._pods)} node can't call each other: a second worker is needed")
        self._calls = dict(self._each())
        self._found: dict[str, list[SpecRun]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Each check's name: who calls whom, and how."""
        return tuple(self._calls)

    @contextmanager
    def running(self, history: History, fault: str) -> Iterator[None]:
        """Call for the length of the block; each call is a record, and so is a time in which nobody could ask."""
        probes = History(began=history.began, began_wall=history.began_wall)
        with ExitStack() as stack:
            for name, (node, url) in self._calls.items():
                stack.enter_context(
                    ServiceProbes(
                        self._network,
                        probes,
                        target=name,
                        url=url,
                        nodes=[node],
                        interval_s=EVERY_S,
                        timeout_s=TIMEOUT_S,
                    )
                )
            try:
                yield
            finally:
                stack.close()
                runs = [_run(probe) for probe in probes.of(Probe)]
                for run in runs:
                    history.add(run)
                for gap in probes.of(Blind):
                    history.add(gap)
                self._found.setdefault(fault, []).extend(runs)

    def rows(self, fault: str) -> tuple[SpecResult, ...]:
        """A row of the results for each check: failed where one call failed, with what was said of the first one."""
        rows = []
        for name in self.names:
            runs = [r for r in self._found.get(fault, []) if r.spec == name]
            failed = [r for r in runs if r.state != PASSED]
            state = FAILED if failed else PASSED if runs else LOST
            said = f"{len(failed)} of {len(runs)} calls failed; the first: {failed[0].message}" if failed else ""
            took_s = runs[-1].until - runs[0].at if runs else 0.0
            rows.append(SpecResult("", DURING, name.replace(" ", "-"), name, AREA, state, took_s, "", said))
        return tuple(rows)

    def _each(self) -> Iterator[tuple[str, tuple[str, str]]]:
        nodes = list(self._pods)
        for n, node in enumerate(nodes):
            other = self._pods[nodes[(n + 1) % len(nodes)]]
            for protocol, port, service_port in (("http", HTTP_PORT, 80), ("udp", UDP_PORT, 90)):
                for what, host, at in (("a pod", other, port), ("a Service", self._service, service_port)):
                    asked = {"request": "hostname", "protocol": protocol, "host": host, "port": at, "tries": TRIES}
                    url = f"http://{self._pods[node]}:{HTTP_PORT}/dial?{urlencode(asked)}"
                    yield f"a pod of {node} reaches {what} by {protocol}", (node, url)


def _run(probe: Probe) -> SpecRun:
    """netexec answers with what it was answered, and with the errors of calls that were not: JSON on one line."""
    passed = probe.ok and '"responses"' in probe.answered_by
    said = "" if passed else probe.error or probe.answered_by
    return SpecRun(probe.at, DURING, probe.target, PASSED if passed else FAILED, probe.took_s, AREA, said)
