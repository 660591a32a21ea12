"""What Prometheus is told, as its own parser reads it; files that are replaced whole; gateways that take nothing."""

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason="the extra [metrics] is not installed")

from prometheus_client.parser import text_string_to_metric_families

from chaos.errors import OrdealError
from chaos.exports import metrics
from chaos.exports.metrics import CONTENT_TYPE, CREDENTIALS, Pushgateway, TextFile, text_of
from chaos.exports.receivers import of_metrics
from chaos.judge.base import Figure, Finding, Verdict
from chaos.judge.conformance import FAILED
from chaos.results.saved import LeftOut, SavedRun, load
from chaos.results.specs import ALONE, SpecResult
from tests.canaries import CANARY
from tests.exports.listening import Answer, hanging, nobody, receiver
from tests.nasty import NASTY, acts
from tests.report.made import CONTROL, INCIDENT, RUN, broken, finding, outcome, proven, results

Labels = frozenset[tuple[str, str]]


def told(text: bytes) -> dict[str, dict[Labels, float]]:
    """The value of each series of ours, by its labels; none is there twice."""
    families: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        if not family.name.startswith("kube_ordeal_"):  # a receiver's own
            continue
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            of = families.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in of
            of[labels] = sample.value
    return families


def by(of: Mapping[Labels, float], label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in of.items()}


def figure_of(measured: Any) -> Finding:
    return finding(**measured)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SavedRun:
    """One in which all has happened that can."""
    made = proven(root := tmp_path_factory.mktemp("results"))
    made.add(replace(outcome(finding(Verdict.UNKNOWN)), test="a.py::test_unknown"))
    made.begin("a.py::test_killed", INCIDENT, cluster="kind", profile="smoke")
    made.begin("a.py::test_skipped", INCIDENT, cluster="kind", profile="smoke")
    made.skip("a.py::test_skipped", "a third hand")
    made.leave_out([LeftOut("a.py::test_left", INCIDENT, "no time")])
    made.add_specs([SpecResult("a.py::s", ALONE, "s", "s", "node", FAILED, 1.0)])
    return load(root)


def test_verdicts_durations_and_counts_are_told(run: SavedRun) -> None:
    said = told(text_of(run))
    hardened, control, killed = run.outcomes[0].test, run.outcomes[1].test, "a.py::test_killed"
    is_ = {
        (dict(labels)["test"], dict(labels)["verdict"]): v for labels, v in said["kube_ordeal_replay_verdict"].items()
    }
    assert {each for each, value in is_.items() if value} == {
        (hardened, "held"), (control, "violated"), ("a.py::test_unknown", "unknown"), (killed, "unknown"),
    }  # fmt: skip
    assert len(is_) == 4 * len(Verdict)
    assert by(said["kube_ordeal_replay_passed"], "test") == {
        hardened: 1,
        control: 1,
        "a.py::test_unknown": 0,
        killed: 0,
    }
    assert by(said["kube_ordeal_replay_duration_seconds"], "test")[hardened] == 61.4
    assert killed not in by(said["kube_ordeal_replay_duration_seconds"], "test")
    counts = {"held": 1, "violated": 1, "unknown": 2, "skipped": 1, "left_out": 1}
    assert by(said["kube_ordeal_run_replays"], "became") == counts
    assert said["kube_ordeal_run_failed_replays"] == {frozenset(): 2}
    assert by(said["kube_ordeal_run_specs"], "state")[FAILED] == 1
    (about,) = said["kube_ordeal_run_info"]
    assert dict(about) == {"run": RUN, "version": run.version}
    began, ended = (said[f"kube_ordeal_run_{name}_timestamp_seconds"][frozenset()] for name in ("start", "end"))
    assert 0 < began <= ended
    assert {(dict(each)["kubernetes"], dict(each)["profile"]) for each in said["kube_ordeal_replay_info"]} == {
        ("1.34.4", "smoke"), ("", "smoke"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "measured", "metric", "figure", "value"),
    [
        ("pods", 6, "", "pods", 6),
        ("slowest_s", 1.5, "_seconds", "slowest", 1.5),
        ("longest_outage_ms", 901, "_seconds", "longest_outage", 0.901),
        ("grown_bytes", 2**20, "_bytes", "grown", 2**20),
        ("worst_loss_percent", 12.5, "_ratio", "worst_loss", 0.125),
        ("documented_per_s", 0.1, "_per_second", "documented", 0.1),
        ("slowest_mbit_per_s", 100.5, "_bits_per_second", "slowest", 100_500_000),
        ("worst_s", math.inf, "_seconds", "worst", math.inf),
    ],
)
def test_figures_are_in_base_units(
    tmp_path: Path, name: str, measured: Figure, metric: str, figure: str, value: float
) -> None:
    made = results(tmp_path)
    made.add(outcome(figure_of({name: measured})))
    ((labels, is_),) = told(text_of(load(tmp_path)))[f"kube_ordeal_replay_figure{metric}"].items()
    assert (dict(labels)["promise"], dict(labels)["figure"]) == ("nothing-terminated", figure)
    assert is_ == pytest.approx(value)


