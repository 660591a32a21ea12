"""Links between nodes: none stands out from the others, and a bad one is found by its name."""

from collections.abc import Sequence
from statistics import median

from chaos.judge.base import Invariant, Judgement, bounds, held, promise, unknown, violated
from chaos.record.history import History
from chaos.record.records import FaultStep, Sample
from chaos.record.registry import Record
from chaos.subjects.links.records import LOSS, RTT, THROUGHPUT, WHOLE, NoResult, NotWhole
from chaos.subjects.links.sampler import (
    DEFAULT,
    LAYERS,
    Link,
    LinkLimits,
    Outlier,
    links_in,
    outliers,
)

OUTLIER, THAT_PAIR, MISSED = "outlier", "that-pair", "missed"
LEAST_PAIRS = 3


@promise
def links_alike(limits: LinkLimits = DEFAULT, suspect: Sequence[str] = ()) -> Invariant:
    """No pair of nodes stands out by throughput, loss or round-trip time, in the node network or in the pod network.

    The reason is "that-pair" where one pair alone stands out and it is `suspect`, else "outlier". Unknown where fewer
    than three pairs were measured in either network, or none in one.
    """

    def judge(history: History) -> Judgement:
        doubt, found = _looked(history, limits)
        if doubt is not None:
            return doubt
        links = links_in(history)
        figures = _figures(links)
        if not found:
            return held(f"{len(links)} links between nodes are alike: {_span(links)}", **figures)
        pairs = {o.pair for o in found}
        reason = THAT_PAIR if pairs == {frozenset(suspect)} else OUTLIER
        named = "; ".join(f"{o.link.one} and {o.link.other} ({o.link.layer} network): {o.why}" for o in found)
        return violated(
            f"{_pairs(pairs)} stand out: {named} (would lead to bad-link)",
            _records(history, found),
            reason=reason,
            outliers=len(pairs),
            **figures,
        )

    return Invariant("links-alike", judge)


@promise
def bad_pair_found(pair: Sequence[str], limits: LinkLimits = DEFAULT) -> Invariant:
    """The measurement names that pair of nodes, and no other. Reasons: "missed"; "outlier" where it names others."""

    def judge(history: History) -> Judgement:
        doubt, found = _looked(history, limits)
        if doubt is not None:
            return doubt
        pairs, wanted = {o.pair for o in found}, frozenset(pair)
        if wanted not in pairs:
            also = f"; {_pairs(pairs)} were named instead" if pairs else ""
            return violated(
                f"the link between {' and '.join(sorted(wanted))} is bad, and was not found{also}",
                _records(
                    history, [Outlier(link, "") for link in links_in(history) if {link.one, link.other} == wanted]
                ),
                reason=MISSED,
            )
        if pairs != {wanted}:
            return violated(f"{_pairs(pairs - {wanted})} were named too", _records(history, found), reason=OUTLIER)
        why = "; ".join(f"{o.link.layer} network: {o.why}" for o in found)
        return held(f"{' and '.join(sorted(wanted))} were named, and no other pair: {why}", named=len(found))

    return Invariant("bad-pair-found", judge)


def _looked(history: History, limits: LinkLimits) -> tuple[Judgement | None, tuple[Outlier, ...]]:
    links = links_in(history)
    for layer in LAYERS:
        of_layer = [link for link in links if link.layer == layer]
        measured = [link for link in of_layer if link.throughput_bits_per_s is not None]
        if len(measured) < LEAST_PAIRS or 2 * len(measured) <= len(of_layer):
            trouble = next((f": {link.trouble}" for link in of_layer if link.trouble), "")
            sentence = f"{len(measured)} of {len(of_layer)} links of the {layer} network were measured{trouble}"
            return unknown(f"{sentence}; of fewer than {LEAST_PAIRS} none can be told to stand out"), ()
    return None, outliers(links, limits)


def _figures(links: Sequence[Link]) -> dict[str, float]:
    rates = [link.throughput_bits_per_s for link in links if link.throughput_bits_per_s is not None]
    return {
        "links": len(links),
        "slowest_mbit_per_s": round(min(rates) / 1e6, 1),
        "median_mbit_per_s": round(median(rates) / 1e6, 1),
        "worst_loss_percent": round(100 * max(link.loss or 0.0 for link in links), 2),
        "worst_rtt_ms": round(1000 * max(link.rtt_s or 0.0 for link in links), 2),
    }


def _span(links: Sequence[Link]) -> str:
    figures = _figures(links)
    return (
        f"{figures['slowest_mbit_per_s']} Mbit/s or more (median {figures['median_mbit_per_s']}), "
        f"at most {figures['worst_loss_percent']} % lost, at most {figures['worst_rtt_ms']} ms"
    )


def _pairs(pairs: set[frozenset[str]]) -> str:
    return ", ".join(" and ".join(sorted(pair)) for pair in sorted(pairs, key=sorted)) or "no pair"


def _records(history: History, found: Sequence[Outlier]) -> list[Record]:
    subjects = {o.link.subject for o in found}
    records: list[Record] = [
        s for s in history.of(Sample) if s.subject in subjects and s.name in {THROUGHPUT, LOSS, RTT}
    ]
    records += [each for each in history.of(NoResult) if each.object in subjects]
    return records


CLUSTER = "cluster"  # the member that is read: whoever has the slot
NOT_WHOLE = "not-whole"


@promise
@bounds(within_s="longest_ms")
def whole_again_within(store: str, within_s: float, *, fault: str) -> Invariant:
    """After each fault of that kind was undone, the cluster was whole again within so many seconds, by itself.

    Reason: "not-whole". Unknown where it was not looked at from then on until it was whole.
    """

    def judge(history: History) -> Judgement:
        undone = [s for s in history.of(FaultStep) if s.fault == fault and s.step == "undone"]
        if not undone:
            return unknown(f"no fault {fault} was undone")
        looks = [s for s in history.of(Sample) if s.name == WHOLE and s.subject == store]
        took: list[float] = []
        for n, step in enumerate(undone):
            end = undone[n + 1].at if n + 1 < len(undone) else float("inf")
            after = [s for s in looks if step.at <= s.at < end]
            good = next((s for s in after if s.value == 1.0), None)
            why = [each for each in history.of(NotWhole) if step.at <= each.at < end]
            last = f": {why[-1].why}" if why else ""
            if good is not None and good.at - step.at <= within_s:
                took.append(good.at - step.at)
                continue
            seen_until = good.at if good is not None else max((s.at for s in after), default=step.at)
            bad = [s for s in after if s.value != 1.0]
            if seen_until - step.at <= within_s or (good is not None and (not bad or bad[-1].at - step.at <= within_s)):
                return unknown(f"{store} was not looked at for {within_s:g} s after the fault was undone{last}", after)
            how = "was not" if good is None else f"was only after {good.at - step.at:.1f} s"
            return violated(
                f"{store} {how} whole again when {fault} was undone at {step.at:.1f} s; promised {within_s:g} s{last}",
                [step, *after, *why],
                reason=NOT_WHOLE,
                looks=len(after),
            )
        longest_s = max(took)
        return held(
            f"{store} was whole again within {longest_s:.1f} s each of {len(took)} times",
            longest_ms=round(1000 * longest_s),
            times=len(took),
        )

    return Invariant("whole-again", judge)
