"""How CI systems read junit.xml, as far as their documentation and their parsers say it. Each is the rule, not a copy.

Jenkins: the plugins junit (CaseResult) and junit-attachments (README, GetTestDataMethodObject). GitLab: "Unit test
reports" and lib/gitlab/ci/parsers/test/junit.rb.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

JENKINS_KEEPS = {True: 500, False: 50_000}  # characters of each end of a test's output, by whether it passed
GITLAB_TAKES_BYTES = 30_000_000


@dataclass(frozen=True)
class ReadCase:
    """A test as one of them shows it. `files` are those that it attaches, `lost` the names that lead to none."""

    status: str  # passed, failed, error, skipped
    said: str
    files: tuple[Path, ...] = ()
    lost: tuple[str, ...] = ()


def jenkins(report: Path, workspace: Path) -> Mapping[tuple[str, str], ReadCase]:
    """By class and name. Every attachment is shown, but of several files of one name in one test only the first."""
    root = ET.parse(report).getroot()
    suites = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))
    return {
        (case.attrib["classname"], case.attrib["name"]): _in_jenkins(case, workspace)
        for suite in suites
        for case in suite.findall("testcase")
    }


def _in_jenkins(case: ET.Element, workspace: Path) -> ReadCase:
    status, found = _status(case)
    said = case.findtext("system-out") or ""
    each_end = JENKINS_KEEPS[status not in {"failed", "error"}]
    if len(said) > 2 * each_end:
        said = f"{said[:each_end]}\n...[truncated]...\n{said[-each_end:]}"
    named = [each[1].partition("|")[0] for each in re.finditer(r"\[\[ATTACHMENT\|(.+)\]\]", said)]
    files = {path.name: path for each in reversed(named) if (path := workspace / each).is_file()}
    lost = tuple(each for each in named if not (workspace / each).is_file())
    why = "" if found is None else found.get("message") or found.text or ""
    return ReadCase(status, why, tuple(reversed(files.values())), lost)


def gitlab(report: Path, project: Path) -> Mapping[tuple[str, str], ReadCase]:
    """By class and name; of two with the same ones the first counts. One attachment, of a test that did not pass: it is
    looked for among the job's artifacts, so below the project's folder.
    """
    assert report.suffix == ".xml"
    assert report.stat().st_size < GITLAB_TAKES_BYTES
    root = ET.parse(report).getroot()
    assert root.tag in {"testsuites", "testsuite"}
    cases: dict[tuple[str, str], ReadCase] = {}
    for case in root.iter("testcase"):
        cases.setdefault((case.attrib["classname"], case.attrib["name"]), _in_gitlab(case, project))
    return cases


def _in_gitlab(case: ET.Element, project: Path) -> ReadCase:
    status, found = _status(case)
    why = "" if found is None else found.text or ""
    if status not in {"failed", "error"}:
        return ReadCase(status, why)
    tag = re.search(r"\[\[ATTACHMENT\|([^\[\]|]+?)\]\]", case.findtext("system-out") or "")
    if tag is None:
        return ReadCase(status, why)
    is_artifact = not tag[1].startswith("/") and (project / tag[1]).is_file()
    return ReadCase(status, why, (project / tag[1],) if is_artifact else (), () if is_artifact else (tag[1],))


def _status(case: ET.Element) -> tuple[str, ET.Element | None]:
    for tag, status in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
        if (found := case.find(tag)) is not None:
            return status, found
    return "passed", None


def strict(root: ET.Element) -> list[str]:
    """What in a document one of the strict schemas would refuse, as far as it can be told without them.

    tests/integration/test_junit_schemas.py asks the schemas themselves.
    """
    suite = {"name", "time", "tests", "errors", "skipped", "failures"}
    allowed = {
        "testsuite": (suite, suite - {"time"}, ("properties", "testcase")),
        "properties": (set[str](), set[str](), ("property",)),
        "property": ({"name", "value"}, {"name", "value"}, ()),
        "testcase": (
            {"name", "classname", "time"}, {"name", "time"}, ("failure", "skipped", "error", "system-out"),
        ),
        "failure": ({"message", "type"}, {"type"}, ()),
        "error": ({"message", "type"}, {"type"}, ()),
        "skipped": (set[str](), set[str](), ()),
        "system-out": (set[str](), set[str](), ()),
    }  # fmt: skip
    wrong = [] if root.tag == "testsuite" else [f"{root.tag} at the top"]
    for each in root.iter():
        names, needed, children = allowed.get(each.tag, (set[str](), set[str](), ()))
        there = [child.tag for child in each]
        wrong += [f"{each.tag} {name}" for name in ({*each.attrib} - names) | (needed - {*each.attrib})]
        wrong += [f"{child} in {each.tag}" for child in there if child not in children]
        wrong += [f"order in {each.tag}: {there}"] * (sorted(there, key=[*children, *there].index) != there)
        wrong += [
            f"two of {child} in {each.tag}" for child in {*there} - {"testcase", "property"} if there.count(child) > 1
        ]
        if "time" in each.attrib and not re.fullmatch(r"\d+\.\d{3}", each.attrib["time"]):
            wrong.append(f"time {each.attrib['time']}")
    return wrong
