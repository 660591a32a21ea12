"""What the CNCF's programme takes: made of a run of all specs that passed at once, else what is missing is said."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from chaos.errors import OrdealError
from chaos.judge.conformance import AFTER, FAILED, FLAKY, NO_IMAGE, PASSED, SKIPPED
from chaos.report import cncf, product
from chaos.results.results import Results
from chaos.results.saved import SavedRun, load
from chaos.results.specs import ALONE, SpecResult

PODS, DNS, SERIAL = (
    "[sig-node] Pods should be updated [NodeConformance] [Conformance]",
    "[sig-network] DNS should provide DNS for the cluster [Conformance]",
    "[sig-apps] Daemon set [Serial] should roll <back> [Conformance]",
)
REQUIRED = (PODS, DNS, SERIAL)
VERSION = "1.34.4"


def spec(text: str, state: str = PASSED, **other: object) -> SpecResult:
    key = f"x-{REQUIRED.index(text)}" if text in REQUIRED else "x-9"
    made = SpecResult("t", ALONE, key, text, "node", state, 2.5, VERSION, output=f"conformance/{key}/output.log")
    return replace(made, **other)  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Sequence[SpecResult]], SavedRun]:
    def make(specs: Sequence[SpecResult]) -> SavedRun:
        results = Results(tmp_path / "results", "r1", {})
        for each in specs:
            if each.output:
                path = results.directory / each.output
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"STEP: said by {each.id}\n")
        results.add_specs(specs)
        return load(tmp_path / "results", "r1")

    return make


Make = Callable[[Sequence[SpecResult]], SavedRun]


def test_all_passed_makes_four_files(run: Make, tmp_path: Path) -> None:
    saved = run([spec(DNS), spec(PODS), spec(SERIAL), spec("[sig-node] Other", SKIPPED)])
    assert cncf.versions(saved) == (VERSION,)
    made = cncf.submit(saved, VERSION, REQUIRED, product.template(), tmp_path / "out")
    assert made.folder == tmp_path / "out" / "v1.34" / "PRODUCT"
    assert sorted(p.name for p in made.folder.iterdir()) == sorted(cncf.FILES)
    assert any("vendor is missing" in lack for lack in made.lacks)
    assert "vendor" in yaml.safe_load((made.folder / "PRODUCT.yaml").read_text())
    log = (made.folder / "e2e.log").read_text()
    assert "e2e test version: v1.34.4" in log
    assert log.endswith("SUCCESS! -- 3 Passed | 0 Failed | 0 Pending | 0 Skipped\nPASS\n")
    assert log.index(DNS) < log.index("said by x-1") < log.index(PODS) < log.index("said by x-0") < log.index(SERIAL)
    whole = ET.parse(made.folder / "junit_01.xml").getroot()
    cases = [c.attrib for c in whole.iter("testcase")]
    assert [c["name"] for c in cases] == [f"[It] {text}" for text in (DNS, PODS, SERIAL)]
    assert {(c["classname"], c["status"]) for c in cases} == {("Kubernetes e2e suite", "passed")}
    assert (whole.attrib["tests"], whole.attrib["failures"]) == ("3", "0")
    readme = (made.folder / "README.md").read_text()
    assert "All 3 specs" in readme
    assert "--kubernetes 1.34.4" in readme


@pytest.mark.parametrize(
    ("specs", "sentence"),
    [
        ([spec(PODS), spec(SERIAL)], f"1 of 3 specs were not run: {DNS}"),
        ([spec(PODS), spec(DNS, SKIPPED), spec(SERIAL)], f"1 of 3 specs skipped by upstream: {DNS}"),
        ([spec(PODS), spec(DNS, FAILED), spec(SERIAL)], f"1 of 3 specs failed: {DNS}"),
        ([spec(PODS), spec(DNS, FLAKY, tries=2), spec(SERIAL)], "passed on try 2, which is not passed"),
        ([spec(PODS), spec(DNS, NO_IMAGE), spec(SERIAL)], "an image could not be had"),
        ([spec(PODS), spec(DNS, FAILED), spec(SERIAL), spec(DNS)], f"1 of 3 specs failed: {DNS}"),
        ([spec(PODS), spec(DNS, round=AFTER), spec(SERIAL)], "1 of 3 specs were not run"),
        ([spec(PODS), spec(DNS, kubernetes="1.36.3"), spec(SERIAL)], "1 of 3 specs were not run"),
        ([spec(PODS), spec(DNS, output=""), spec(SERIAL)], "the output of 1 specs is not there"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_written(
    run: Make, tmp_path: Path, specs: Sequence[SpecResult], sentence: str
) -> None:
    made = cncf.submit(run(specs), VERSION, REQUIRED, product.template(), tmp_path / "out")
    assert made.folder is None
    assert any(sentence in lack for lack in made.lacks), made.lacks
    assert not (tmp_path / "out").exists()


def test_many_are_counted_and_some_named(run: Make, tmp_path: Path) -> None:
    required = [f"spec {n}" for n in range(25)]
    (lack,) = cncf.submit(run([spec(PODS)]), VERSION, required, product.template(), tmp_path).lacks
    assert "25 of 25 specs were not run" in lack
    assert lack.endswith("; and 15 more")


def test_without_knowing_what_is_asked_for_nothing_is_complete(run: Make, tmp_path: Path) -> None:
    made = cncf.submit(run([spec(PODS)]), VERSION, (), product.template(), tmp_path / "out")
    assert made.folder is None


def test_a_folder_that_cannot_be_written_is_a_sentence(run: Make, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OrdealError, match="can't be written"):
        cncf.submit(run([spec(s) for s in REQUIRED]), VERSION, REQUIRED, product.template(), tmp_path / "out")
