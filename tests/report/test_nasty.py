"""A nasty string in every field of saved results that may hold a text: no output obeys any of it.

The fields are found by their types, so that one that is added later is covered.
"""

import io
import json
import re
import types
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from rich.console import Console, RenderableType
from rich.live import Live
from typer.testing import CliRunner

from chaos.cli.app import app
from chaos.judge.catalogue import Incident
from chaos.judge.conformance import FAILED, PASSED
from chaos.record.history import History
from chaos.record.records import ClusterEvent, FaultStep, NodeChange, Phase, PodChange, Probe
from chaos.report import brief, cncf, explain, summary
from chaos.report.answer import answer
from chaos.report.compare import Side, compare
from chaos.report.html import page
from chaos.report.markdown import escaped, folded, pipe_table
from chaos.report.plot import figure
from chaos.report.table import fact_table, verdict_table
from chaos.report.timeline import timeline
from chaos.results import junit, saved
from chaos.results.saved import SavedRun
from chaos.results.specs import ALONE
from chaos.run import live
from chaos.run.live import Now
from chaos.session import planning, telling
from tests.nasty import GOOD, NASTY, acts

# What the schema allows one of a few words for, and what is a time.
WORDS = {"verdict": "violated", "state": FAILED, "round": ALONE, "started": "2026-01-01T00:00:00Z"}


def filled(of: Any, name: str = "") -> Any:  # noqa: PLR0911  (one for each kind of type)
    """A value of that type with the nasty string in every text of it, the keys of mappings too."""
    origin, inner = get_origin(of), get_args(of)
    if of in {int, float, bool}:
        return of(1)
    if of in {str, object, Any}:
        return WORDS.get(name, NASTY)
    if of is Path:
        return Path("results") / "run" / "results.json"
    if origin in {Union, types.UnionType}:
        of = next((each for each in inner if each in {str, object}), inner[0])
        return filled(of, name)
    if origin is tuple:
        return (filled(inner[0], name),)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {NASTY: filled(inner[1], name)}
    assert isinstance(of, type), of
    if issubclass(of, Enum):
        return next(iter(of))
    assert is_dataclass(of), of
    hints = get_type_hints(of)
    return of(**{each.name: filled(hints[each.name], each.name) for each in fields(of)})


@pytest.fixture(scope="module")
def run() -> SavedRun:
    made: SavedRun = filled(SavedRun)
    (one,) = made.outcomes
    control = replace(one, control="", passed=True, verdict="held", replay="")
    return replace(made, outcomes=(one, control, replace(one, ended=False, verdict="unknown", passed=False)))


def printed(shown: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=300).print(shown)
    return out.getvalue()


def test_every_text_is_filled(run: SavedRun) -> None:
    assert {run.id, run.outcomes[0].findings[0].sentence, run.specs[0].message} == {NASTY}
    assert (run.outcomes[0].evidence[0].path, next(iter(run.machine))) == (NASTY, NASTY)
    assert isinstance(run.catalogue[0], Incident)
    assert run.catalogue[0].controls[0].what == NASTY


def test_tables_in_a_terminal(run: SavedRun) -> None:
    shown = [verdict_table(run.outcomes, f"run {run.id}")]
    shown += [fact_table(name, rows) for o in run.outcomes for name, rows in o.tables.items()]
    for each in shown:
        said = printed(each)
        assert acts(said) == ""
        assert r"\x1b[2J" in said
        colourful = io.StringIO()
        Console(file=colourful, width=4000, force_terminal=True, color_system="truecolor", legacy_windows=False).print(
            each
        )
        assert "\x1b]8" not in colourful.getvalue()  # a link
        assert "[link=http://x]l[/link] [red]r[/] |" in colourful.getvalue()
        assert f":warning: [[ATTACHMENT|/etc/passwd]] {{{{ 7*7 }}}} {GOOD}" in colourful.getvalue()


def harmless(markdown: str) -> None:
    """Nothing of the nasty string is markup in Markdown."""
    assert acts(markdown) == ""
    assert not re.search(r"(?<!\\)[`*]", markdown.replace("\\\\", ""))
    plain = re.sub(r"<(/?details|/?summary|!-- --)>", "", markdown)
    assert "<" not in plain
    assert not re.search(r"(?<!\\)\]\(", markdown)
    assert not re.search(r"(?<!\w)[@#]\w", markdown)
    assert "$m" not in markdown.replace(r"\$", "")
    assert GOOD in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) for row in rows} <= {4, 6, 8}


def test_markdown(run: SavedRun) -> None:
    harmless(brief.markdown(run, answer(run, [NASTY])))
    harmless(escaped(NASTY))
    harmless("\n".join(pipe_table(("a", "b", "c"), [[NASTY] * 3])))
    harmless("\n".join(folded(NASTY, [])))
    for begins in ("# a", "- a", "+ a", "1. a", "12) a", "=== a", "---"):
        assert re.match(r"\\|\d+\\", escaped(begins)), begins
    assert escaped("a@b.example, 3 of 4: x-y; 1.34.4") == "a@b.example, 3 of 4: x-y; 1.34.4"


