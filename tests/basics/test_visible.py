"""Text of others is made visible wherever it is shown, and nothing is printed past that."""

import ast
import logging
import re
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import chaos
from chaos.basics.progress import Progress
from chaos.basics.visible import line, lines, visible
from chaos.errors import OrdealError
from chaos.session import telling
from chaos.toolkit.log import say
from tests.nasty import NASTY, acts

pytest_plugins = ["pytester"]

PACKAGE = Path(chaos.__file__).resolve().parent
GOOD = (
    "Füße, naïve, 网络 东京 full\u3000width, no\u00a0break, می‌خواهم, क्‍ष, e\u0301, 葛\U000e0100",
    "👩‍🔬 👍🏽 🇩🇪 1️⃣ ❤️ ©️ 🏳️‍🌈 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "listening on ::1 and :::6443; suites/x.py::test_x[kind-hardened]; # a; a[#b]; [x] \\n",
)


@pytest.mark.parametrize("good", GOOD)
def test_good_text_stays_as_it_is(good: str) -> None:
    assert visible(good) == line(good) == lines(good) == good


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x00\x07\x7f\x9b\x85", r"\x00\x07\x7f\x9b\x85"),
        ("\u202egnp\u2066\u200f\u061c", r"\u202egnp\u2066\u200f\u061c"),
        ("ver\u200bi\u200dfied\ufeff\u00ad\u2060", r"ver\u200bi\u200dfied\ufeff\xad\u2060"),
        ("\ud800\udcff\uffff", r"\ud800\udcff\uffff"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("x\ufe0f\U000e0041", r"x\ufe0f\U000e0041"),
        ("::error::no", r"\x3a:error::no"),
        ("  ::error file=a::no", r"  \x3a:error file=a::no"),
        ("it said ::warning a=b::c", r"it said \x3a:warning a=b::c"),
        ("x ##[error]y ##vso[task.x]", r"x \x23#[error]y \x23#vso[task.x]"),
        ("###[group]", r"#\x23#[group]"),
    ],
)
def test_what_acts_is_shown_by_its_number(text: str, shown: str) -> None:
    assert line(text) == shown
    assert line(shown) == shown


def test_each_character_that_can_not_be_seen_is_shown() -> None:
    hidden = {"Cc", "Cs", "Zl", "Zp", "Cf"}
    drawn = set(
        "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
    )  # number signs
    drawn |= {chr(n) for n in range(0x13430, 0x13460)}  # joins hieroglyphs
    raw = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) in hidden and visible(c) == c]
    assert set(raw) <= drawn


def test_several_lines_stay_several_and_each_is_harmless() -> None:
    assert lines("a\n::error::b\r\n\tc\x1b\r") == "a\n\\x3a:error::b\n    c\\x1b\\r"


def test_an_error_is_visible_wherever_it_is_shown() -> None:
    assert str(OrdealError("it said\n::error::x\x1b[2J")) == "it said\n\\x3a:error::x\\x1b[2J"
    assert acts(str(OrdealError(NASTY))) == ""


def test_the_line_that_says_how_far_a_run_is_obeys_nothing() -> None:
    progress = Progress()
    progress.begin(NASTY)
    progress.beside(lambda: NASTY)
    assert acts(progress.line(), one_line=True) == ""


def test_chaos_toolkits_log_has_a_line_of_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "chaostoolkit"):
        say(NASTY)
    assert acts(caplog.records[0].getMessage(), one_line=True) == ""


