"""The steady state: a workload answers from every node before any harm, and every node starts pods after it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import NodeClocks, NodeNetwork
from chaos.clusters.base import EXISTING, Cluster
from chaos.errors import OrdealError
from chaos.judge.base import Verdict, judge
from chaos.judge.serving import serves_before_harm
from chaos.judge.start import NOT_STARTED, STARTED
from chaos.record.given import SetAside
from chaos.record.history import History
from chaos.record.leases import LeaseSamples
from chaos.record.probing import ServiceProbes, steady
from chaos.record.records import Observation, Sample
from chaos.record.waits import PodWaits
from chaos.run.fit import fit_workers
from chaos.run.judging import Judging
from chaos.run.stage import LacksAbilityError
from chaos.run.watched import OPTION, WatchedService, url_of
from chaos.workloads.probe_pod import start_pod

STEADY_WITHIN_S = 300.0  # ends by what is seen, and is as long as the slowest machine needs
ANSWERS_WITHIN_S = 60.0  # the same of what was there before us: it answers, or it does not
NOT_FOUND = 404


class NotServingError(OrdealError):
    """A workload does not answer before any harm: no story is told, and the finding that says so is the verdict."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A Service of the user's own on a cluster: what recordings call it, and what is asked."""

    name: str
    url: str


class Probed(Protocol):
    """A Service that is asked: its name in a recording, and its URL."""

    @property
    def name(self) -> str:
        """One of ours has no slash in it."""
        ...

    @property
    def url(self) -> str:
        """As chaos.record.prober takes it."""
        ...


def probes_of(cluster: Cluster, probe: Probed, history: History) -> ServiceProbes:
    """Probes of a Service from every worker. Raises LacksAbilityError."""
    if not isinstance(cluster, NodeNetwork):
        raise LacksAbilityError(f"probing {probe.name} from every node needs NodeNetwork")
    nodes = tuple(n.name for n in fit_workers(cluster))
    return ServiceProbes(cluster, history, target=probe.name, url=probe.url, nodes=nodes)


@contextmanager
def measuring(cluster: Cluster, probe: Probed, history: History) -> Iterator[None]:
    """Probes of a Service from every worker for the block's length, how old the kubelets' leases are, and, where the
    nodes' processes are this machine's, how long pods wait for a processor. Raises LacksAbilityError.
    """
    with ExitStack() as stack:
        stack.enter_context(LeaseSamples(history, cluster.api))
        if not isinstance(cluster, NodeClocks):  # the nodes share this machine's kernel
            stack.enter_context(PodWaits(history))
        stack.enter_context(probes_of(cluster, probe, history))
        yield


def wait_steady(cluster: Cluster, probe: Probed, judging: Judging) -> None:
    """Wait until the Service answers from every node, several times in a row. Where it does not in the time that is
    given for it, that is judged (chaos.judge.serving), and NotServingError is raised. Raises LacksAbilityError, and
    OrdealError where no prober can be started.

    Ready replicas are not enough: a kube-proxy whose API server was away hears of a new Service up to a minute
    late (client-go's reflector backs off). Without this its first minute would look like an outage by the fault.
    """
    history = History()
    nodes = [n.name for n in fit_workers(cluster)]
    try:
        _answered(cluster, probe, nodes, history, STEADY_WITHIN_S)
    except WaitedInVainError as error:
        serves = serves_before_harm(probe.name, nodes=nodes)
        finding = judge(serves, history)
        if finding.verdict is Verdict.HELD:  # it began to when its time was over
            raise
        judging.judge(history, [serves])
        raise NotServingError(finding.sentence) from error


def _answered(cluster: Cluster, probe: Probed, nodes: Sequence[str], history: History, within_s: float) -> None:
    with probes_of(cluster, probe, history):
        what = f"{probe.name} to answer every node before any fault"
        eventually(lambda: steady(history, nodes), within_s=within_s, what=what)


def steady_services(cluster: Cluster, services: Sequence[WatchedService]) -> tuple[Watched, ...]:
    """Those of them that are on the cluster, each seen to answer from every worker. A cluster that was made here needs
    not have them; one of the user's has to.

    Raises LacksAbilityError where nothing can be asked from the nodes of the user's cluster, OrdealError for a Service
    that can't be watched or does not answer.
    """
    theirs = cluster.ref.kind == EXISTING
    if services and not isinstance(cluster, NodeNetwork):
        if theirs:
            raise LacksAbilityError(f"watching {services[0]} from every node needs NodeNetwork")
        return ()
    found = tuple(each for service in services if (each := _found(cluster, service, needed=theirs)) is not None)
    nodes = [n.name for n in fit_workers(cluster)] if found else []
    for each in found:
        history = History()
        try:
            _answered(cluster, each, nodes, history, ANSWERS_WITHIN_S)
        except WaitedInVainError as error:
            finding = judge(serves_before_harm(each.name, nodes=nodes), history)
            said = error if finding.verdict is Verdict.HELD else finding.sentence
            raise OrdealError(f"{each.name}, which is to be watched, is not well before any harm: {said}") from error
    return found


def _found(cluster: Cluster, service: WatchedService, *, needed: bool) -> Watched | None:
    with cluster.api() as client:
        try:
            there: Any = k8s.CoreV1Api(client).read_namespaced_service(service.service, service.namespace)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            if needed:
                raise OrdealError(f"{OPTION} {service}: the cluster has no Service of that name") from error
            return None
    return Watched(str(service), url_of(service, there.spec))


def start_on_workers(cluster: Cluster, namespace: str, history: History, within_s: float) -> None:
    """Try to start a pod on every worker that was not set aside, and record how long it took, or that it failed."""
    aside = {each.node for each in history.of(SetAside)}
    for node in cluster.nodes():
        if node.control_plane or node.name in aside:
            continue
        took_s = start_pod(cluster, namespace, node.name, within_s=within_s) if node.ready == "True" else None
        if took_s is None:
            seen = f"not Ready within {within_s:g} s (node ready: {node.ready})"
            history.add(Observation(history.now(), NOT_STARTED, node.name, seen))
        else:
            history.add(Sample(history.now(), STARTED, node.name, took_s))
