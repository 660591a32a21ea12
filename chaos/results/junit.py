"""junit.xml as CI systems take it: a testcase for each replay, with what was measured, and for each spec.

The strict schemas of its readers agree on little: Surefire's (surefire-test-report.xsd) has one `testsuite` at the top,
and neither it nor that of Jenkins' xunit plugin (junit-10.xsd) has properties of a testcase; in both one failure, error
or skipped comes before system-out. The reason of a skip is text, as GitLab reads it, which has no schema.
"""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.files import is_below
from chaos.basics.visible import line, lines
from chaos.judge.conformance import SKIPPED
from chaos.results.saved import SavedOutcome, SavedRun, Skipped
from chaos.results.specs import BROKEN, SpecResult

_ATTACHMENT = re.compile(r"\[\[(?=ATTACHMENT\|)", re.IGNORECASE)
_ENDS_A_NAME = re.compile(r"[\[\]|]")  # of an attachment, to GitLab (lib/gitlab/ci/parsers/test/junit.rb)
_SUITE = "kube-ordeal"
_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
# GitLab takes files of 30 MB, and a character has up to 5 bytes. Of a text, of a short one, of all texts of one kind.
TEXT, MESSAGE, ALL_TEXTS = 16_000, 4_000, 1_500_000
LEAST = 200


