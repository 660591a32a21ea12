"""nofile-exhausted: the daemons of a node run out of file handles, and sockets of its network are left in TIME_WAIT."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.base import Cluster
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.harm.base import Fault
from chaos.judge.availability import ECHO, existing_connections, outage_at_most
from chaos.judge.nodes_ready import ready_throughout
from chaos.judge.start import new_pods_start
from chaos.record.history import History, Window
from chaos.record.probing import ServiceProbes
from chaos.record.records import NodeChange, Probe, Sample
from chaos.results.results import Row
from chaos.run.fit import fit_workers
from chaos.run.incident import HARDENED, incident
from chaos.run.lab import Lab, Sampling
from chaos.run.promised import Conditions, Judged, Seen, judged, node_of, nodes_of, says
from chaos.subjects.handles.asking import ask
from chaos.subjects.handles.dns import dns_node, dns_ready, dns_url
from chaos.subjects.handles.faults import EatHandles, LowerHandleLimit
from chaos.subjects.handles.promises import (
    DNS,
    REFUSED_S,
    daemons_not_restarted,
    daemons_reached,
    dns_answers,
    failure_shows,
    handle_limit_not_reached,
    pods_start,
    pods_start_after_release,
)
from chaos.subjects.handles.records import IN_USE, LIMIT, OPEN, TIME_WAIT, SaidTooMany
from chaos.subjects.handles.sampler import HandleSamples, processes_of, what_the_logs_say
from chaos.subjects.handles.storm import SocketStorm
from chaos.workloads.pinned import EchoServer, Spare, ready_replicas, start_spare, stop_spare
from chaos.workloads.web import Deployed, Web

NEEDS = (RunsContainers, NodeExec, NodeNetwork)
POSTMORTEM_LIMIT = 1024
LOAD = 1100  # connections: what the post-mortem's limit can't bear, and the hardened one can
START_WITHIN_S = 60.0  # 3 s here; a pod that is slow because others share the machine is not one that can't start
TRIED_S = REFUSED_S + 2.0  # so that a pod that was refused and is not Ready then is proven late
REACHED_WITHIN_S = 10.0  # a listener that goes on tries again within a second (net/http, Server.Serve)
RELEASED_WITHIN_S = 60.0  # the kubelet tries a sandbox again with a back-off
ABOVE = 10  # handles left when a limit is lowered
# Of CoreDNS' two pods each has to miss its readiness probe three times in a row, 10 s apart; one that gets through
# begins the count anew.
SHOWN_WITHIN_S = 240.0
ASKED_EVERY_S = 0.2


WORKER = node_of("echo")  # it is put on the node whose daemons run out of handles
DNS_NODE = Seen("a node", lambda history, value: value in nodes_of(history))


def promises_of_load(_: Conditions) -> tuple[Judged, ...]:
    return judged(
        says(pods_start, "spare", fault=EatHandles.kind, within_s=START_WITHIN_S),
        says(handle_limit_not_reached, WORKER, "containerd"),
        says(dns_answers, 2.0, nodes=(WORKER,)),
        says(existing_connections, 2.0, nodes=(WORKER,)),
        says(outage_at_most, 2.0, target="web"),
        says(daemons_not_restarted, {"containerd": WORKER, "kubelet": WORKER}),
        says(new_pods_start, within_s=60),
        harm=(EatHandles,),
    )


def promises_of_daemons(told: Conditions) -> tuple[Judged, ...]:
    places = {"deaf-kube-proxy": {"kube-proxy": WORKER}, "dns-without-handles": {"coredns": DNS_NODE}}.get(
        told.control or "", {"containerd": WORKER, "kubelet": WORKER}
    )
    return judged(
        says(dns_answers, 2.0, nodes=(WORKER,)),
        says(existing_connections, 2.0, nodes=(WORKER,)),
        says(outage_at_most, 2.0, target="web"),
        says(ready_throughout, (WORKER,)),
        says(failure_shows, places),
        says(daemons_reached, places, fault=EatHandles.kind, within_s=REACHED_WITHIN_S),
        says(daemons_not_restarted, places),
        says(pods_start_after_release, "spare", fault=EatHandles.kind, within_s=RELEASED_WITHIN_S),
        says(new_pods_start, within_s=60),
        harm=(EatHandles,) if told.control else (EatHandles, SocketStorm),
    )


@incident(
    "nofile-exhausted",
    on=("kind",),
    needs=NEEDS,
    controls=("limit-1024",),
    faults={"limit-1024": (LowerHandleLimit,)},
    promises=promises_of_load,
)
def test_the_load_that_1024_handles_do_not_bear(lab: Lab) -> None:
    """When the container runtime has to hold 1,100 handles more, pods on the node MUST still start, DNS MUST answer,
    existing and new connections MUST live.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    worker = fit_workers(cluster)[0].name
    web, echo, spare = lab.deploy(Web(replicas=4)), lab.deploy(EchoServer(worker)), lab.deploy(Spare(worker))
    with ExitStack() as set_up:
        if lab.control == "limit-1024":
            set_up.enter_context(lab.configured(LowerHandleLimit(worker, "containerd", limit=POSTMORTEM_LIMIT)))
        lab.fact("containerd's soft limit", processes_of(reached(cluster), worker, ["containerd"])[0].soft)
        with lab.record(probe=web, samplers=samplers(cluster, worker, echo, ["containerd", "kubelet"])) as history:
            with lab.inject(EatHandles(worker, LOAD, of="containerd")):
                start_spare(spare, 3, within_s=TRIED_S if lab.control else START_WITHIN_S + TRIED_S)
                if lab.control:  # the events that say why may come later than the pods are late
                    late = pods_start(spare.name, fault=EatHandles.kind, within_s=START_WITHIN_S)
                    lab.hold_until_shown(late, within_s=SHOWN_WITHIN_S)
                what_the_logs_say(reached(cluster), history, worker, since=0.0)
            lab.recover(
                lambda: ready_replicas(spare) == 3, within_s=RELEASED_WITHIN_S, what="the pods that had to wait"
            )
            stop_spare(spare)
            lab.start_new_pods()
    lab.expect(
        history,
        pods_start(spare.name, fault=EatHandles.kind, within_s=START_WITHIN_S),
        handle_limit_not_reached(worker, "containerd"),
        dns_answers(2.0, nodes=(worker,)),
        existing_connections(2.0, nodes=(worker,)),
        outage_at_most(2.0, target=web.name),
        daemons_not_restarted({"containerd": worker, "kubelet": worker}),
        new_pods_start(within_s=60),
    )


