"""The report of a run as one page that needs nothing else: report.html."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from math import ceil, sqrt
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from chaos.basics.files import hand_out, place
from chaos.basics.visible import visible
from chaos.errors import OrdealError
from chaos.judge.catalogue import Control, Incident
from chaos.judge.conformance import STATES
from chaos.judge.proofs import CONTROL
from chaos.report import grid, plot
from chaos.report.answer import Answer, answer, headline, left_out, title
from chaos.report.page_trends import page_trends
from chaos.report.panels import Timeline
from chaos.report.proven import Checked, checked, counted, in_run, judged_hardened
from chaos.report.timeline import timeline
from chaos.results.past import PastRun
from chaos.results.saved import SavedFinding, SavedOutcome, SavedPiece, SavedRun
from chaos.results.specs import BROKEN, SpecResult
from chaos.run.budget import span

PAGE = "report.html"
FIGURES_BYTES = 3_500_000  # of all timelines together; plotly.js is 4.8 MB of the page's 10
INLINE_BYTES = 8_000  # a piece of evidence that is no larger can be read in the page
ALL_INLINE_BYTES = 600_000
POINTS = 40_000  # of all series together
_TEMPLATES = Path(__file__).with_name("page")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A history in the page: its timeline and figure, or the sentence that says why there is none."""

    path: str
    href: str
    timeline: Timeline | None
    figure: Markup
    why: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of evidence in the page: a link, its text where that is short, or why there is none."""

    name: str
    href: str
    size_bytes: int
    text: str
    missing: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """One replay with all that is shown of it."""

    title: str
    outcome: SavedOutcome
    drawn: tuple[Drawn, ...]
    evidence: tuple[Shown, ...]
    evidence_missing: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One incident with all its replays, hardened first."""

    incident: Incident
    replays: tuple[Replayed, ...]
    verdict: str
    said: str


@dataclass(frozen=True, slots=True)
class Line:
    """An invariant in the table: its hardened findings, the controls that must break it with their replays, and what
    else proves that it is able to break: seen in this run, or declared.
    """

    invariant: str
    hardened: tuple[tuple[SavedOutcome, SavedFinding | None], ...]
    controls: tuple[tuple[Control, tuple[SavedOutcome, ...], str], ...]  # with why it was not run
    seen: tuple[str, ...]
    elsewhere: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unpassed:
    """A conformance spec that did not pass, its pods' logs and what it wrote."""

    anchor: str
    run: str
    spec: SpecResult
    pods: tuple[Shown, ...]
    output: Shown | None


def write_page(run: SavedRun, path: Path, past: Sequence[PastRun] = ()) -> None:
    """Write the page of a run to `path`, with trends of the runs in `past`. Raises OrdealError where that can't be
    written.
    """
    text = page(run, path.parent, past)
    try:
        if path.parent == run.folder:
            place(path, text, within=run.folder)
        else:
            hand_out(path, text)
    except OSError as error:
        raise OrdealError(f"the page can't be written to {path}: {error.strerror}") from error