def test_what_pytest_shows_of_a_failure_is_visible(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from chaos.session import telling

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport():
            return telling.made_visible((yield))
        """
    )
    pytester.makepyfile(
        f"""
        import pytest

        def test_sentence():
            print({NASTY!r})
            pytest.fail({NASTY!r}, pytrace=False)

        def test_skipped():
            pytest.skip({NASTY!r})

        def test_traceback():
            try:
                raise ValueError({NASTY!r})
            except ValueError as error:
                raise RuntimeError({NASTY!r}) from error

        @pytest.fixture
        def broken():
            raise RuntimeError({NASTY!r})

        def test_fixture(broken):
            pass
        """
    )
    done = pytester.runpytest_inprocess("-ra", "--junitxml=junit.xml", "-p", "no:cacheprovider")
    done.assert_outcomes(failed=2, skipped=1, errors=1)
    said = done.stdout.str()
    assert r"\x1b[2J" in said
    assert acts(said) == ""


def test_a_line_of_the_summary_is_visible() -> None:
    told: list[str] = []
    telling.write(SimpleNamespace(write_line=told.append), NASTY)  # type: ignore[arg-type]
    assert acts(told[0], one_line=True) == ""


# Where something is written for a reader: who writes there makes it visible.
WRITERS = {
    "cli.output._write",  # what say and tell have made visible
    "cli.output.print_json",  # JSON in ASCII
    "cli.output.write_markdown",  # each part of it is escaped
    "session.telling.report",
    "session.telling.write",
    "session.telling.agreed",  # a question
    "session.planning._tell",
    "session.showing.tell",  # Progress.line, which is visible
    "run.live.tell",
    "run.live.say",
    "setup.steps._line",
    "session.pytest_specs.check",
    "session.ending.pytest_terminal_summary",  # tables of visible cells
    "cli.results.report", "cli.images.image_list", "cli.images._print_node_images", "cli.mutants.mutant_list",
    "cli.conformance.conformance_list", "cli.machine._print_checks", "cli.comparison._compare",  # tables
    "cli.history._print", "cli.history.history_runs", "cli.mutants.mutant_score",  # tables
    "cli.incidents._list_proofs",  # Markdown, of which each part is escaped
    "session.prospecting._write", "session.prospecting.pytest_runtestloop",  # what prospect_text has made visible
    "__main__.main",  # a sentence of ours
    "agent.server._report", "agent.__main__.main", "clusters.agent.remote.main",  # visible sentences
    "basics.progress.write", "basics.progress.show", "basics.progress.clear",  # a terminal's file, and Progress.line
}  # fmt: skip
# They speak to a program of ours at the other end, in JSON.
PROTOCOLS = ("writers.",)
PRINTS = re.compile(r"(.*\.)?(echo|secho|print|write_line)|(sys\.std\w+|out|terminal\w*|self\.file)\.write")


class Calls(ast.NodeVisitor):
    """Where text is written, by module and function."""

    def __init__(self, module: str) -> None:
        self.module, self.inside, self.found = module, ["<module>"], set[str]()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.inside.append(node.name)
        self.generic_visit(node)
        self.inside.pop()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if ast.unparse(node) in {"typer.echo", "typer.secho"}:  # handed on, too
            self.found.add(f"{self.module}.{self.inside[-1]}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if PRINTS.fullmatch(ast.unparse(node.func)):
            self.found.add(f"{self.module}.{self.inside[-1]}")
        self.generic_visit(node)


def test_nothing_is_printed_past_it() -> None:
    found = set[str]()
    for path in PACKAGE.rglob("*.py"):
        calls = Calls(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        calls.visit(ast.parse(path.read_text()))
        found |= calls.found
    unknown = {each for each in found - WRITERS if not each.startswith(PROTOCOLS)}
    assert unknown <= {"report.cncf.submit", "hosts.files.place", "conformance.session._take_over"}, unknown
    assert found >= WRITERS, WRITERS - found


def reported(config: Any, text: str) -> None:
    telling.reporter(config)(text)


def test_a_reported_line_is_one_line(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    reported(pytester.parseconfigure(), NASTY)
    said = capsys.readouterr().out
    assert said.count("\n") <= 2  # what pytest begins a line with, and its end
    assert r"\x1b[2J" in said
    assert acts(said) == ""
