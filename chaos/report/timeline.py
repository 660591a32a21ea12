"""What a timeline shows of a history, reduced to what a reader can take in and a browser can draw at once.

Ten nodes are drawn one by one; of five thousand only those that changed, or how many were in which state.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import isfinite, nan

from chaos.judge.conformance import DURING, PASSED
from chaos.record.history import History, Window
from chaos.record.records import (
    IN_SYNC,
    Blind,
    ClusterEvent,
    FaultStep,
    HarmLook,
    NodeChange,
    Observation,
    Phase,
    PodChange,
    Probe,
    Sample,
    SpecRun,
    Stored,
    Unread,
    Writes,
)
from chaos.record.registry import Record, Told, is_told
from chaos.report.panels import (
    APPLIED,
    ENDED,
    HARM_STAYS,
    LANDED,
    NO_ANSWER,
    NORMAL,
    NOT_READY,
    NOT_SEEN,
    PENDING,
    READY,
    RUNNING,
    SEEN,
    TAINTED,
    TERMINATING,
    UNKNOWN,
    WARNING,
    Bar,
    Mark,
    Panel,
    PanelLine,
    Series,
    Timeline,
)

LANES = 30  # more objects than this are not drawn one by one
SUBJECTS = 8
SAMPLE_PANELS = 6
REASONS = 10
MARK_BINS = 150
STEPS = 200
TEXT = 240  # characters of a message


def timeline(history: History, bins: int = 600) -> Timeline:
    """Reduce a history; `bins` is how many points a series has at most."""
    history = history.as_far_as_read()
    end = _end(history)
    faults = _faults(history, end)
    panels = [_story(history, faults, end), _nodes(history, end, bins), _pods(history, end, bins)]
    panels += [_availability(history, end, bins), _outages(history, end), *_writes(history, end, bins)]
    panels += [*_samples(history, end, bins), _specs(history), _events(history, end), _observations(history, end)]
    steps = _steps(history)
    return Timeline(
        end,
        history.began_wall,
        tuple(Window(bar.start, bar.end) for bar in faults if bar.state != APPLIED),
        tuple(panel for panel in panels if panel.bars or panel.marks or panel.series),
        tuple(steps[:STEPS]),
        max(0, len(steps) - STEPS),
    )


def _end(history: History) -> float:
    return max((until for record in history if isfinite(until := getattr(record, "until", record.at))), default=0.0)


# --- the story


def _story(history: History, faults: Sequence[Bar], end: float) -> Panel:
    phases = history.of(Phase)
    ends = [*(p.at for p in phases[1:]), end]
    bars = [Bar("phase", p.at, until, p.name, p.detail) for p, until in zip(phases, ends, strict=False)]
    blind = [
        Bar(b.source, b.at, b.until if isfinite(b.until) else end, NOT_SEEN, _short(b.why)) for b in history.of(Blind)
    ]
    return Panel("Story", (*bars, *faults, *blind))


def _faults(history: History, end: float) -> list[Bar]:
    bars: list[Bar] = []
    open_since: dict[str, tuple[float, str]] = {}
    for step in history.of(FaultStep):
        started = open_since.get(step.fault)
        if step.step in {"applied", "landed"}:
            if started is not None:
                bars.append(Bar(step.fault, started[0], step.at, started[1], _short(step.detail)))
            open_since[step.fault] = (step.at, APPLIED if step.step == "applied" else LANDED)
        elif step.step in {"undone", "not-undone"} and started is not None:
            state = HARM_STAYS if step.step == "not-undone" else started[1]
            bars.append(Bar(step.fault, started[0], step.at, state, _short(step.detail)))
            del open_since[step.fault]
    bars += [Bar(fault, since, end, state) for fault, (since, state) in open_since.items()]
    return bars


def _steps(history: History) -> list[PanelLine]:
    def said(record: Record) -> tuple[str, str] | None:
        what = (f"{_name(record)} of {record.object}", record.told()) if is_told(record) else None
        match record:
            case Phase():
                what = f"phase {record.name}", record.detail
            case FaultStep():
                what = f"fault {record.fault} {record.step}", record.detail
            case HarmLook(seen="gone"):
                what = f"fault {record.fault} gone", record.why
            case Blind():
                what = f"{record.source} not seen for {record.until - record.at:.1f} s", record.why
            case Stored():
                missing = ", ".join(record.missing) or "none"
                what = f"{record.object} read", f"of {record.acknowledged} missing: {missing}"
            case SpecRun() if record.round != DURING or record.state != PASSED:
                what = f"{record.round}: {record.state}: {record.spec}", record.message
        return what

    steps = [(record.at, *what) for record in history if (what := said(record)) is not None]
    return [PanelLine(at, what, _short(detail)) for at, what, detail in steps]


# --- objects and their states


def _nodes(history: History, end: float, bins: int) -> Panel:
    def state(n: NodeChange) -> str:
        ready = {"True": READY, "False": NOT_READY}.get(n.ready, UNKNOWN)
        return ready + (TAINTED if any(t.endswith(":NoExecute") for t in n.taints) else "")

    def detail(n: NodeChange) -> str:
        said = [*n.taints, *n.pressures, *(["unschedulable"] if n.unschedulable else [])]
        return _short(", ".join(said))

    seen = ((n.name, n.at, "" if n.change == "deleted" else state(n), detail(n)) for n in history.of(NodeChange))
    return replace(_objects("Nodes", "node", _bars(seen, end), end, bins), unseen=_unseen(history, "watch:nodes", end))


def _pods(history: History, end: float, bins: int) -> Panel:
    def state(p: PodChange) -> str:
        if p.deleting:
            return TERMINATING
        if p.phase in {"Succeeded", "Failed"}:
            return ENDED
        return READY if p.ready else RUNNING if p.phase == "Running" else PENDING

    def detail(p: PodChange) -> str:
        restarts = f"{p.restarts} restarts" if p.restarts else ""
        return _short(", ".join(filter(None, (f"on {p.node}" if p.node else "", p.phase, restarts, p.reason))))

    pods = history.of(PodChange)
    named = Counter({name: len(uids) for name, uids in _uids(pods).items()})
    seen = (
        (
            p.object if named[p.object] == 1 else f"{p.object} ({p.uid[:6]})",
            p.at,
            "" if p.change == "deleted" else state(p),
            detail(p),
        )
        for p in pods
    )
    return replace(_objects("Pods", "pod", _bars(seen, end), end, bins), unseen=_unseen(history, "watch:pods", end))


def _unseen(history: History, source: str, end: float) -> tuple[Window, ...]:
    return tuple(Window(b.at, min(b.until, end)) for b in history.of(Blind) if b.source == source)


def _uids(pods: Sequence[PodChange]) -> dict[str, set[str]]:
    uids: dict[str, set[str]] = defaultdict(set)
    for pod in pods:
        uids[pod.object].add(pod.uid)
    return uids


def _bars(seen: Iterable[tuple[str, float, str, str]], end: float) -> dict[str, list[Bar]]:
    """Bars by lane from (lane, at, state, detail) in time order; the state "" means that it is gone."""
    bars: dict[str, list[Bar]] = defaultdict(list)
    now: dict[str, tuple[float, str, str]] = {}
    for lane, at, state, detail in seen:
        before = now.get(lane)
        if before is not None and before[1:] != (state, detail):
            bars[lane].append(Bar(lane, before[0], at, before[1], before[2]))
        if not state:
            now.pop(lane, None)
        elif before is None or before[1:] != (state, detail):
            now[lane] = (at, state, detail)
    for lane, (since, state, detail) in now.items():
        bars[lane].append(Bar(lane, since, end, state, detail))
    return bars


def _objects(title: str, noun: str, bars: dict[str, list[Bar]], end: float, bins: int) -> Panel:
    """One lane an object; of many only those that changed; where those are many, how many were in which state."""
    if len(bars) <= LANES:
        return Panel(title, _in_order(bars))
    begin = min(lane[0].start for lane in bars.values())
    changed = {
        name: lane
        for name, lane in bars.items()
        if len({bar.state for bar in lane}) > 1 or lane[0].start > begin + 1 or lane[-1].end < end
    }
    if len(changed) <= LANES:
        note = f"{len(bars) - len(changed)} of {len(bars)} {noun}s did not change and are not drawn"
        return Panel(f"{title} that changed", _in_order(changed), note=note)
    states = list(dict.fromkeys(bar.state for lane in bars.values() for bar in lane))
    grid = _grid(end, bins)
    series = tuple(
        _counted(state, [b for lane in bars.values() for b in lane if b.state == state], grid) for state in states
    )
    note = f"{len(changed)} of {len(bars)} {noun}s changed: drawn is how many were in which state"
    return Panel(f"{title} by state", series=series, stacked=True, note=note)


def _in_order(bars: dict[str, list[Bar]]) -> tuple[Bar, ...]:
    return tuple(bar for name in sorted(bars) for bar in bars[name])


def _counted(state: str, bars: Sequence[Bar], grid: Sequence[float]) -> Series:
    changes = sorted([(bar.start, 1) for bar in bars] + [(bar.end, -1) for bar in bars])
    values, count, done = [], 0, 0
    for at in grid:
        while done < len(changes) and changes[done][0] <= at and (changes[done][1] == 1 or changes[done][0] < grid[-1]):
            count += changes[done][1]
            done += 1
        values.append(float(count))
    return Series(state, tuple(grid), tuple(values), steps=True)


# --- what was measured


def _availability(history: History, end: float, bins: int) -> Panel:
    grid = _grid(end, min(bins, 300))
    width = grid[1] - grid[0]
    asked: dict[str, Counter[int]] = defaultdict(Counter)
    answered: dict[str, Counter[int]] = defaultdict(Counter)
    for probe in history.of(Probe):
        asked[probe.target][int(probe.at / width)] += 1
        answered[probe.target][int(probe.at / width)] += probe.ok
    series = tuple(
        Series(
            target,
            tuple(grid),
            tuple(100 * answered[target][n] / counts[n] if counts[n] else nan for n in range(len(grid))),
            steps=True,
        )
        for target, counts in sorted(asked.items())[:SUBJECTS]
    )
    return Panel(f"Answered probes, % in each {width:.2g} s", series=series)


def _outages(history: History, end: float) -> Panel:
    last: dict[str, Probe] = {}
    bars: list[Bar] = []
    for probe in history.of(Probe):
        failing = last.get(probe.object)
        if not probe.ok and failing is None:
            last[probe.object] = probe
        elif probe.ok and failing is not None:
            bars.append(Bar(probe.object, failing.at, probe.at, NO_ANSWER, _short(failing.error)))
            del last[probe.object]
    bars += [Bar(name, probe.at, end, NO_ANSWER, _short(probe.error)) for name, probe in last.items()]
    longest = sorted(bars, key=lambda bar: bar.start - bar.end)[: LANES * 10]
    lanes = list(dict.fromkeys(bar.lane for bar in longest))[:LANES]
    drawn = sorted((bar for bar in longest if bar.lane in lanes), key=lambda bar: (bar.lane, bar.start))
    note = f"the longest {len(drawn)} of {len(bars)} are drawn" if len(drawn) < len(bars) else ""
    return Panel("Service does not answer", tuple(drawn), note=note)


def _writes(history: History, end: float, bins: int) -> list[Panel]:
    grid = _grid(end, min(bins, 300))
    width = grid[1] - grid[0]
    counts: dict[tuple[str, bool], Counter[int]] = defaultdict(Counter)
    for writes in history.of(Writes):
        counts[writes.store, writes.ok][int(min(writes.until, end) / width)] += writes.count
    panels = []
    for store in sorted({store for store, _ in counts}):
        series = tuple(
            Series(name, tuple(grid), tuple(counts[store, ok][n] / width for n in range(len(grid))), steps=True)
            for name, ok in (("acknowledged", True), ("refused", False))
        )
        panels.append(Panel(f"Writes to {store}, per s", series=series))
    return panels


def _samples(history: History, end: float, bins: int) -> list[Panel]:
    samples: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in history.of(Sample):
        if sample.name != IN_SYNC and isfinite(sample.value):
            samples[sample.name][sample.subject].append(sample)
    drawn = {name: of for name, of in samples.items() if any(len(each) > 2 for each in of.values())}
    panels = []
    for name, of in list(drawn.items())[:SAMPLE_PANELS]:
        by_range = sorted(of, key=lambda subject: (-_range(of[subject]), subject))[:SUBJECTS]
        note = f"the {SUBJECTS} of {len(of)} that moved most are drawn" if len(of) > SUBJECTS else ""
        series = tuple(_thinned(subject, of[subject], end, bins // 2) for subject in sorted(by_range))
        panels.append(Panel(name, series=series, note=note))
    left_out = list(drawn)[SAMPLE_PANELS:]
    if left_out:
        last = panels[-1]
        note = "; ".join(filter(None, (last.note, f"not drawn: {', '.join(left_out)}")))
        panels[-1] = replace(last, note=note)
    return panels


def _range(samples: Sequence[Sample]) -> float:
    return max(s.value for s in samples) - min(s.value for s in samples)


def _thinned(name: str, samples: Sequence[Sample], end: float, bins: int) -> Series:
    """The lowest and the highest of each bin: no spike is lost."""
    if len(samples) > 2 * bins:
        width = _grid(end, bins)[1]
        binned: dict[int, list[Sample]] = defaultdict(list)
        for sample in samples:
            binned[int(sample.at / width)].append(sample)
        value: Callable[[Sample], float] = lambda s: s.value  # noqa: E731
        extremes = [{id(s): s for s in (min(of, key=value), max(of, key=value))} for of in binned.values()]
        samples = sorted((s for found in extremes for s in found.values()), key=lambda s: s.at)
    return Series(name, tuple(s.at for s in samples), tuple(s.value for s in samples))


def _specs(history: History) -> Panel:
    """A lane for each area; during the harm one for each check, since they are tried again and again."""
    runs = history.of(SpecRun)
    bars = [
        Bar(
            r.spec if r.round == DURING else r.area or r.spec,
            r.at,
            r.until,
            f"spec {r.state}",
            _short(f"{r.round}: {r.spec}: {r.message}"),
        )
        for r in runs
    ]
    drawn = [bar for bar in bars if bar.lane in list(dict.fromkeys(b.lane for b in bars))[:LANES]]
    note = f"{len(bars) - len(drawn)} of {len(bars)} specs are not drawn" if len(drawn) < len(bars) else ""
    return Panel("Conformance specs", tuple(drawn), note=note)


# --- what was said


def _events(history: History, end: float) -> Panel:
    events = history.of(ClusterEvent)
    counts = Counter((e.type != "Warning", e.reason) for e in events)
    reasons = sorted(counts, key=lambda key: (key[0], -counts[key], key[1]))[:REASONS]
    left_out = sum(counts.values()) - sum(counts[key] for key in reasons)
    width = max(end, 1e-9) / MARK_BINS
    groups: dict[tuple[bool, str, int], list[ClusterEvent]] = defaultdict(list)
    for event in events:
        if (event.type != "Warning", event.reason) in reasons:
            groups[event.type != "Warning", event.reason, int(event.at / width)].append(event)
    marks = [
        Mark(reason, of[0].at, NORMAL if normal else WARNING, _short(f"{of[0].regarding}: {of[0].message}"), len(of))
        for (normal, reason, _), of in sorted(groups.items())
    ]
    note = f"{left_out} events of {len(counts) - len(reasons)} further reasons are not drawn" if left_out else ""
    return Panel("Events", marks=tuple(marks), note=note)


def _observations(history: History, end: float) -> Panel:
    width = max(end, 1e-9) / MARK_BINS
    groups: dict[tuple[str, int], list[Told]] = defaultdict(list)
    for seen in history.told():
        groups[_name(seen), int(seen.at / width)].append(seen)
    names = sorted({name for name, _ in groups})[:REASONS]
    marks = [
        Mark(name, of[0].at, SEEN, _short(f"{of[0].object}: {of[0].told()}"), len(of))
        for (name, _), of in sorted(groups.items())
        if name in names
    ]
    return Panel("Observations", marks=tuple(marks))


def _name(record: Told) -> str:
    """What it is, as one word."""
    match record:
        case Observation():
            return record.name
        case Unread():
            return record.named
    return record.kind


def _grid(end: float, bins: int) -> tuple[float, ...]:
    """The bins' beginnings, from 0 until past the end."""
    width = max(end, 1e-3) / bins
    return tuple(n * width for n in range(bins + 1))


def _short(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[: TEXT - 2]} …"