def page(run: SavedRun, beside: Path, past: Sequence[PastRun] = ()) -> str:
    """The page of a run; links to histories and evidence are relative to the folder `beside`. `past`: the runs of which
    a trend stands beside each figure, from five on.
    """
    maker = _Maker(run, beside)
    chapters = maker.chapters()
    said = answer(run, maker.unreadable)
    template = _environment().get_template("report.html.j2")
    return template.render(
        run=run,
        answer=said,
        headline=headline(said, run),
        chapters=chapters,
        left_out=left_out(run),
        tables=[(chapter, _lines(chapter, run)) for chapter in chapters],
        proven=counted(in_run(run)),
        mutants=[{name: value for name, value in row.items() if name != "test"} for row in run.mutants],
        counts=Counter(o.verdict for o in run.outcomes if not o.control),
        grid=grid.grid(run),
        specs=maker.specs(),
        trends=page_trends(run, past),
        style=Markup((_TEMPLATES / "style.css").read_text()),  # noqa: S704  (our own file)
        script=Markup((_TEMPLATES / "script.js").read_text()),  # noqa: S704
        plotly=Markup(get_plotlyjs()),  # noqa: S704
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


class _Maker:
    """Reads what the page shows, and keeps within its size."""

    def __init__(self, run: SavedRun, beside: Path) -> None:
        self.unreadable: list[str] = []
        self._run, self._beside = run, beside
        self._figures_left, self._inline_left = FIGURES_BYTES, ALL_INLINE_BYTES
        self._bins = max(100, min(600, POINTS // (1 + sum(len(o.histories) for o in run.outcomes))))

    def chapters(self) -> tuple[Chapter, ...]:
        """The incidents, those that need a reader first; so they are drawn before the page is full."""
        by_incident: dict[str, list[SavedOutcome]] = {}
        for outcome in self._run.outcomes:
            by_incident.setdefault(outcome.id, []).append(outcome)
        order = sorted(by_incident, key=lambda i: -max(_worry(o) for o in by_incident[i]))
        return tuple(self._chapter(self._run.incident(each), by_incident[each]) for each in order)

    def specs(self) -> tuple[Unpassed, ...]:
        """Those that did not pass, upstream's message first; those that failed before those that nobody can say."""

        def shown(number: int, spec: SpecResult) -> Unpassed:
            pods = tuple(self._shown(SavedPiece(Path(p).name, p)) for p in spec.pods)
            output = self._shown(SavedPiece("output", spec.output)) if spec.output else None
            return Unpassed(grid.anchor(number), grid.run_of(self._run, spec), spec, pods, output)

        found = [(n, s) for n, s in enumerate(self._run.specs) if not s.passed]
        order = (*BROKEN, *(state for state in STATES if state not in BROKEN))
        return tuple(shown(n, s) for n, s in sorted(found, key=lambda each: order.index(each[1].state)))

    def _chapter(self, incident: Incident, outcomes: Sequence[SavedOutcome]) -> Chapter:
        replays = [self._replayed(o) for o in sorted(outcomes, key=lambda o: bool(o.control))]
        verdicts = {o.verdict for o in outcomes if not o.control}
        verdict = next((v for v in ("violated", "unknown", "held") if v in verdicts), "unknown")
        if verdict == "held" and any(o.control and not o.passed for o in outcomes):
            return Chapter(incident, tuple(replays), "unknown", "held, not proven")
        return Chapter(incident, tuple(replays), verdict, verdict)

    def _replayed(self, o: SavedOutcome) -> Replayed:
        judged = [f.history for f in o.findings if f.history]
        drawn = [self._drawn(path) for path in dict.fromkeys((*o.histories, *judged))]
        pieces = {(piece.path, piece.name): piece for piece in o.evidence}.values()
        shown = [
            self._shown(piece) for piece in sorted(pieces, key=lambda p: (not p.name.endswith("summary.txt"), p.name))
        ]
        return Replayed(
            title(o),
            o,
            tuple(drawn),
            tuple(each for each in shown if not each.missing),
            tuple(each for each in shown if each.missing),
        )

    def _drawn(self, relative: str) -> Drawn:
        try:
            history = self._run.history(relative)
        except (OrdealError, OSError) as error:
            self.unreadable.append(str(error))
            return Drawn(relative, "", None, Markup(), str(error))
        href = self._href(relative)
        reduced = timeline(history, self._bins)
        figure = plot.figure(reduced) if reduced.panels else ""
        if len(figure) > self._figures_left:
            return Drawn(relative, href, reduced, Markup(), "It is not drawn, to keep this page small.")
        self._figures_left -= len(figure)
        return Drawn(relative, href, reduced, Markup(figure))  # noqa: S704  (made safe by plot.figure)

    def _shown(self, piece: SavedPiece) -> Shown:
        if not piece.path:
            return Shown(piece.name, "", 0, "", piece.missing)
        name = "/".join(Path(piece.path).parts[-2:])
        try:
            with self._run.piece(piece) as file:
                size_bytes = os.fstat(file.fileno()).st_size
                text = ""
                if 0 < size_bytes <= min(INLINE_BYTES, self._inline_left):
                    text = file.read(INLINE_BYTES).decode(errors="replace")
                    self._inline_left -= size_bytes
        except (OrdealError, OSError) as error:
            self.unreadable.append(str(error))
            return Shown(name, "", 0, "", str(error))
        return Shown(name, self._href(piece.path), size_bytes, text, "")

    def _href(self, relative: str) -> str:
        # "./" so that no name can be read as a scheme
        return "./" + quote(os.path.relpath(self._run.folder.resolve() / relative, self._beside.resolve()))


def _worry(o: SavedOutcome) -> int:
    if o.passed:
        return 0
    return 3 if o.verdict == "violated" and not o.control else 2 if not o.control else 1


def _lines(chapter: Chapter, run: SavedRun) -> tuple[Line, ...]:
    outcomes = [replayed.outcome for replayed in chapter.replays]
    hardened = [o for o in outcomes if not o.control]

    def line(each: Checked) -> Line:
        name = each.declared.invariant
        found = [(o, next((f for f in o.findings if f.invariant == name), None)) for o in hardened]
        controls = [
            (control, tuple(o for o in outcomes if o.control == control.id), _not_run(hardened, control.id))
            for control in chapter.incident.controls
            if control.breaks == name
        ]
        own = [control.id for control, *_ in controls]
        return Line(
            name,
            tuple((o, f) for o, f in found if f is not None or not o.findings),
            tuple(controls),
            tuple(word for word in each.words if word.removeprefix(f"{CONTROL} ") not in own),
            tuple(word for word in each.elsewhere if word.removeprefix(f"{CONTROL} ") not in own),
        )

    names = [*judged_hardened(run, chapter.incident.id), *(c.breaks for c in chapter.incident.controls)]
    return tuple(line(each) for each in checked([run], chapter.incident, dict.fromkeys(names)))


def _not_run(hardened: Sequence[SavedOutcome], control: str) -> str:
    """As the suite said it (see Lab.not_run), where it did."""
    said = (str((o.facts or {}).get(f"control {control}", "")) for o in hardened)
    return next(filter(None, said), "not run")


def _bytes(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1e3:.0f} kB" if size_bytes < 1e6 else f"{size_bytes / 1e6:.1f} MB"


def _across(squares: Sequence[object]) -> int:
    """How many squares of a cell stand side by side: half as many as below each other, to have most areas in sight."""
    return ceil(sqrt(len(squares) / 2))


def _arguments(given: Mapping[str, object] | None) -> str:
    """What a promise was asked for, as text; long lists are cut."""
    said = [f"{name} = {value}" for name, value in (given or {}).items()]
    return ", ".join(each if len(each) <= 120 else f"{each[:118]} …" for each in said)


def _visible(value: object) -> object:
    """What the page shows of others: a browser draws no control character, and turns text around for some."""
    return visible(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters |= {
        "across": _across,
        "arguments": _arguments,
        "bytes": _bytes,
        "span": span,
        "visible": _visible,
    }
    return environment


__all__ = ["PAGE", "Answer", "page", "write_page"]
