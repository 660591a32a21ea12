"""What Prometheus is told of a run: its verdicts, durations and figures, as gauges. Needs the extra `metrics`.

A run is a batch job, so nothing counts up: each run says what it found, in the place of what the run before has said.
Names of tests, incidents, promises and figures are those of the suites, so there are as many series as they have
replays, and no more from run to run, but for one that names the run. What a cluster says is in none.
"""

import math
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chaos.basics.files import hand_out, is_special
from chaos.errors import OrdealError
from chaos.exports.outbox import Outbox, sentence
from chaos.exports.receivers import Receiver
from chaos.exports.way import Guarded, Reply, refused, session
from chaos.exports.words import shown, why_of
from chaos.judge.base import Figure, Verdict
from chaos.results.saved import SavedOutcome, SavedRun
from chaos.results.specs import SAID

SUFFIX = ".prom"
FIGURES = 5_000  # of a run
TEXT = 200  # characters of a label
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what every Pushgateway takes
CREDENTIALS = "name them in the URL, as in https://USER:PASSWORD@HOST"
OF_A_REPLAY = ("test", "incident", "control", "cluster_kind")
# The end of a figure's name says its unit. What follows it is an object of the cluster, such as a node, and has no end.
_NAME = re.compile(r"(?P<name>[a-z][a-z0-9_]{0,63}?)(?:_(?P<unit>mbit_per_s|per_s|s|ms|bytes|percent|share))?")
_OF_AN_OBJECT = re.compile(r"_(?:s|ms|bytes|percent|share)_")
# A base unit of Prometheus, and how much of it one of ours is.
_UNITS: Mapping[str | None, tuple[str, float]] = {
    None: ("", 1),
    "s": ("_seconds", 1),
    "ms": ("_seconds", 0.001),
    "bytes": ("_bytes", 1),
    "percent": ("_ratio", 0.01),
    "share": ("_ratio", 1),
    "mbit_per_s": ("_bits_per_second", 1e6),
    "per_s": ("_per_second", 1),
}


def text_of(run: SavedRun) -> bytes:
    """The metrics of a run in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Families(run))
    return generate_latest(registry)


class TextFile:
    """A file for node_exporter's textfile collector, which is replaced in one piece at the end of a run."""

    hears_replays = False

    def __init__(self, path: Path) -> None:
        """Raises OrdealError where node_exporter would pass it over, or it can't be there.

        What was given is not repeated: it may be a URL with a password whose scheme was forgotten.
        """
        if not is_special(path):
            if path.suffix != SUFFIX:
                raise OrdealError(
                    "--ordeal-metrics names neither a URL with http:// or https:// nor a file that ends with "
                    f"{SUFFIX}: give one of them"
                )
            try:
                is_there = _is_folder(path.parent) and not _is_folder(path)
            except OSError as error:
                raise OrdealError(
                    f"the file that --ordeal-metrics names can't be there ({error.strerror}): name another one"
                ) from error
            if not is_there:
                raise OrdealError(
                    "the file that --ordeal-metrics names is a folder, or in one that is not there: make that folder, "
                    "or name another file"
                )
        self._path = path.absolute()

    def replay_ended(self, run: SavedRun, test: str) -> None: ...

    def run_ended(self, run: SavedRun, within_s: float) -> str:
        return _done(f"the metrics were not written to {self._path}", partial(self.write, text_of(run)), within_s)

    def write(self, text: bytes) -> None:
        """Write metrics now; a pipe is waited for until somebody reads it. Raises OrdealError with what came of it."""
        try:
            hand_out(self._path, text.decode())
        except OSError as error:
            raise OrdealError(error.strerror or why_of(error)) from error


class Pushgateway:
    """A Pushgateway, where the metrics take the place of those that their group had."""

    hears_replays = False

    def __init__(self, to: Receiver, timeout_s: float = 10.0) -> None:
        self._to, self._timeout_s = to, timeout_s

    def replay_ended(self, run: SavedRun, test: str) -> None: ...

    def run_ended(self, run: SavedRun, within_s: float) -> str:
        return _done(f"the metrics were not pushed to {self._to}", partial(self.push, text_of(run)), within_s)

    def push(self, text: bytes) -> None:
        """Push metrics now. Raises OrdealError with what became of it."""
        guarded = Guarded(_judged)
        try:
            with session(self._to.url, guarded) as way:
                way.request(
                    "PUT",
                    self._to.url,
                    data=text,
                    headers={"Content-Type": CONTENT_TYPE},
                    timeout=self._timeout_s,
                    allow_redirects=False,
                )
        except Exception as error:
            raise OrdealError(guarded.why or why_of(error)) from error
        if guarded.why:
            raise OrdealError(guarded.why)


