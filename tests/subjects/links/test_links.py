"""Links between nodes: what iperf3 says is read, the pair that stands out is named, noise is not."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.errors import OrdealError
from chaos.judge.base import Finding, Verdict, judge
from chaos.record.history import History
from chaos.record.records import Sample
from chaos.record.registry import Record
from chaos.subjects.links.promises import bad_pair_found, links_alike
from chaos.subjects.links.records import LOSS, RTT, THROUGHPUT, NoResult
from chaos.subjects.links.sampler import (
    LAYERS,
    LOOSE,
    LinkLimits,
    loss,
    matrix,
    rtt,
    throughput,
)
from tests.judge.histories import history

PAIRS = ("cp/w1", "cp/w2", "cp/w3", "w1/w2", "w1/w3", "w2/w3")
GOOD = (400e6, 0.0, 0.002)


def links(bad: Mapping[str, tuple[float, float, float]] | None = None, pairs: tuple[str, ...] = PAIRS) -> History:
    """Every pair in both networks; `bad` maps a pair to throughput, loss and round-trip time."""
    records: list[Record] = []
    for layer in LAYERS:
        for n, pair in enumerate(pairs):
            values = (bad or {}).get(pair, (GOOD[0] + n * 1e6, GOOD[1], GOOD[2] + n * 1e-4))
            for name, value in zip((THROUGHPUT, LOSS, RTT), values, strict=True):
                records.append(Sample(1.0, name, f"{layer}/{pair}", value))
    return history(records)


def alike(seen: History, *suspect: str) -> Finding:
    return judge(links_alike(suspect=suspect), seen)


def test_links_that_differ_by_noise_are_alike() -> None:
    finding = alike(links({"w1/w2": (230e6, 0.004, 0.005)}))
    assert finding.verdict is Verdict.HELD
    assert finding.figures["links"] == 12
    assert finding.figures["slowest_mbit_per_s"] == 230.0


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ((5e6, 0.0, 0.002), "5.0 Mbit/s, the median is"),
        ((400e6, 0.03, 0.002), "3.0 % lost, the median is 0.0 %"),
        ((400e6, 0.0, 0.2), "200.0 ms round trip"),
    ],
)
def test_the_pair_that_stands_out_is_named_by_what(bad: tuple[float, float, float], says: str) -> None:
    seen = links({"w2/w3": bad})
    finding = alike(seen, "w3", "w2")
    assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, "that-pair")
    assert says in finding.sentence
    assert "w2 and w3 (node network)" in finding.sentence
    assert {r.object for r in finding.proof} == {"node/w2/w3", "pod/w2/w3"}
    assert alike(seen, "w1", "w2").reason == "outlier"
    found = judge(bad_pair_found(("w3", "w2")), seen)
    assert found.verdict is Verdict.HELD


def test_a_pair_that_is_not_found_or_not_alone_is_a_violation() -> None:
    assert judge(bad_pair_found(("w2", "w3")), links()).reason == "missed"
    other = judge(bad_pair_found(("w2", "w3")), links({"w1/w2": (5e6, 0.0, 0.002)}))
    assert other.reason == "missed"
    assert "w1 and w2 were named instead" in other.sentence
    both = links({"w1/w2": (5e6, 0.0, 0.002), "w2/w3": (5e6, 0.0, 0.002)})
    assert judge(bad_pair_found(("w2", "w3")), both).reason == "outlier"
    assert alike(both, "w2", "w3").reason == "outlier"


def test_loose_limits_miss_the_worst_link() -> None:
    seen = links({"w2/w3": (5e6, 0.05, 0.5)})
    assert judge(bad_pair_found(("w2", "w3"), LOOSE), seen).reason == "missed"


def test_a_pair_without_a_result_stands_out() -> None:
    seen = history(
        [r for r in links().of(Sample) if not r.subject.endswith("w2/w3")],
        NoResult(2.0, "node", "w2", "w3", "unable to connect to server"),
        NoResult(2.0, "pod", "w2", "w3", "unable to connect to server"),
    )
    finding = alike(seen, "w2", "w3")
    assert finding.reason == "that-pair"
    assert "w2 and w3 (node network): unable to connect to server" in finding.sentence
    assert judge(bad_pair_found(("w2", "w3"), LOOSE), seen).reason == "missed"
    assert matrix(seen, "pod")[2] == {
        "from": "w2",
        "cp": "401 Mbit/s, 0.0 % lost, 2.1 ms",
        "w1": "403 Mbit/s, 0.0 % lost, 2.3 ms",
        "w2": "-",
        "w3": "no result",
    }


def test_without_most_links_nothing_can_be_said() -> None:
    assert alike(history()).verdict is Verdict.UNKNOWN
    assert alike(links(pairs=("w1/w2",))).verdict is Verdict.UNKNOWN
    ends = [pair.split("/") for pair in PAIRS[:3]]
    dead: list[Record] = [NoResult(2.0, layer, one, other, "refused") for layer in LAYERS for one, other in ends]
    half = [r for r in links().of(Sample) if not any(r.subject.endswith(p) for p in PAIRS[:3])]
    finding = alike(history(half, dead))
    assert finding.verdict is Verdict.UNKNOWN
    assert "3 of 6 links of the node network were measured: refused" in finding.sentence


@given(st.lists(st.floats(0.75, 1.25), min_size=6, max_size=6), st.integers(0, 5))
def test_whatever_the_noise_a_link_that_is_dead_is_found_alone(noise: list[float], bad: int) -> None:
    spread = {p: (GOOD[0] * n, 0.005 * abs(1 - n), GOOD[2] * n) for p, n in zip(PAIRS, noise, strict=True)}
    assert alike(links(spread)).verdict is Verdict.HELD
    spread[PAIRS[bad]] = (GOOD[0] * 0.01, 0.0, GOOD[2])
    found = judge(bad_pair_found(PAIRS[bad].split("/"), LinkLimits()), links(spread))
    assert found.verdict is Verdict.HELD, found.sentence


def test_throughput_is_what_arrived() -> None:
    end = {"sum_sent": {"bits_per_second": 5e8}, "sum_received": {"bits_per_second": 3e8}}
    assert throughput({"end": end}) == 3e8
    with pytest.raises(OrdealError, match="measured no connection"):
        throughput({"end": {"streams": []}})


def test_the_round_trip_time_is_the_shortest_that_the_kernel_tells() -> None:
    streams = [
        {"sender": {"sender": True, "min_rtt": 900, "mean_rtt": 2000}},
        {"sender": {"sender": True, "min_rtt": 1100, "mean_rtt": 2000}},
        {"sender": {"sender": False, "min_rtt": 0}},
    ]
    assert rtt({"end": {"streams": streams}}) == pytest.approx(0.0009)
    with pytest.raises(OrdealError, match="told no round-trip time"):
        rtt({"end": {"streams": streams[2:]}})


def test_loss_is_that_of_the_worse_direction() -> None:
    sums = {"sum": {"lost_packets": 1, "packets": 100}, "sum_bidir_reverse": {"lost_packets": 7, "packets": 100}}
    assert loss({"end": sums}) == pytest.approx(0.07)
    with pytest.raises(OrdealError, match="counted no datagram"):
        loss({"end": {"sum": {"lost_packets": 0, "packets": 0}}})


# --- to the last figure


def test_what_is_alike_is_told_with_its_figures() -> None:
    finding = alike(links({"w1/w2": (230.0626e6, 0.0041267, 0.0051267)}))
    assert finding.figures == {
        "links": 12,
        "slowest_mbit_per_s": 230.1,
        "median_mbit_per_s": 401.5,
        "worst_loss_percent": 0.41,
        "worst_rtt_ms": 5.13,
    }
    assert finding.sentence == (
        "12 links between nodes are alike: 230.1 Mbit/s or more (median 401.5), at most 0.41 % lost, at most 5.13 ms"
    )


def test_those_that_stand_out_are_counted_once_a_pair() -> None:
    bad = (5e6, 0.0, 0.002)
    finding = alike(links({"w2/w3": bad, "cp/w1": bad}))
    assert finding.sentence.startswith("cp and w1, w2 and w3 stand out: cp and w1 (node network): 5.0 Mbit/s")
    assert finding.figures["outliers"] == 2
    assert len(finding.proof) == 12
    both = judge(bad_pair_found(("w3", "w2")), links({"w2/w3": bad, "cp/w1": bad}))
    assert (both.sentence, len(both.proof)) == ("cp and w1 were named too", 12)
    held = judge(bad_pair_found(("w3", "w2")), links({"w2/w3": bad}))
    assert held.figures == {"named": 2}
    assert held.sentence.startswith("w2 and w3 were named, and no other pair: node network: 5.0 Mbit/s")
    missed = judge(bad_pair_found(("w3", "w2")), links())
    assert missed.sentence == "the link between w2 and w3 is bad, and was not found"
    assert {each.object for each in missed.proof} == {"node/w2/w3", "pod/w2/w3"}
    assert {each.name for each in links({"w2/w3": bad}).of(Sample)} == {THROUGHPUT, LOSS, RTT}


def test_a_bad_pair_among_too_few_links_is_unknown_not_missed() -> None:
    two = links(pairs=("w1/w2", "w2/w3"))
    found = judge(bad_pair_found(("w2", "w3")), two)
    assert (found.verdict, found.sentence) == (
        Verdict.UNKNOWN,
        "2 of 2 links of the node network were measured; of fewer than 3 none can be told to stand out",
    )
    assert judge(bad_pair_found(("w2", "w3")), links(pairs=PAIRS[:3])).reason == "missed"
    assert alike(links(pairs=PAIRS[:3])).verdict is Verdict.HELD


def test_each_network_is_counted_by_itself() -> None:
    node = [each for each in links(pairs=PAIRS[:2]).of(Sample) if each.subject.startswith("node/")]
    pods = [each for each in links().of(Sample) if each.subject.startswith("pod/")]
    assert alike(history(node, pods)).sentence.startswith("2 of 2 links of the node network were measured")