@pytest.mark.parametrize(
    "name", ["ready_s_ordeal-1-worker", "silence_s_recreate", "of", "Pods", "a b", "a" * 200, NASTY]
)
def test_what_a_cluster_names_is_no_series(tmp_path: Path, name: str) -> None:
    made = results(tmp_path)
    made.add(outcome(figure_of({name: "machine id" if name == "of" else 1})))
    assert [each for each in told(text_of(load(tmp_path))) if "figure" in each] == []


def test_a_run_has_an_end_of_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FIGURES", 3)
    made = results(tmp_path)
    made.add(outcome(figure_of({f"f{n}": n for n in range(10)})))
    made.add(outcome(figure_of({f"f{n}": n for n in range(10)}), control=CONTROL, passed=False))
    assert len(told(text_of(load(tmp_path)))["kube_ordeal_replay_figure"]) == 3


def test_what_was_replayed_twice_is_one_series(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome())
    made.add(outcome(broken(), finding(), finding()))
    said = told(text_of(load(tmp_path)))
    assert list(said["kube_ordeal_replay_passed"].values()) == [0]


def test_tests_whose_names_begin_alike_are_no_series_twice(tmp_path: Path) -> None:
    made = results(tmp_path)
    for end in ("a", "b"):
        made.add(replace(outcome(), test=f"{'t' * metrics.TEXT}{end}"))
    assert len(told(text_of(load(tmp_path)))["kube_ordeal_replay_passed"]) == 1


def test_no_label_acts_or_has_a_secret(tmp_path: Path) -> None:
    made = results(tmp_path)
    said = f'{NASTY} "\\\n password={CANARY}'
    made.add(replace(outcome(finding(name=said)), test=said, kubernetes=said, profile="x" * 10_000))
    text = text_of(load(tmp_path))
    assert CANARY.encode() not in text
    values = [each for of in told(text).values() for labels in of for _, each in labels]
    assert [acting for each in values if (acting := acts(each, one_line=True))] == []
    assert max(map(len, values)) < 300


# --- a file


def test_a_file_is_replaced_in_one_piece(run: SavedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "textfiles").mkdir()
    to = TextFile(Path("textfiles/ordeal.prom"))
    monkeypatch.chdir("/")  # a test may have gone elsewhere meanwhile
    path = tmp_path / "textfiles" / "ordeal.prom"
    path.write_text("old")
    seen: list[tuple[list[str], str]] = []
    replace_ = os.replace

    def look(source: str, target: str, **handles: int) -> None:
        seen.append((sorted(each.name for each in path.parent.glob("*.prom")), path.read_text()))
        replace_(source, target, **handles)

    monkeypatch.setattr(os, "replace", look)
    assert to.run_ended(run, 1.0) == ""
    assert seen == [(["ordeal.prom"], "old")]  # what is being written has no name that node_exporter reads
    assert path.read_bytes() == text_of(run)
    assert path.stat().st_mode & 0o444 == 0o444  # it runs as somebody else
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("a.txt", "neither a URL with http:// or https:// nor a file that ends with .prom"),
        ("no/a.prom", "in one that is not there"),
        ("is.prom", "is a folder"),
        (f"{'a' * 300}.prom", "can't be there .File name too long.: name another"),
        (f"{'a' * 300}/a.prom", "can't be there .File name too long.: name another"),
    ],
)
def test_a_file_that_can_not_be_is_refused_beforehand(tmp_path: Path, path: str, says: str) -> None:
    (tmp_path / "is.prom").mkdir()
    with pytest.raises(OrdealError, match=says):
        TextFile(tmp_path / path)