def _is_folder(path: Path) -> bool:
    """As Path.is_dir, which has its own mind in each Python of what is an error. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return stat.S_ISDIR(path.stat().st_mode)
    return False


def _done(what: str, send: Callable[[], None], within_s: float) -> str:
    """Have it done, and wait at most so long. Returns what came to nothing, as a sentence, else nothing."""
    outbox = Outbox()
    outbox.put(send)
    return sentence(what, outbox.close(within_s))


def _judged(reply: Reply) -> str:
    """A Pushgateway says nothing where it took all, and why it did not: that may hold whatever was pushed."""
    why = refused(reply, CREDENTIALS)
    if reply.status == 400:
        return f"{why}: {_label(reply.body.decode(errors='replace'))}" if reply.body else why
    return why or ("its answer is none of a Pushgateway's: is it one?" if reply.body.strip() else "")


class _Families(Collector):
    """The metrics of a run, as the library wants to be handed them."""

    def __init__(self, run: SavedRun) -> None:
        self._run = run

    def collect(self) -> Iterable[Metric]:
        """All of them, the run's first."""
        yield from _of_the_run(self._run)
        last = {tuple(_of(outcome)): outcome for outcome in self._run.outcomes}  # a series is there once
        yield from _of_replays(list(last.values()))
        yield from _of_figures(list(last.values()))


def _of_the_run(run: SavedRun) -> Iterator[Metric]:
    version = GaugeMetricFamily("kube_ordeal_run_info", "The run that this is of.", labels=("run", "version"))
    version.add_metric(_labels(run.id, run.version), 1)
    yield version
    counts = Counter[str]({str(each): 0 for each in Verdict})
    counts.update(outcome.verdict for outcome in run.outcomes)
    became = {**counts, "skipped": len(run.skipped), "left_out": len(run.left_out)}
    yield _by(
        "kube_ordeal_run_replays",
        "What became of the run's replays, how many of each; of those with a control violated is what is wanted.",
        "became",
        became,
    )
    failed = sum(not outcome.passed for outcome in run.outcomes)
    yield GaugeMetricFamily("kube_ordeal_run_failed_replays", "Replays that did not pass.", value=failed)
    states = Counter[str](dict.fromkeys(SAID, 0))
    states.update(spec.state for spec in run.own_specs)
    yield _by("kube_ordeal_run_specs", "Conformance specs that were run for themselves, by state.", "state", states)
    for name, at in (("start", run.started), ("end", run.ended)):
        if at:
            help_ = f"When the run {'began' if name == 'start' else 'ended'}, in Unix time."
            unix_s = datetime.fromisoformat(at).timestamp()
            yield GaugeMetricFamily(f"kube_ordeal_run_{name}_timestamp_seconds", help_, value=unix_s)


def _by(name: str, help_: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, help_, labels=(label,))
    for each, count in counts.items():
        family.add_metric([each], count)
    return family


def _of_replays(outcomes: list[SavedOutcome]) -> Iterator[Metric]:
    more = (*OF_A_REPLAY, "kubernetes", "profile")
    about = GaugeMetricFamily("kube_ordeal_replay_info", "A replay, and what it was made on.", labels=more)
    verdict = GaugeMetricFamily(
        "kube_ordeal_replay_verdict", "1 for the verdict of a replay, else 0.", labels=(*OF_A_REPLAY, "verdict")
    )
    passed = GaugeMetricFamily(
        "kube_ordeal_replay_passed",
        "Whether a replay passed: hardened it held; a control was violated as it must be.",
        labels=OF_A_REPLAY,
    )
    took = GaugeMetricFamily("kube_ordeal_replay_duration_seconds", "How long a replay took.", labels=OF_A_REPLAY)
    for each in outcomes:
        of = _of(each)
        about.add_metric([*of, *_labels(each.kubernetes, each.profile)], 1)
        for may_be in Verdict:
            verdict.add_metric([*of, str(may_be)], float(each.verdict == may_be))
        passed.add_metric(of, float(each.passed))
        if each.ended:
            took.add_metric(of, each.duration_s)
    yield from (about, verdict, passed, took)


def _of_figures(outcomes: list[SavedOutcome]) -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily] = {}
    told = set[tuple[str, ...]]()
    for outcome in outcomes:
        for finding in outcome.findings:
            for figure, measured in finding.figures.items():
                name, unit, value = _figure(figure, measured)
                labels = [*_of(outcome), *_labels(finding.invariant, name)]
                if value is None or len(told) >= FIGURES or (unit, *labels) in told:
                    continue
                told.add((unit, *labels))
                family = families.setdefault(
                    unit,
                    GaugeMetricFamily(
                        f"kube_ordeal_replay_figure{unit}",
                        f"What was measured{f', in {unit[1:]}' if unit else ''}, by promise and name.",
                        labels=(*OF_A_REPLAY, "promise", "figure"),
                    ),
                )
                family.add_metric(labels, value)
    yield from (families[unit] for unit in sorted(families))


def _figure(name: str, measured: Figure) -> tuple[str, str, float | None]:
    """A figure's name without its unit, the unit, and its value in it; None where it is no number, or of an object."""
    found = _NAME.fullmatch(name)
    try:
        value = float(measured)
    except ValueError:
        value = math.nan
    if found is None or _OF_AN_OBJECT.search(name) or math.isnan(value):
        return name, "", None
    unit, times = _UNITS[found["unit"]]
    return found["name"], unit, value * times


def _of(outcome: SavedOutcome) -> list[str]:
    return _labels(outcome.test, outcome.id, outcome.control, outcome.cluster)


def _labels(*texts: str) -> list[str]:
    return [_label(each) for each in texts]


def _label(text: str) -> str:
    return shown(text, TEXT)
