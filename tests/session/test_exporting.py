"""A run of pytest's that tells others of itself: what they get, and that the run is the same whether they take it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra [otel] is not installed")
pytest.importorskip("prometheus_client", reason="the extra [metrics] is not installed")

from chaos.exports.exports import Exports
from chaos.harm import load_all
from chaos.results.saved import load
from chaos.run.options import OTLP_ENDPOINT
from chaos.run.suites import replays
from tests.exports.listening import Asked, Listener, hanging, nobody, receiver
from tests.exports.test_metrics import by, told
from tests.exports.test_traces import attributes, decoded
from tests.session.test_plugin import SUITE

pytest_plugins = ["pytester"]
load_all()  # the inner runs share this process: what they import anew they would register twice
replays()

TWO = """
@incident("mass-termination", on=("kind",))
def test_held(lab):
    lab.findings.append(finding(Verdict.HELD))

@incident("mass-termination", on=("kind",))
def test_unknown(lab):
    lab.findings.append(finding(Verdict.UNKNOWN))

@incident("mass-termination", on=("kind",))
def test_lacks(lab):
    raise LacksAbilityError("needs a third hand")

def test_of_somebody_else():
    pass
"""


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the journals of this machine's runs, nor asks a receiver that its environment names."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (OTLP_ENDPOINT, "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def to() -> Iterator[Listener]:
    """One that takes traces and metrics."""
    with receiver() as made:
        yield made


def run(pytester: pytest.Pytester, *options: str, body: str = TWO) -> pytest.RunResult:
    pytester.makepyfile(test_suite=SUITE + body)
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest", *options)


def replays_of(asked: list[Asked]) -> list[str]:
    roots = [decoded(each)[1][0] for each in asked if each.path == "/v1/traces"]
    return [attributes(each)["test.case.name"].partition("::")[2] for each in roots]


def test_each_replay_is_a_trace_and_the_run_is_pushed(
    pytester: pytest.Pytester, to: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OTLP_ENDPOINT, to.url)
    done = run(pytester, "--ordeal-otlp", "--ordeal-metrics", to.url)
    done.assert_outcomes(passed=2, failed=1, skipped=1)
    assert replays_of(to.asked) == ["test_held[kind-hardened]", "test_unknown[kind-hardened]"]
    assert to.asked[-1].path == "/metrics/job/kube-ordeal"
    said = told(to.asked[-1].body)
    assert by(said["kube_ordeal_run_replays"], "became")["unknown"] == 1
    assert said["kube_ordeal_run_end_timestamp_seconds"]  # the results were whole
    done.stdout.no_fnmatch_line("*not sent*")


def test_a_replay_that_was_interrupted_has_its_trace(pytester: pytest.Pytester, to: Listener) -> None:
    interrupted = """
@incident("mass-termination", on=("kind",))
def test_interrupted(lab):
    raise KeyboardInterrupt
"""
    pytester.makepyfile(test_suite=SUITE + interrupted)
    options = ("-p", "no:hypothesispytest", "--ordeal-otlp", to.url)
    assert pytester.runpytest_inprocess(*options, no_reraise_ctrlc=True).ret == pytest.ExitCode.INTERRUPTED
    assert replays_of(to.asked) == ["test_interrupted[kind-hardened]"]


def test_the_results_are_read_for_replays_alone(
    pytester: pytest.Pytester, to: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(Exports, "replay_ended", lambda _, __, test: ended.append(test.partition("::")[2]))
    run(pytester, "--ordeal-otlp", to.url)
    assert ended == [f"test_{each}[kind-hardened]" for each in ("held", "unknown", "lacks")]
    ended.clear()
    run(pytester, "--ordeal-metrics", to.url)
    assert ended == []


def test_side_by_side_the_process_that_began_does_it(pytester: pytest.Pytester, to: Listener) -> None:
    file = pytester.path / "ordeal.prom"
    done = run(pytester, "-n", "1", "--ordeal-metrics", str(file), "--ordeal-otlp", to.url)
    done.assert_outcomes(passed=2, failed=1, skipped=1)
    assert sorted(replays_of(to.asked)) == ["test_held[kind-hardened]", "test_unknown[kind-hardened]"]
    assert by(told(file.read_bytes())["kube_ordeal_run_replays"], "became")["held"] == 1


def test_receivers_that_hang_or_are_down_change_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with hanging() as to, nobody() as url:
        done = run(pytester, f"--ordeal-otlp={to.url}", f"--ordeal-metrics={url}", "-q", "-k", "held or unknown")
    done.assert_outcomes(passed=1, failed=1, deselected=2)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert [o.verdict for o in load(pytester.path / "results").outcomes] == ["held", "unknown"]
    done.stdout.fnmatch_lines([f"2 of 2 traces were not sent to {to.url}: it did not answer in time"])
    done.stdout.fnmatch_lines([f"the metrics were not pushed to {url}: connection refused"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--ordeal-otlp", "test_suite.py"], "--ordeal-otlp names no URL such as http://host:4318*"),
        (["--ordeal-otlp"], "--ordeal-otlp was given no URL, and the environment has no OTEL_EXPORTER_OTLP_ENDPOINT*"),
        (["--ordeal-metrics="], "--ordeal-metrics was given nothing; name the receiver, or leave the option out"),
        (
            ["--ordeal-metrics=a.txt"],
            "--ordeal-metrics names neither a URL with http:// or https:// nor a file that ends with .prom: give one*",
        ),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_done(
    pytester: pytest.Pytester, options: list[str], says: str
) -> None:
    done = run(pytester, *options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: {says}"])
    assert not (pytester.path / "results").exists()


def test_what_is_only_collected_is_told_nobody(pytester: pytest.Pytester, to: Listener) -> None:
    run(pytester, f"--ordeal-otlp={to.url}", "--ordeal-metrics=a.prom", "--collect-only")
    assert to.asked == []
    assert not (pytester.path / "a.prom").exists()