def document(run: SavedRun, root: Path | None = None) -> str:
    """The document for a run, as far as it has come. `root`: where paths of attachments begin, None: whole paths.

    Violated, or a control that was not violated as it must be, is a failure. Unknown is an error, and so is a replay
    that has begun and has no end. Conformance specs that were run for themselves are cases; those around a replay are
    judged with it.
    """
    long = len(run.outcomes) + len(run.skipped) + sum(not spec.passed for spec in run.own_specs)
    write = _Cases(Path(os.path.realpath(run.folder)), root, max(LEAST, min(TEXT, ALL_TEXTS // max(1, long))))
    cases = [
        *(write.replay(outcome) for outcome in run.outcomes),
        *(write.spec(each) for each in run.own_specs),
        *(write.skipped(each) for each in run.skipped),
    ]
    took_s = sum(outcome.duration_s for outcome in run.outcomes) + sum(spec.took_s for spec in run.own_specs)
    counts = {
        "tests": len(cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
        "failures": sum(case.find("failure") is not None for case in cases),
    }
    totals = {name: str(each) for name, each in counts.items()}
    suite = ET.Element("testsuite", {"name": _SUITE, "time": f"{took_s:.3f}", **totals})
    about = {"run": run.id, "version": run.version, "started": run.started}
    _properties(suite, {**about, **run.machine, **run.measured, **(run.options or {})})
    suite.extend(cases)
    ET.indent(suite)
    return f"{_DECLARATION}{ET.tostring(suite, encoding='unicode')}\n"


def attachments_root(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where the CI system that this runs in lets paths of attachments begin; None: it wants whole paths.

    Jenkins' junit-attachments plugin documents whole paths, and GitLab (Unit test reports) those from $CI_PROJECT_DIR.
    Anywhere else it is the folder in which the run began. Raises OSError where that is not there.
    """
    if any(environ.get(name) for name in ("JENKINS_URL", "JENKINS_HOME")):
        return None
    return Path(os.path.realpath(environ.get("CI_PROJECT_DIR") or Path.cwd()))


@dataclass(frozen=True, slots=True)
class _Cases:
    """Makes testcases: of a run in `folder`, with attachments named from `root` and texts of `most` characters."""

    folder: Path
    root: Path | None
    most: int

    def replay(self, o: SavedOutcome) -> ET.Element:
        case = _named(o.test, o.duration_s)
        if not o.passed:
            found = (line(f"{f.verdict}: {f.invariant}: {f.sentence[: self.most]}") for f in o.findings)
            self._problem(case, "error" if o.verdict == "unknown" else "failure", o.verdict, o.why, "\n".join(found))
        figures = {f"{f.invariant}.{name}": value for f in o.findings for name, value in f.figures.items()}
        verdicts = {f"{f.invariant}.verdict": f.verdict for f in o.findings}
        about = {"incident": o.id, "verdict": o.verdict, "kubernetes": o.kubernetes, "profile": o.profile}
        told = {**about, **(o.facts or {}), **verdicts, **figures}
        files = dict.fromkeys([*o.histories, *(piece.path for piece in o.evidence if piece.path)])
        self._say(case, files, o.why, told)
        return case

    def spec(self, s: SpecResult) -> ET.Element:
        """Not passed at once is a failure; skipped by upstream is skipped; what could not be tried is an error."""
        case = _named(s.test, s.took_s)
        if s.state == SKIPPED:
            self._skip(case, f"{s.said}\n{s.message}".strip())
        elif not s.passed:
            self._problem(case, "failure" if s.state in BROKEN else "error", s.state, s.said, s.message)
        self._say(case, s.files, s.said, {"spec": s.spec, "area": s.area, "state": s.state, "kubernetes": s.kubernetes})
        return case

    def skipped(self, skipped: Skipped) -> ET.Element:
        case = _named(skipped.test, 0.0)
        self._skip(case, skipped.why)
        return case

    def _skip(self, case: ET.Element, why: str) -> None:
        ET.SubElement(case, "skipped").text = self._text(why)

    def _problem(self, case: ET.Element, tag: str, kind: str, sentence: str, text: str) -> None:
        problem = ET.SubElement(case, tag, type=xml_line(kind), message=_short(sentence, self.most))
        problem.text = self._text(text)

    def _text(self, text: str) -> str:
        return _cut(xml_text(text[: self.most + 1]), self.most)  # what is shown of it is no shorter

    def _say(self, case: ET.Element, files: Iterable[str], sentence: str, told: Mapping[str, object]) -> None:
        """Attachments come first: GitLab shows one, and Jenkins keeps the ends of what a test that passed has said.

        One whose tag would be cut is left out.
        """
        tags = (f"[[ATTACHMENT|{path}]]" for path in map(self._attached, files) if path)
        attached = (tag for tag in tags if len(tag) < self.most)
        figures = (f"{_short(name)} = {_short(str(value))}" for name, value in told.items())
        said = "\n".join([*attached, _short(sentence, self.most), *figures])
        ET.SubElement(case, "system-out").text = _cut(said, self.most)

    def _attached(self, relative: str) -> str:
        """A file as a CI system is told it; empty where none would find it by that."""
        if not is_below(relative):
            return ""
        path = self.folder / relative
        named = path.relative_to(self.root) if self.root is not None and path.is_relative_to(self.root) else path
        return "" if _ENDS_A_NAME.search(str(named)) or line(str(named)) != str(named) else str(named)


def _short(text: str, most: int = MESSAGE) -> str:
    most = min(most, MESSAGE)
    return _cut(xml_line(text[: most + 1]), most)


def _cut(text: str, most: int) -> str:
    """At most that many characters, and whole lines where it has several: half an attachment would be no name."""
    if len(text) <= most:
        return text
    whole, ends, _ = text[:most].rpartition("\n")
    return f"{whole}\n... and more, see results.json" if ends else f"{text[:most]}... and more, see results.json"


def _named(test: str, took_s: float) -> ET.Element:
    """A case is named as pytest's own --junitxml names it, so that both can be laid side by side."""
    file, _, name = test.rpartition("::")
    classname = file.removesuffix(".py").replace("/", ".") or _SUITE
    return ET.Element("testcase", classname=_short(classname), name=_short(name), time=f"{took_s:.3f}")


def _properties(parent: ET.Element, values: Mapping[str, object]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=_short(name), value=_short(str(value)))


def xml_text(text: str) -> str:
    """Text of several lines as XML 1.0 can hold it (section 2.2 of the recommendation): the rest is shown as escapes.

    No file is attached but for those that `_say` names.
    """
    return _ATTACHMENT.sub("[ [", lines(text))


def xml_line(text: str) -> str:
    """The same of one line, as attributes are."""
    return _ATTACHMENT.sub("[ [", line(text))
