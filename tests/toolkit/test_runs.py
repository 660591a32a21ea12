"""What `chaos run` makes of an experiment, by exit code and journal; the cluster is a fake, the rest is real."""

import json
import signal
from pathlib import Path

import pytest

from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal, pending
from chaos.toolkit.session import SESSION
from tests.canaries import CANARY, found_in
from tests.exports.listening import receiver
from tests.nasty import acts
from tests.toolkit.fakes import FakeCluster
from tests.toolkit.running import STEPS, Run, nothing_left, step

OFF, ON = step("power_off", node="w1"), step("power_on")
HELD, VIOLATED = step("find_held", STEPS), step("find_violated", STEPS)


def test_held_is_completed_and_exits_with_0(cluster: FakeCluster) -> None:
    run = Run(OFF, ON, HELD)
    assert (run.code, run.status, run.deviated, run.verdict) == (0, "completed", False, "held"), run.result.output
    assert cluster.switched_off_ever == 1
    assert nothing_left(cluster)
    assert run.journal["kube-ordeal"]["findings"][0]["sentence"] == "it was kept"
    (after,) = run.journal["steady_states"]["after"]["probes"]
    assert after["output"]["findings"] == run.journal["kube-ordeal"]["findings"]


def test_violated_has_deviated(cluster: FakeCluster) -> None:
    run = Run(OFF, ON, HELD, VIOLATED)
    assert (run.code, run.status, run.deviated, run.verdict) == (1, "completed", True, "violated")
    assert nothing_left(cluster)


def test_the_results_file_says_the_same(cluster: FakeCluster) -> None:
    for steps, verdict in (((HELD,), "held"), ((VIOLATED,), "violated"), ((step("fail", STEPS), HELD), "unknown")):
        run = Run(OFF, ON, *steps)
        results = json.loads(Path("results/latest/results.json").read_text())
        assert [i["verdict"] for i in results["incidents"]] == [verdict] == [run.verdict]


def test_a_fault_that_did_not_land_is_unknown_and_ends_the_story(cluster: FakeCluster) -> None:
    cluster.stuck_on = True
    run = Run(OFF, step("hold", for_s=600), ON, HELD)
    assert (run.code, run.status, run.deviated, run.verdict) == (1, "failed", False, "unknown")
    assert "power-off did not land" in run.why
    assert [r["status"] for r in run.journal["run"]] == ["failed", "failed", "succeeded", "succeeded"]
    assert nothing_left(cluster)


def test_somebody_elses_failed_action_is_unknown(cluster: FakeCluster) -> None:
    run = Run(OFF, ON, step("fail", STEPS), HELD)
    assert (run.code, run.status, run.verdict) == (1, "failed", "unknown")
    assert "somebody else's action failed" in run.why


def test_nothing_judged_is_unknown(cluster: FakeCluster) -> None:
    run = Run(OFF, ON)
    assert (run.code, run.status) == (1, "failed")
    (after,) = run.journal["steady_states"]["after"]["probes"]
    assert after["output"]["verdict"] == "unknown"


def test_harm_that_is_still_in_place_at_the_verdict_is_unknown_and_is_taken_back(cluster: FakeCluster) -> None:
    run = Run(OFF, HELD)
    assert (run.code, run.status, run.verdict) == (1, "failed", "unknown")
    assert nothing_left(cluster)


def test_an_undo_that_fails_is_unknown_and_stays_in_the_journal(cluster: FakeCluster) -> None:
    cluster.stuck_off = {"w1"}
    run = Run(OFF, ON, HELD)
    assert (run.code, run.status, run.verdict) == (1, "failed", "unknown")
    assert "could not be undone" in run.why
    assert [p.kind for p in pending(journals_dir())] == ["power-off"]
    cluster.stuck_off = set()
    refused = Run(OFF, ON, HELD)
    assert refused.code == 1
    assert "earlier runs have left on clusters that are not ours to make: power-off on fake" in refused.result.output
    assert "say `undo: true` in the configuration" in refused.result.output
    assert cluster.off == {"w1"}, "nothing is undone that nobody has asked for"
    assert Run(OFF, ON, HELD, configuration={"undo": True}).code == 0, "it is undone first"
    assert nothing_left(cluster)


def test_an_undo_that_fails_keeps_no_other_from_being_tried(cluster: FakeCluster) -> None:
    cluster.stuck_off = {"cp"}  # the last one, so the first to be taken back
    run = Run(OFF, step("power_off", node="cp"), step("take_back_everything"), HELD)
    assert (run.code, run.status, run.verdict) == (1, "failed", "unknown")
    assert cluster.off == {"cp"}
    assert [p.saved["node"] for p in pending(journals_dir())] == ["cp"]


@pytest.mark.parametrize("strategy", ["before-method-only", "during-method-only"])
def test_the_hypothesis_checked_at_the_wrong_time_does_not_pass(cluster: FakeCluster, strategy: str) -> None:
    run = Run(OFF, ON, VIOLATED, options=("--hypothesis-strategy", strategy))
    assert run.code == 1
    assert run.status == "failed"


