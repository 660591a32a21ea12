"""The steady state: a workload answers from every node before any harm, and every node starts pods after it."""

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.abilities import NodeNetwork
from chaos.clusters.base import Cluster
from chaos.errors import OrdealError
from chaos.judge.base import Verdict, judge
from chaos.judge.serving import serves_before_harm
from chaos.judge.start import NOT_STARTED, STARTED
from chaos.record.history import History
from chaos.record.probing import ServiceProbes, steady
from chaos.record.records import Observation, Sample
from chaos.run.fit import fit_workers
from chaos.run.judging import Judging
from chaos.run.stage import LacksAbilityError
from chaos.workloads.probe_pod import start_pod
from chaos.workloads.web import Deployed

STEADY_WITHIN_S = 300.0  # ends by what is seen, and is as long as the slowest machine needs


class NotServingError(OrdealError):
    """A workload does not answer before any harm: no story is told, and the finding that says so is the verdict."""


def probes_of(cluster: Cluster, probe: Deployed, history: History) -> ServiceProbes:
    """Probes of a workload's Service from every worker. Raises LacksAbilityError."""
    if not isinstance(cluster, NodeNetwork):
        raise LacksAbilityError(f"probing {probe.name} from every node needs NodeNetwork")
    nodes = tuple(n.name for n in fit_workers(cluster))
    return ServiceProbes(cluster, history, target=probe.name, url=probe.url, nodes=nodes)


def wait_steady(cluster: Cluster, probe: Deployed, judging: Judging) -> None:
    """Wait until the Service answers from every node, several times in a row. Where it does not in the time that is
    given for it, that is judged (chaos.judge.serving), and NotServingError is raised. Raises LacksAbilityError, and
    OrdealError where no prober can be started.

    Ready replicas are not enough: a kube-proxy whose API server was away hears of a new Service up to a minute
    late (client-go's reflector backs off). Without this its first minute would look like an outage by the fault.
    """
    history = History()
    nodes = [n.name for n in fit_workers(cluster)]
    try:
        with probes_of(cluster, probe, history):
            what = f"{probe.name} to answer every node before any fault"
            eventually(lambda: steady(history, nodes), within_s=STEADY_WITHIN_S, what=what)
    except WaitedInVainError as error:
        serves = serves_before_harm(probe.name, nodes=nodes)
        finding = judge(serves, history)
        if finding.verdict is Verdict.HELD:  # it began to when its time was over
            raise
        judging.judge(history, [serves])
        raise NotServingError(finding.sentence) from error


def start_on_workers(cluster: Cluster, history: History, within_s: float) -> None:
    """Try to start a pod on every worker that is Ready; the history says how long it took, or that it failed."""
    for node in cluster.nodes():
        if node.control_plane:
            continue
        took_s = start_pod(cluster, node.name, within_s=within_s) if node.ready == "True" else None
        if took_s is None:
            seen = f"not Ready within {within_s:g} s (node ready: {node.ready})"
            history.add(Observation(history.now(), NOT_STARTED, node.name, seen))
        else:
            history.add(Sample(history.now(), STARTED, node.name, took_s))