@incident(
    "nofile-exhausted",
    on=("kind",),
    needs=NEEDS,
    controls=("deaf-kube-proxy", "dns-without-handles"),
    variant="each daemon at its limit",
    faults=dict.fromkeys((HARDENED, "deaf-kube-proxy", "dns-without-handles"), (LowerHandleLimit,)),
    promises=promises_of_daemons,
)
def test_what_goes_on_while_a_daemon_has_no_handles(lab: Lab) -> None:
    """When containerd or kubelet runs out of handles, when a pod eats its own, and when a socket storm leaves
    thousands of sockets in TIME_WAIT, DNS, existing and new connections MUST go on, the failure MUST show, and after
    the release pods MUST start, and the daemon MUST be reached, without a restart.

    kube-proxy and CoreDNS are the controls: what kube-proxy listens with ends at the first accept that is refused, and
    CoreDNS takes no connection of the kubelet's readiness probe, so that the DNS Service soon has no endpoints.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    worker = fit_workers(cluster)[0]
    web, echo, spare = lab.deploy(Web(replicas=4)), lab.deploy(EchoServer(worker.name)), lab.deploy(Spare(worker.name))
    dns = dns_node(cluster)
    places = {"containerd": worker.name, "kubelet": worker.name}
    if lab.control is not None:
        places = {"kube-proxy": worker.name} if lab.control == "deaf-kube-proxy" else {"coredns": dns}
    seen: list[Phase] = []
    with lab.record(probe=web, samplers=samplers(cluster, worker.name, echo, places, *places.values())) as history:
        for daemon, node in places.items():
            with lab.configured(LowerHandleLimit(node, daemon, above=ABOVE, mends=True)):
                with lab.inject(EatHandles(node, 60, of=daemon, mends=False)):
                    began = history.now()
                    started = start_spare(spare, 1, within_s=TRIED_S)
                    if daemon == "coredns":
                        lab.hold_until_shown(dns_answers(2.0, nodes=(worker.name,)), within_s=SHOWN_WITHIN_S)
                    what_the_logs_say(reached(cluster), history, node, since=began)
                    seen.append(Phase(f"{daemon} at its limit", node, daemon, Window(began, history.now()), started))
                lab.phase("release", f"{daemon} is asked before one that stays deaf is restarted")
                ask(reached(cluster), history, node, daemon, within_s=REACHED_WITHIN_S + 2)
            lab.recover(
                lambda: ready_replicas(spare) == 1 and dns_ready(cluster),
                within_s=RELEASED_WITHIN_S,
                what="the pod that had to wait, and DNS",
            )
            stop_spare(spare)
        storm = SocketStorm(worker.name, f"{worker.address}:10256", connections=lab.profile.repeats * 1000)
        beside: list[tuple[Fault[Any], str]] = [
            (EatHandles(worker.name, 1000), "a pod eats 1,000 handles of its own"),
            (storm, f"{storm.connections} short connections to kube-proxy"),
        ]
        for harm, what in beside if lab.control is None else []:
            with lab.inject(harm):
                began = history.now()
                started = start_spare(spare, 1, within_s=TRIED_S)
                seen.append(Phase(what, worker.name, "", Window(began, history.now()), started))
            stop_spare(spare)
        lab.start_new_pods()
    lab.table("handles", [row(phase, history) for phase in seen])
    waiting = [s.value for s in history.of(Sample) if s.name == TIME_WAIT and s.subject == worker.name]
    lab.fact("most sockets in TIME_WAIT", max(waiting, default=0))
    in_use = [s.value for s in history.of(Sample) if s.name == IN_USE and s.subject == worker.name]
    lab.fact("most files open in the whole kernel", max(in_use, default=0))
    lab.fact("fs.file-max", float(reached(cluster).node_exec(worker.name, ["cat", "/proc/sys/fs/file-max"]).out))
    lab.expect(
        history,
        dns_answers(2.0, nodes=(worker.name,)),
        existing_connections(2.0, nodes=(worker.name,)),
        outage_at_most(2.0, target=web.name),
        ready_throughout((worker.name,)),
        failure_shows(places),
        daemons_reached(places, fault=EatHandles.kind, within_s=REACHED_WITHIN_S),
        daemons_not_restarted(places),
        pods_start_after_release(spare.name, fault=EatHandles.kind, within_s=RELEASED_WITHIN_S),
        new_pods_start(within_s=60),
    )


@dataclass(frozen=True)
class Phase:
    """A part of the story: what was harmed, on which node, when, and after how many seconds a new pod was Ready."""

    what: str
    node: str
    daemon: str
    when: Window
    started_s: float | None


def samplers(
    cluster: Cluster, worker: str, echo: Deployed, daemons: Sequence[str] | dict[str, str], *other: str
) -> tuple[Sampling, ...]:
    """What is measured beside the Service: DNS and a kept connection from the worker's own network, and handles.

    DNS is asked from the node's network namespace, not from inside a pod: the same way through kube-proxy's rules.
    """
    if not isinstance(cluster, NodeNetwork):
        raise OrdealError(f"{cluster.ref.name} lets nothing be asked from a node's own network")
    asked = {DNS: dns_url(cluster), ECHO: echo.url}

    def probes(target: str, url: str) -> Sampling:
        return lambda history: ServiceProbes(
            cluster, history, target=target, url=url, nodes=(worker,), interval_s=ASKED_EVERY_S
        )

    def handles(node: str) -> Sampling:
        own = [d for d in daemons if not isinstance(daemons, dict) or daemons[d] == node]
        return lambda history: HandleSamples(reached(cluster), history, node, own)

    nodes = dict.fromkeys((worker, *other))
    return (*(probes(target, url) for target, url in asked.items()), *(handles(node) for node in nodes))


class Reached(Cluster, NodeExec, Protocol):
    """A cluster whose nodes can be reached."""


def reached(cluster: Cluster) -> Reached:
    """The cluster, whose nodes can be reached: NEEDS says so."""
    assert isinstance(cluster, NodeExec)
    return cluster


def row(phase: Phase, history: History) -> Row:
    """A line of the table: what happened while a daemon had no handles."""
    subject = f"{phase.node}/{phase.daemon}"
    used = [s for s in history.of(Sample, phase.when) if s.name == OPEN and s.subject == subject]
    limits = [s.value for s in history.of(Sample, phase.when) if s.name == LIMIT and s.subject == subject]
    probes = history.of(Probe, phase.when)
    said = [each for each in history.of(SaidTooMany) if each.object == subject and each.at >= phase.when.start]
    ready = all(c.ready == "True" for c in history.of(NodeChange, phase.when) if c.name == phase.node)
    lost = {t: sum(not p.ok for p in probes if p.target == t) for t in (DNS, ECHO, "web")}
    return {
        "what": phase.what,
        "handles": f"{max(s.value for s in used):.0f} of {min(limits):.0f}" if used else "",
        "a new pod": "not Ready" if phase.started_s is None else f"Ready in {phase.started_s:.1f} s",
        "DNS lost": lost[DNS],
        "kept connection lost": lost[ECHO],
        "Service lost": lost["web"],
        "node": "Ready" if ready else "NOT Ready",
        "log says so": f"{said[-1].times} times" if said else "",
    }
