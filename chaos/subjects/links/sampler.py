"""Links between nodes, measured: throughput, loss and round-trip time of every pair, in both networks.

By iperf3, whose JSON is read here. Each measurement is a Sample whose subject is "LAYER/ONE/OTHER": the node network
or the pod network, and the two nodes by name. One pair is measured at a time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from statistics import median
from typing import Any

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.way.podexec import exec_in_pod
from chaos.errors import OrdealError
from chaos.hosts.command import CommandError
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.results.results import Row
from chaos.subjects.links.iperf import Server, servers
from chaos.subjects.links.records import LOSS, RTT, THROUGHPUT, NoResult
from chaos.workloads.web import Deployed

LAYERS = ("node", "pod")
TO_SIGMA = 1.4826  # of the median absolute deviation, for a normal distribution
# The post-mortem's: many small writes at once.
LENGTH_BYTES, PARALLEL = 150, 100
# Some 400 datagrams of that length a second: 1 % of them is a few, and a receiver that has no processor for half a
# second still keeps all of them in its socket's buffer.
DATAGRAMS_BITS_PER_S = 500_000
CONNECT_TIMEOUT_MS = 3_000
# So few that none waits behind another: what a hundred connections have in their buffers is no round-trip time.
BLOCKS_FOR_RTT = 20
# Beside the time of measuring. Connections are made, and results exchanged, over the link itself: a sound one takes 2 s
# on a crowded machine; over a bad one what a hundred connections have in their buffers can take minutes.
BESIDE_S = 12.0
LISTENS_WITHIN_S = 15.0
TIMED_OUT = (124, 143)  # what timeout(1) returns, of coreutils and of busybox
AGAIN = 2


@dataclass(frozen=True, slots=True)
class Link:
    """What was measured of one pair of nodes in one network; None where it could not be."""

    layer: str
    one: str
    other: str
    throughput_bits_per_s: float | None = None
    loss: float | None = None
    rtt_s: float | None = None
    trouble: str = ""

    @property
    def subject(self) -> str:
        """What its figures are called by: LAYER/NODE/NODE."""
        return f"{self.layer}/{self.one}/{self.other}"


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """From where on a link stands out from the median of all: so many robust standard deviations, at least a floor.

    The floors keep noise on alike links from standing out: less than `throughput_part` of the median, more than
    `loss` (a part) above it, more than `rtt_s` above it. `without_result`: a link over which no result came stands out.
    """

    sigmas: float = 6.0
    throughput_part: float = 0.5
    loss: float = 0.01
    rtt_s: float = 0.02
    without_result: bool = True


DEFAULT = LinkLimits()
# So loose that nothing short of a link that carries next to nothing stands out: what a control shows to be useless.
LOOSE = LinkLimits(sigmas=1e6, throughput_part=1e-6, loss=0.99, rtt_s=60.0, without_result=False)


@dataclass(frozen=True, slots=True)
class Outlier:
    """A link that stands out, and by what."""

    link: Link
    why: str

    @property
    def pair(self) -> frozenset[str]:
        """The two nodes, whichever of them measured."""
        return frozenset((self.link.one, self.link.other))


def measure_links(deployed: Deployed, history: History, *, for_s: float) -> None:
    """Measure every pair of nodes in both networks, each way of measuring for so many seconds, into the history.

    Each direction has its turn: side by side one of the two starves by chance, and a sound link looks like a tenth of
    itself. The slower one counts. A link whose figures stand out is measured again, AGAIN times at the most, and the
    last measurement counts: on a busy machine a moment without a processor looks like a bad link, and a bad link goes
    on being bad. A pair over which iperf3 gets no result in time is a NoResult. Raises OrdealError where
    a pod is not reached by the API server, or iperf3 itself fails.
    """
    found = {(s.layer, s.node): s for s in servers(deployed)}
    for layer in LAYERS:
        for one, other in combinations([s for s in found.values() if s.layer == layer], 2):
            _measure(deployed, history, one, other, for_s)
    for _ in range(AGAIN):
        for outlier in outliers(links_in(history), DEFAULT):
            link = outlier.link
            if link.trouble:
                continue
            _measure(deployed, history, found[link.layer, link.one], found[link.layer, link.other], for_s)


def links_in(history: History) -> tuple[Link, ...]:
    """What a history holds of each link; the last measurement where there are several."""
    values: dict[str, dict[str, float]] = {}
    troubles: dict[str, str] = {}
    records: list[Sample | NoResult] = [*history.of(Sample), *history.of(NoResult)]
    for r in sorted(records, key=lambda r: r.at):
        if isinstance(r, Sample) and r.name in {THROUGHPUT, LOSS, RTT}:
            values.setdefault(r.subject, {})[r.name] = r.value
            troubles.pop(r.subject, None)
        elif isinstance(r, NoResult):
            troubles[r.object] = r.why
            for name in (THROUGHPUT, RTT):
                values.get(r.object, {}).pop(name, None)
    links = []
    for subject in sorted({*values, *troubles}):
        layer, one, other = subject.split("/")
        of = values.get(subject, {})
        links.append(Link(layer, one, other, of.get(THROUGHPUT), of.get(LOSS), of.get(RTT), troubles.get(subject, "")))
    return tuple(links)


def outliers(links: Sequence[Link], limits: LinkLimits) -> tuple[Outlier, ...]:
    """The links that stand out from the others of their network: median and median absolute deviation, with floors."""
    found = []
    for layer in LAYERS:
        of_layer = [link for link in links if link.layer == layer]
        rates = [link.throughput_bits_per_s for link in of_layer if link.throughput_bits_per_s is not None]
        losses = [link.loss for link in of_layer if link.loss is not None]
        rtts = [link.rtt_s for link in of_layer if link.rtt_s is not None]
        for link in of_layer:
            why = []
            if link.trouble or link.throughput_bits_per_s is None or link.rtt_s is None:
                if limits.without_result:
                    why.append(link.trouble or "it was not measured")
            else:
                # By logarithms: with noise enough, six deviations below the median would be below nothing at all.
                usual, rate = median(rates), _log(link.throughput_bits_per_s)
                logs = [_log(each) for each in rates]
                if rate < median(logs) - max(limits.sigmas * _sigma(logs), -log(limits.throughput_part)):
                    why.append(f"{link.throughput_bits_per_s / 1e6:.1f} Mbit/s, the median is {usual / 1e6:.1f}")
                if link.rtt_s > median(rtts) + max(limits.sigmas * _sigma(rtts), limits.rtt_s):
                    why.append(f"{1000 * link.rtt_s:.1f} ms round trip, the median is {1000 * median(rtts):.1f} ms")
            if link.loss is not None and link.loss > median(losses) + max(limits.sigmas * _sigma(losses), limits.loss):
                why.append(f"{100 * link.loss:.1f} % lost, the median is {100 * median(losses):.1f} %")
            if why:
                found.append(Outlier(link, ", ".join(why)))
    return tuple(found)


def matrix(history: History, layer: str) -> list[Row]:
    """A row for each node and a column for each other: throughput, loss and round-trip time between the two."""
    links = [link for link in links_in(history) if link.layer == layer]
    nodes = sorted({n for link in links for n in (link.one, link.other)})
    cells = {frozenset((link.one, link.other)): _cell(link) for link in links}
    return [{"from": a, **{b: cells.get(frozenset((a, b)), "-") for b in nodes}} for a in nodes]


def throughput(report: Mapping[str, Any]) -> float:
    """Bits per second that arrived, of a TCP test of one direction, as `iperf3 --json` prints it."""
    received = report["end"].get("sum_received")
    if not received:
        raise OrdealError("iperf3 measured no connection")
    return float(received["bits_per_second"])


def rtt(report: Mapping[str, Any]) -> float:
    """Seconds: the shortest round-trip time of a TCP test's connections, which is the kernel's own (tcp_info(7))."""
    told = [stream["sender"].get("min_rtt", 0) for stream in report["end"]["streams"] if "sender" in stream]
    measured = [each for each in told if each > 0]  # microseconds; 0 of one that sent nothing
    if not measured:
        raise OrdealError("iperf3 told no round-trip time; is it older than 3.7?")
    return float(min(measured)) / 1e6


def loss(report: Mapping[str, Any]) -> float:
    """The part of the datagrams that was lost, in the worse direction, of a UDP test."""
    end = report["end"]
    sums = [end[key] for key in ("sum", "sum_bidir_reverse") if end.get(key, {}).get("packets")]
    if not sums:
        raise OrdealError("iperf3 counted no datagram")
    return float(max(s["lost_packets"] / s["packets"] for s in sums))


def _log(rate: float) -> float:
    return log(max(rate, 1.0))


def _sigma(values: Sequence[float]) -> float:
    middle = median(values)
    return TO_SIGMA * median(abs(value - middle) for value in values)


def _measure(deployed: Deployed, history: History, one: Server, other: Server, for_s: float) -> None:
    """Loss first, with few packets: a link too bad for many connections can still tell that."""
    subject = f"{one.layer}/{one.node}/{other.node}"
    udp = ["--udp", "--bidir", "--bitrate", str(DATAGRAMS_BITS_PER_S)]
    try:
        lost = loss(_iperf(deployed, one, other, udp, for_s))
        history.add(Sample(history.now(), LOSS, subject, lost))
        rtt_s = rtt(_iperf(deployed, one, other, ["--blockcount", str(BLOCKS_FOR_RTT)], None))
        rate = min(
            throughput(_iperf(deployed, one, other, ["--parallel", str(PARALLEL), *direction], for_s))
            for direction in ([], ["--reverse"])
        )
    except CommandError as error:
        trouble = (error.output.strip().splitlines() or [str(error).splitlines()[0]])[-1]
        history.add(NoResult(history.now(), one.layer, one.node, other.node, trouble[:200]))
        return
    history.add(Sample(history.now(), THROUGHPUT, subject, rate))
    history.add(Sample(history.now(), RTT, subject, rtt_s))


def _iperf(deployed: Deployed, one: Server, other: Server, how: Sequence[str], for_s: float | None) -> dict[str, Any]:
    """Run the client in one's pod against the other's server, for so long or as `how` says; returns its report.

    Raises CommandError.
    """
    within_s = round((for_s or 0.0) + BESIDE_S)  # ended in the pod: a client that goes on would keep the server busy
    argv = ["timeout", str(within_s), "iperf3", "--client", other.address, "--port", str(other.port)]
    argv += ["--bind", one.address, "--json", "--connect-timeout", str(CONNECT_TIMEOUT_MS)]
    argv += ["--length", str(LENGTH_BYTES), *how]
    if for_s is not None:
        argv += ["--time", str(max(1, round(for_s)))]  # whole seconds; 0 would be without end

    def report() -> dict[str, Any] | None:
        with deployed.cluster.api() as client:
            said = exec_in_pod(client, one.namespace, one.pod, argv, timeout_s=within_s + 10.0, check=False)
        if said.code in TIMED_OUT:
            raise CommandError(argv, "was ended", f"no result within {within_s} s")
        told: dict[str, Any] = json.loads(said.out) if said.out.strip().startswith("{") else {"error": said.err}
        error = str(told.get("error", ""))
        if "refused" in error or "busy" in error:  # it is just starting, or has not noticed yet how the last one ended
            return None
        if said.code != 0 or error:
            raise CommandError(argv, f"exited with {said.code}", error or said.err)
        return told

    failed: list[CommandError] = []

    def tried() -> dict[str, Any] | bool | None:
        try:
            return report()
        except CommandError as error:
            failed.append(error)
            return True

    try:
        found = eventually(
            tried, within_s=LISTENS_WITHIN_S, what=f"iperf3 on {other.node} to take a client", every_s=0.5
        )
    except WaitedInVainError as error:
        raise CommandError(argv, "found no server that was free", str(error)) from error
    if failed:
        raise failed[0]
    assert isinstance(found, dict)
    return found


def _cell(link: Link) -> str:
    lost = "" if link.loss is None else f", {100 * link.loss:.1f} % lost"
    if link.throughput_bits_per_s is None or link.rtt_s is None:
        return f"no result{lost}"
    return f"{link.throughput_bits_per_s / 1e6:.0f} Mbit/s{lost}, {1000 * link.rtt_s:.1f} ms"
