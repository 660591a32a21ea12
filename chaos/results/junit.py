"""junit.xml as CI systems take it: a testcase for each replay, with its measured figures, and for each spec."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping

from chaos.basics.files import is_below
from chaos.basics.visible import line, lines
from chaos.judge.conformance import SKIPPED
from chaos.results.saved import SavedOutcome, SavedRun, Skipped
from chaos.results.specs import BROKEN, SpecResult

_ATTACHMENT = re.compile(r"\[\[(?=ATTACHMENT\|)", re.IGNORECASE)
_SUITE = "kube-ordeal"
_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'


def document(run: SavedRun) -> str:
    """The document for a run, as far as it has come.

    Violated, or a control that was not violated as it must be, is a failure. Unknown is an error, and so is a replay
    that has begun and has no end. Conformance specs that were run for themselves are cases; those around a replay are
    judged with it.
    """
    cases = [
        *(_case(outcome) for outcome in run.outcomes),
        *(_spec(each) for each in run.own_specs),
        *(_skipped(each) for each in run.skipped),
    ]
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
    }
    totals = {name: str(count) for name, count in counts.items()}
    took_s = sum(outcome.duration_s for outcome in run.outcomes) + sum(spec.took_s for spec in run.own_specs)
    totals["time"] = f"{took_s:.3f}"
    whole = ET.Element("testsuites", totals)
    suite = ET.SubElement(
        whole, "testsuite", {"name": _SUITE, **totals, "timestamp": xml_line(run.started.removesuffix("Z"))}
    )
    _properties(suite, {"run": run.id, "version": run.version, **run.machine, **run.measured, **(run.options or {})})
    suite.extend(cases)
    ET.indent(whole)
    return f"{_DECLARATION}{ET.tostring(whole, encoding='unicode')}\n"


def _case(o: SavedOutcome) -> ET.Element:
    case = _named(o.test, f"{o.duration_s:.3f}")
    figures = {f"{f.invariant}.{name}": value for f in o.findings for name, value in f.figures.items()}
    verdicts = {f"{f.invariant}.verdict": f.verdict for f in o.findings}
    about = {"incident": o.id, "verdict": o.verdict, "kubernetes": o.kubernetes, "profile": o.profile}
    _properties(case, {**about, **(o.facts or {}), **verdicts, **figures})
    if not o.passed:
        tag = "error" if o.verdict == "unknown" else "failure"
        problem = ET.SubElement(case, tag, type=xml_line(o.verdict), message=xml_line(o.why))
        problem.text = _lines(f"{f.verdict}: {f.invariant}: {f.sentence}" for f in o.findings)
    _say(case, o.why, dict.fromkeys([*o.histories, *(piece.path for piece in o.evidence if piece.path)]))
    return case


def _spec(s: SpecResult) -> ET.Element:
    """Not passed at once is a failure; skipped by upstream is skipped; what could not be tried is an error."""
    case = _named(s.test, f"{s.took_s:.3f}")
    _properties(case, {"spec": s.spec, "area": s.area, "state": s.state, "kubernetes": s.kubernetes})
    if not s.passed:
        tag = "skipped" if s.state == SKIPPED else "failure" if s.state in BROKEN else "error"
        problem = ET.SubElement(case, tag, message=xml_line(s.said))
        problem.text = xml_text(s.message)
    _say(case, s.said, s.files)
    return case


def _lines(said: Iterable[str]) -> str:
    return "\n".join(map(xml_line, said))


def _say(case: ET.Element, sentence: str, paths: Iterable[str]) -> None:
    """A sentence, and files in the form in which Jenkins and GitLab take attachments."""
    out = ET.SubElement(case, "system-out")
    attached = (f"[[ATTACHMENT|{line(path)}]]" for path in paths if is_below(path) and "]]" not in path)
    out.text = "\n".join([xml_text(sentence), *attached])


def _skipped(skipped: Skipped) -> ET.Element:
    case = _named(skipped.test, "0")
    ET.SubElement(case, "skipped", message=xml_line(skipped.why))
    return case


def _named(test: str, time_s: str) -> ET.Element:
    """A case is named as pytest's own --junitxml names it, so that both can be laid side by side."""
    file, _, name = test.rpartition("::")
    classname = file.removesuffix(".py").replace("/", ".") or _SUITE
    return ET.Element("testcase", classname=xml_line(classname), name=xml_line(name), time=time_s)


def _properties(parent: ET.Element, values: Mapping[str, object]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=xml_line(name), value=xml_line(str(value)))


def xml_text(text: str) -> str:
    """Text of several lines as XML 1.0 can hold it (section 2.2 of the recommendation): the rest is shown as escapes.

    No file is attached but for those that `_say` names.
    """
    return _ATTACHMENT.sub("[ [", lines(text))


def xml_line(text: str) -> str:
    """The same of one line, as attributes are."""
    return _ATTACHMENT.sub("[ [", line(text))