@pytest.mark.parametrize("given", ["ordeal:{}@push.example:9091", "https//ordeal:{}@host", "https//ordeal:{}@h/a.prom"])
def test_a_url_without_its_scheme_is_not_repeated(given: str) -> None:
    with pytest.raises(OrdealError, match="--ordeal-metrics names") as refused:
        TextFile(Path(given.format(CANARY)))
    assert CANARY not in str(refused.value)


def test_a_file_that_can_not_be_written_is_one_sentence(run: SavedRun, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    to = TextFile(tmp_path / "gone" / "a.prom")
    (tmp_path / "gone").rmdir()
    said = f"the metrics were not written to {tmp_path}/gone/a.prom: No such file or directory"
    assert to.run_ended(run, 30.0) == said


def test_a_pipe_that_nobody_reads_is_not_waited_for(run: SavedRun, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said = f"the metrics were not written to {pipe}: no answer came in time"
    assert TextFile(pipe).run_ended(run, 0.05) == said
    assert pipe.read_bytes() == text_of(run)  # and lets go who waits to write


# --- a Pushgateway


def pushed(run: SavedRun, url: str, timeout_s: float = 5.0, within_s: float = 30.0) -> str:
    return Pushgateway(of_metrics(url), timeout_s).run_ended(run, within_s)


def test_a_gateway_is_given_all_of_its_group(run: SavedRun) -> None:
    with receiver(lambda _: Answer(200)) as to:
        assert pushed(run, to.url) == ""
        assert pushed(run, f"{to.url.replace('//', '//me:secret@')}/metrics/job/mine/team/a") == ""
    ours, theirs = to.asked
    assert (ours.method, ours.path, ours.headers["Content-Type"]) == ("PUT", "/metrics/job/kube-ordeal", CONTENT_TYPE)
    assert ours.body == text_of(run)
    assert (theirs.path, theirs.headers["Authorization"]) == ("/metrics/job/mine/team/a", "Basic bWU6c2VjcmV0")


def test_a_gateway_s_path_is_not_logged(run: SavedRun, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), receiver(lambda _: Answer(200)) as to:
        assert pushed(run, f"{to.url}/{CANARY}") == ""
    assert CANARY in to.asked[0].path
    assert CANARY not in caplog.text


REFUSED: list[tuple[Answer, str]] = [
    (
        Answer(400, b"pushed metrics are invalid: \x1b[2J"),
        r"it refused with status 400: pushed metrics are invalid: \x1b[2J",
    ),
    (Answer(401), f"it lets nobody in without credentials (status 401): {CREDENTIALS}"),
    (Answer(500, b"x" * 1_000_000), "it refused with status 500"),
    (Answer(200, b"<html>"), "its answer is none of a Pushgateway's: is it one?"),
    (Answer(raw=b"220 smtp ready\r\n"), "it can't be reached, or broke the connection off"),
]


@pytest.mark.parametrize(("answer", "says"), REFUSED)
def test_a_gateway_that_does_not_take_it_is_one_sentence(run: SavedRun, answer: Answer, says: str) -> None:
    with receiver(lambda _: answer) as to:
        said = pushed(run, f"{to.url.replace('//', f'//me:{CANARY}@')}/{CANARY}")
    assert said == f"the metrics were not pushed to {to.url}: {says}"
    assert acts(said, one_line=True) == ""


def test_a_redirect_of_a_gateway_is_not_followed(run: SavedRun) -> None:
    with receiver(lambda _: Answer(200)) as elsewhere:
        with receiver(lambda _: Answer(307, headers={"Location": elsewhere.url})) as to:
            assert "it leads elsewhere (status 307), and no redirect is followed" in pushed(run, to.url)
        assert elsewhere.asked == []


def test_a_gateway_that_is_down_or_hangs_is_one_sentence(run: SavedRun) -> None:
    with nobody() as url:
        assert pushed(run, url) == f"the metrics were not pushed to {url}: connection refused"
    with hanging() as to:
        assert pushed(run, to.url, 0.1) == f"the metrics were not pushed to {to.url}: it did not answer in time"
        assert pushed(run, to.url, within_s=0.05) == f"the metrics were not pushed to {to.url}: no answer came in time"
