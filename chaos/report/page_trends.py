"""The trends beside the figures of a page: what earlier and later runs of the history have of the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from chaos.report.sparkline import Point, sparkline
from chaos.results.figures import amount, common_name, unit_of, worst
from chaos.results.key import Key
from chaos.results.past import PastRun
from chaos.results.saved import SavedFinding, SavedOutcome, SavedRun
from chaos.results.trend import FROM_RUNS, UNKNOWN, is_greatest, key_of, middle, percentile, replayed

MOST_POINTS = 60  # the newest ones: a page of a thousand figures has room for them


@dataclass(frozen=True, slots=True)
class _Seen:
    started: str
    run: str
    value: float
    version: str


@dataclass(frozen=True, slots=True)
class PageTrends:
    """Of all runs of the history that are of machines with as many processors as the page's, whatever their version.

    `runs`: so many of them.
    """

    run: SavedRun
    runs: int = 0
    _seen: Mapping[tuple[Key, str, str, str], Sequence[_Seen]] = field(default_factory=dict)

    def beside(self, outcome: SavedOutcome, finding: SavedFinding) -> dict[str, Markup]:
        """The pictures of one finding, by the figures that they stand beside; of several nodes one, for the worst."""
        if finding.verdict == UNKNOWN:
            return {}
        key = Key(outcome.id, outcome.replay, outcome.cluster, outcome.control)
        found = {}
        for name, value in worst(finding.figures).items():
            seen = list(self._seen.get((key, outcome.profile, finding.invariant, name), ()))
            own = [each for each in seen if each.run == self.run.id]
            if not own:
                seen.append(_Seen(self.run.started, self.run.id, value, outcome.kubernetes))
            if len({each.run for each in seen}) >= FROM_RUNS:
                at = name if name in finding.figures else next(n for n in finding.figures if common_name(n) == name)
                found[at] = self._drawn(seen, name)
        return found

    def _drawn(self, seen: Sequence[_Seen], name: str) -> Markup:
        ordered = sorted(seen, key=lambda each: (each.started, each.run))[-MOST_POINTS:]
        values, unit = [each.value for each in ordered], unit_of(name)
        said = {
            "median": middle(values),
            "P95": percentile(values, 95),
            "P99": percentile(values, 99),
            "least": min(values),
            "most": max(values),
        }
        versions = ", ".join(dict.fromkeys(each.version for each in ordered if each.version))
        figures = ", ".join(f"{what} {amount(value, unit)}" for what, value in said.items())
        few = "; P99 of fewer than 100 is the most" if is_greatest(len(values), 99) else ""
        cpus = self.run.machine.get("cpus", "unknown")
        text = f"{name} in {len(values)} replays, on {cpus} cpus, Kubernetes {versions}: {figures}{few}"
        points = [Point(each.value, each.version, own=each.run == self.run.id) for each in ordered]
        return Markup(sparkline(points, text))  # noqa: S704  (made safe by sparkline)


def page_trends(run: SavedRun, past: Sequence[PastRun]) -> PageTrends:
    """What the history has for the page of a run, which need not be in it."""
    same = [each for each in past if each.cpus == run.machine.get("cpus", "")]
    found: dict[tuple[Key, str, str, str], list[_Seen]] = {}
    for each, replay, conditions in replayed(same):
        for finding in replay.findings:
            if finding.verdict == UNKNOWN:
                continue
            for name, value in worst(finding.figures).items():
                seen = _Seen(each.started, each.id, value, conditions.kubernetes)
                found.setdefault((key_of(replay), replay.profile, finding.invariant, name), []).append(seen)
    return PageTrends(run, len(same), found)