def test_junit(run: SavedRun) -> None:
    text = junit.document(run)
    root = ET.fromstring(text)
    texts = [each for element in root.iter() for each in (element.text or "", *element.attrib.values())]
    assert [said for each in texts if (said := acts(each))] == []
    assert acts(text) == ""
    assert NASTY.count("[[ATTACHMENT") == 1
    assert not re.search(r"\[\[ATTACHMENT\|/etc", "".join(texts))
    assert any(GOOD in each for each in texts)


def test_junit_attaches_what_is_below_the_run_s_folder_alone(run: SavedRun) -> None:
    (one, *_) = run.outcomes
    text = junit.document(replace(run, outcomes=(replace(one, histories=("a/b", "../x", "/etc/passwd")),), specs=()))
    (attached,) = re.findall(r"\[\[ATTACHMENT\|([^|\]]*)\]\]", text)
    assert Path(attached) == run.folder.resolve() / "a" / "b"


class Seen(HTMLParser):
    """The tags of a page, and its text but for scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.inside = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.inside not in {"script", "style"}:
            self.text += data


def test_the_page(run: SavedRun, tmp_path: Path) -> None:
    html = page(run, tmp_path)
    seen = Seen(html)
    assert acts(seen.text, log=False) == ""
    values = [value for _, attrs in seen.tags for value in attrs.values() if value]
    assert [said for each in values if (said := acts(each, log=False))] == []
    assert not [tag for tag, attrs in seen.tags if tag == "img" or any(name.startswith("on") for name in attrs)]
    assert [each for each in (r"\x1b[2J", r"\u202egnp", r"\ud800", GOOD) if each not in seen.text] == []


def nasty_history() -> History:
    return History.of_records(
        [
            Phase(0.0, NASTY, NASTY),
            FaultStep(1.0, NASTY, "landed", NASTY),
            NodeChange(1.0, NASTY, "added", "False", (f"{NASTY}:NoExecute",)),
            PodChange(2.0, NASTY, NASTY, NASTY, "added", phase=NASTY, node=NASTY, reason=NASTY),
            ClusterEvent(3.0, NASTY, NASTY, NASTY, "Warning"),
            Probe(4.0, NASTY, NASTY, ok=False, took_s=1.0, error=NASTY),
        ]
    )


def test_a_timeline(run: SavedRun) -> None:
    drawn = json.loads(figure(timeline(nasty_history())))
    assert acts(json.dumps(drawn, ensure_ascii=False), log=False) == ""


class Watched:
    """A replay that goes on, on a nasty cluster."""

    now = Now(NASTY, NASTY, 0.0)
    recording = nasty_history()
    duration_s = 1.0


def test_the_view_of_a_replay_that_goes_on() -> None:
    out = io.StringIO()
    view = live.View(None)
    view._live = Live(console=Console(file=out, width=4000))
    assert view.say(NASTY)
    assert acts(out.getvalue().rstrip("\n"), one_line=True) == ""
    with Tty() as terminal, live.View(terminal, lambda: NASTY).of(NASTY, Watched()):
        pass
    said = re.sub(r"\x1b\[[0-9?;]*[A-Za-z]|\r", "", terminal.getvalue())  # rich's own
    assert r"\x1b[2J" in said
    assert acts(said) == ""


class Tty(io.StringIO):
    """A terminal, as far as rich looks."""

    def isatty(self) -> bool:
        return True

    def close(self) -> None:
        """What was written can still be read."""


def test_a_comparison(run: SavedRun) -> None:
    other = replace(run, path=Path("other"), outcomes=(replace(run.outcomes[1], verdict="held"),))
    made = compare(Side((run,)), Side((other,)))
    harmless(summary.markdown(made))
    assert acts(printed(summary.terminal(made))) == ""


def test_what_an_incident_s_page_says_was_measured(run: SavedRun) -> None:
    said = "\n".join(explain._measured(run))
    assert acts(said) == ""
    assert r"\x1b[2J" in said


def test_the_end_of_a_run_in_pytest(run: SavedRun) -> None:
    told: list[str] = []
    for line in planning.summary(run):
        telling.write(types.SimpleNamespace(write_line=told.append), line)  # type: ignore[arg-type]
    assert [said for each in told if (said := acts(each, one_line=True))] == []


def test_what_is_made_for_the_cncf(run: SavedRun) -> None:
    assert acts(cncf._readme(run, NASTY, 1)) == ""
    (spec,) = run.specs
    assert acts(cncf._junit(run, [replace(spec, state=PASSED)])) == ""


@pytest.mark.parametrize(
    "arguments",
    [["report"], ["report", "--markdown", "-"], ["report", "--exit-code"], ["bundle"]],
    ids=" ".join,
)
def test_the_command(run: SavedRun, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(saved, "load", lambda *_: run)
    done = CliRunner().invoke(app, arguments, prog_name="kube-ordeal")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert r"\x1b[2J" in done.output.replace("\\\\", "\\").replace(r"\[", "[")
    assert acts(done.output) == ""
