"""What the CNCF's conformance programme takes from a vendor: e2e.log, junit_01.xml, PRODUCT.yaml, README.md.

They are made only of a run of all of upstream's conformance specs of one version, each of which passed at the first try
(cncf/k8s-conformance, instructions.md and reviewing.md: none may be skipped, none may be listed as flaked).
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.files import SHARED, place, placed
from chaos.basics.visible import line, visible
from chaos.errors import OrdealError
from chaos.hosts.places import APP
from chaos.report.markdown import escaped
from chaos.report.product import Product
from chaos.results.junit import xml_line
from chaos.results.saved import SavedRun
from chaos.results.specs import SpecResult

LOG, JUNIT, PRODUCT, README = "e2e.log", "junit_01.xml", "PRODUCT.yaml", "README.md"
FILES = (README, LOG, JUNIT, PRODUCT)
SUITE = "Kubernetes e2e suite"  # Ginkgo's name for it, which reviewers' programs look for
NAMED_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class Submission:
    """What was written, or why nothing was: a sentence for each thing that is missing."""

    version: str
    folder: Path | None
    lacks: tuple[str, ...]


def versions(run: SavedRun) -> tuple[str, ...]:
    """The Kubernetes versions whose specs were run for themselves, around no incident."""
    return tuple(dict.fromkeys(s.kubernetes for s in run.own_specs if s.kubernetes))


def submit(run: SavedRun, version: str, required: Sequence[str], product: Product, folder: Path) -> Submission:
    """Write the four files below `folder`, as the programme's repository has them: vX.Y/PRODUCT.

    `required`: the full names of all conformance specs of that version. Nothing is written where something is missing
    but product facts, which the form names. Raises OrdealError where the files can't be written.
    """
    last = {s.spec: s for s in run.own_specs if s.kubernetes == version}
    found = lacks(run, version, required)
    if found:
        return Submission(version, None, found)
    ran = [last[spec] for spec in last if spec in set(required)]
    target = folder / f"v{'.'.join(version.split('.')[:2])}" / "PRODUCT"
    try:
        target.mkdir(parents=True, exist_ok=True)
        place(target / PRODUCT, product.content, mode=SHARED)
        place(target / README, _readme(run, version, len(ran)), mode=SHARED)
        place(target / JUNIT, _junit(run, ran), mode=SHARED)
        with placed(target / LOG, mode=SHARED) as log:
            for part in _log(run, ran):
                log.write(part.encode(errors="backslashreplace"))
    except OSError as error:
        raise OrdealError(f"the files for the CNCF can't be written to {target}: {error.strerror}") from error
    return Submission(version, target, product.lacks)


def lacks(run: SavedRun, version: str, required: Sequence[str]) -> tuple[str, ...]:
    """What a run misses of what the programme asks for; nothing where it has all. A sentence for each kind."""
    tried: dict[str, list[SpecResult]] = {}
    for each in run.own_specs:
        if each.kubernetes == version:
            tried.setdefault(each.spec, []).append(each)
    found = [] if required else [f"nobody knows which specs of Kubernetes {version} the programme asks for"]
    absent = [spec for spec in required if spec not in tried]
    if absent:
        found.append(f"{len(absent)} of {len(required)} specs were not run: {_some(absent)}")
    by_word: dict[str, list[str]] = {}
    for spec in required:
        wrong = next((r for r in tried.get(spec, ()) if not r.passed), None)
        if wrong is not None:
            by_word.setdefault(wrong.said, []).append(spec)
    found += [f"{len(specs)} of {len(required)} specs {word}: {_some(specs)}" for word, specs in by_word.items()]
    logless = [r.spec for spec in required for r in tried.get(spec, ()) if r.passed and not _logged(run, r)]
    if logless:
        found.append(f"the output of {len(logless)} specs is not there: {_some(logless)}")
    return tuple(found)


def _some(specs: Sequence[str]) -> str:
    more = len(specs) - NAMED_AT_MOST
    return "; ".join(specs[:NAMED_AT_MOST]) + (f"; and {more} more" if more > 0 else "")


def _logged(run: SavedRun, result: SpecResult) -> bool:
    try:
        run.file(result.output).close()
    except OrdealError:
        return False
    return True


def _log(run: SavedRun, ran: Sequence[SpecResult]) -> list[str]:
    """Each spec's own output, in the order in which they ended, and Ginkgo's last lines."""
    took_s = sum(r.took_s for r in ran)
    parts = [
        f"{line(f'{APP} {run.version} put this log together from what e2e.test wrote of each spec (run {run.id}).')}\n",
        f"e2e test version: v{line(ran[0].kubernetes)}\n\nWill run {len(ran)} specs\n",
    ]
    for r in ran:
        with run.file(r.output) as file:
            said = visible(file.read().decode(errors="replace"), keep="\n\t").rstrip("\n")
        parts.append(f"{'-' * 30}\n{line(r.spec)}\n{said}\n• [{r.took_s:.3f} seconds]\n")
    parts.append(f"{'-' * 30}\n\nRan {len(ran)} of {len(ran)} Specs in {took_s:.3f} seconds\n")
    parts.append(f"SUCCESS! -- {len(ran)} Passed | 0 Failed | 0 Pending | 0 Skipped\nPASS\n")
    return parts


def _junit(run: SavedRun, ran: Sequence[SpecResult]) -> str:
    """A testcase for each spec, named as Ginkgo names it."""
    counts = {"tests": str(len(ran)), "disabled": "0", "errors": "0", "failures": "0"}
    took = f"{sum(r.took_s for r in ran):.3f}"
    whole = ET.Element("testsuites", {**counts, "time": took})
    named = {
        "name": SUITE,
        **counts,
        "skipped": "0",
        "time": took,
        "timestamp": xml_line(run.started.removesuffix("Z")),
    }
    suite = ET.SubElement(whole, "testsuite", named)
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", name="SuiteSucceeded", value="true")
    for r in ran:
        case = {"name": xml_line(f"[It] {r.spec}"), "classname": SUITE, "status": "passed", "time": f"{r.took_s:.3f}"}
        ET.SubElement(suite, "testcase", case)
    ET.indent(whole)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(whole, encoding="unicode")}\n'


def _readme(run: SavedRun, version: str, count: int) -> str:
    on = run.started.partition("T")[0]
    return f"""# Conformance of Kubernetes v{escaped(version)}

All {count} specs of upstream's e2e.test of that version with the label Conformance, parallel and serial, none skipped.
They were run on {on} by {APP} {escaped(run.version)}, run {escaped(run.id)}.

## To do it again

    pip install {APP}
    {APP} conformance build --kubernetes {line(version)}
    {APP} run suites/conformance --ordeal-profile full --ordeal-specs conformance \\
        --ordeal-cluster existing --ordeal-kubeconfig KUBECONFIG
    {APP} bundle --product PRODUCT.yaml

`e2e.log` has each spec's own output, in the order in which they ended; `junit_01.xml` each spec's result and time.
"""