def test_rollbacks_that_are_not_wanted_leave_nothing_either(cluster: FakeCluster) -> None:
    run = Run(OFF, HELD, options=("--rollback-strategy", "never"))
    assert run.code == 1
    assert nothing_left(cluster)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_ends_it_and_all_is_taken_back(cluster: FakeCluster, number: int) -> None:
    run = Run(OFF, step("end_soon", STEPS, number=int(number)), step("hold", for_s=600), ON, HELD)
    assert (run.code, run.status, run.verdict) == (1, "interrupted", "unknown")
    assert cluster.switched_off_ever == 1
    assert nothing_left(cluster)


def test_what_a_dead_run_left_behind_is_undone_before_anything_is_done(cluster: FakeCluster) -> None:
    cluster.off.add("cp")
    path = journals_dir() / "20260101-000000-dead.jsonl"
    dead = Journal(path)
    dead.planned("power-off", cluster.ref, {"node": "cp", "address": None})
    dead.close()
    assert Run(OFF, ON, HELD, configuration={"undo": True}).code == 0
    assert nothing_left(cluster)


def test_without_the_guard_what_is_left_is_taken_back_when_the_process_ends(cluster: FakeCluster) -> None:
    run = Run(OFF, HELD, guarded=False)
    assert run.code == 1
    assert not cluster.off, "clean_up takes faults back too"
    assert SESSION.is_open
    SESSION.close()
    assert nothing_left(cluster)


def test_a_background_activity_is_refused(cluster: FakeCluster) -> None:
    run = Run(OFF | {"background": True}, HELD)
    assert (run.code, run.status) == (1, "failed")
    assert cluster.switched_off_ever == 0


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [
        ({"incident": "no-such"}, "there is no incident 'no-such'"),
        ({"incident": "mass-termination", "control": "no-such"}, "mass-termination has no control 'no-such'"),
        ({"cluster": "minikube"}, "`cluster` is 'minikube'"),
        ({"profile": "no-such"}, "`profile` is 'no-such'; it may be full, smoke"),
        ({"kubeconfig": "a:b"}, "there is no kubeconfig (a, b: not there)"),
        ({"keep_cluster": "perhaps"}, "`keep_cluster` is 'perhaps'"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(
    cluster: FakeCluster, configuration: dict[str, object], sentence: str
) -> None:
    run = Run(OFF, HELD, configuration=configuration)
    assert (run.code, run.status) == (1, "failed")
    assert sentence in str(run.journal["run"][0]["exception"])
    assert cluster.switched_off_ever == 0


@pytest.mark.parametrize(("reason", "code"), [("taint-eviction", 0), ("another", 1)])
def test_a_control_passes_where_it_is_violated_as_it_must_be(cluster: FakeCluster, reason: str, code: int) -> None:
    broken = step("find_violated", STEPS, name="nothing-terminated", reason=reason)
    configuration: dict[str, object] = {"incident": "mass-termination", "control": "default-tolerations"}
    run = Run(OFF, ON, broken, configuration=configuration)
    assert (run.code, run.status, run.deviated, run.verdict) == (code, "completed", bool(code), "violated")
    assert run.journal["kube-ordeal"]["passed"] is not bool(code)


def test_chaos_toolkits_log_and_journal_hold_no_secret_obey_nothing_and_are_their_owners_alone(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    Path("chaos.log").touch(mode=0o644)
    run = Run(step("say_it", STEPS), OFF, ON, step("fail_saying_it", STEPS), logged=True)
    written = ["chaos.log", "journal.json", "results"]
    assert run.verdict == "unknown"
    assert "said" in run.journal["run"][0]["output"]
    assert list(found_in(tmp_path)) == []
    assert CANARY not in run.result.output
    log = Path("chaos.log").read_text().replace("\x1b[", "")  # its own colours
    assert "CommandError" in log
    assert [each for each in log.splitlines() if acts(each, one_line=True)] == []
    assert [name for name in written if Path(name).stat().st_mode & 0o077] == []


def test_the_page_is_made_when_the_recording_is_not_in_memory_any_more(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[object] = []

    def close(*_: object) -> None:
        assert SESSION._open is not None
        held.append(SESSION._open.history)

    monkeypatch.setattr("chaos.report.close.close", close)
    assert Run(OFF, ON, step("remember", STEPS), HELD).code == 0
    assert held == [None]


def test_others_are_told_of_it(cluster: FakeCluster) -> None:
    for module in ("opentelemetry.exporter.otlp.proto.http", "prometheus_client"):
        pytest.importorskip(module, reason="the extras [otel] and [metrics] are not installed")
    with receiver() as to:
        run = Run(OFF, ON, HELD, configuration={"otlp": to.url, "metrics": "ordeal.prom"})
    assert run.verdict == "held"
    assert [each.path for each in to.asked] == ["/v1/traces"]
    assert 'kube_ordeal_run_replays{became="held"} 1.0' in Path("ordeal.prom").read_text()
    assert Path("ordeal.prom").stat().st_mode & 0o777 == 0o644  # node_exporter is somebody else
    assert Path("journal.json").stat().st_mode & 0o077 == 0
    refused = Run(OFF, ON, HELD, configuration={"otlp": "host:4318"})
    assert refused.code == 1
    assert "--ordeal-otlp names no URL" in json.dumps(refused.journal)
    assert cluster.switched_off_ever == 1
