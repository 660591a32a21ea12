"""The kubelets are in touch with the API server again, by their own heartbeats.

A node's Ready condition is stale for a grace period: a kubelet that can't reach the API server looks Ready at first.
"""

from collections.abc import Sequence

from chaos.judge.base import Figure, Invariant, Judgement, bounds, held, promise, unknown, violated
from chaos.record.history import History
from chaos.record.leases import LEASE_AGE
from chaos.record.records import Sample

SILENT = "silent"
SAME_AT_MOST = 3  # ages in milliseconds, a second between two of them


@promise
@bounds(within_s="report_s")
def kubelets_report_again(nodes: Sequence[str], *, within_s: float) -> Invariant:
    """Each node's kubelet renewed its lease within `within_s` seconds after the last fault was undone.

    Unknown where ages of leases stood still: they grow or begin anew from one sample to the next, so the same one again
    and again is no sample. So it is of a node whose lease nobody saw not renewed when the time was over. A node
    without a sample then, when others had one, has no lease any more: it is silent.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window()
        if window is None or window.end == float("inf"):
            return unknown("no fault was undone, so there is no moment from which to count")
        samples = [s for s in history.of(Sample) if s.name == LEASE_AGE]
        if still := _stood_still(samples):
            first = still[0]
            return unknown(
                f"the age of {first.subject}'s lease was {first.value:g} s again and again: it stood still", still
            )
        last_at = max((s.at for s in samples), default=0.0)
        figures: dict[str, Figure] = {"nodes": len(nodes)}
        silent: list[str] = []
        for node in nodes:
            renewed = [s.at - s.value for s in samples if s.subject == node and s.at - s.value > window.end]
            if renewed and renewed[0] - window.end <= within_s:
                figures[f"report_s_{node}"] = round(renewed[0] - window.end, 3)
            else:
                silent.append(node)
        if silent and last_at < window.end + within_s:
            return unknown(
                f"leases were sampled until {last_at:.1f} s, less than {within_s:g} s after the fault was undone"
            )
        looks = [s for s in samples if s.at >= window.end + within_s]
        due = {s.subject for s in looks if s.at - s.value <= window.end}
        unsure = sorted(set(silent) & {s.subject for s in looks} - due)
        if unsure:
            return unknown(f"nobody saw whether the kubelet of {unsure[0]} had renewed its lease when it was due")
        if silent:
            return violated(
                f"the kubelets of {', '.join(silent)} did not renew their lease within {within_s:g} s after the fault",
                [s for s in samples if s.subject in silent][-5:] or looks[:1],
                reason=SILENT,
                silent=len(silent),
                **figures,
            )
        slowest = max(float(v) for k, v in figures.items() if k.startswith("report_s_"))
        return held(f"all {len(nodes)} kubelets renewed their lease, the last after {slowest:.1f} s", **figures)

    return Invariant("kubelets-report-again", judge)


def _stood_still(samples: Sequence[Sample]) -> list[Sample]:
    """The first samples of a node, one after the other, that all say the same; empty where there are none."""
    row: dict[str, list[Sample]] = {}
    for sample in samples:
        before = row.get(sample.subject, [])
        row[sample.subject] = [*before, sample] if before and before[-1].value == sample.value else [sample]
        if len(row[sample.subject]) == SAME_AT_MOST:
            return row[sample.subject]
    return []


def reporting(history: History, nodes: Sequence[str]) -> bool:
    """Whether every one of `nodes` has renewed its lease since the last fault was undone, as far as was sampled."""
    window = history.fault_window()
    if window is None:
        return False
    samples = [s for s in history.of(Sample) if s.name == LEASE_AGE]
    return all(any(s.subject == n and s.at - s.value > window.end for s in samples) for n in nodes)
