"""An incident as an experiment: one step, which tells the suite's own story. The suite here is made up, on a fake."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaos.run import suites
from tests.toolkit.fakes import FakeCluster
from tests.toolkit.running import STEPS, Run, nothing_left, step

SUITE = """
import os, signal, threading
from chaos.clusters.abilities import NodePower
from chaos.clusters.shape import Shape
from chaos.harm.node import PowerOff
from chaos.record.history import History
from chaos.run.incident import incident
from chaos.judge.base import Invariant, held, violated
from chaos.run.stage import LacksAbilityError

@incident(
    "mass-termination",
    on=("kind",),
    controls=("default-tolerations",),
    faults={"": (PowerOff,), "default-tolerations": (PowerOff,)},
)
def test_told(lab):
    cluster = lab.cluster(Shape(timers=lab.timers))
    with lab.configured(PowerOff("w1")):
        assert cluster.off == {"w1"}
        {MIDDLE}
    bad = violated("it was broken", reason="taint-eviction")
    lab.expect(History(), Invariant("nothing-terminated", lambda _: {JUDGED}))

@incident("mass-termination", on=("simulated",), variant="small")
def test_small(lab):
    pass
"""
AS_IT_MUST_BE = 'bad if lab.control else held("it was kept")'
HARDENED, CONTROL = "", "default-tolerations"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the suite: what is done in the middle of its fault, and what is judged."""

    def write(middle: str = "pass", judged: str = AS_IT_MUST_BE) -> None:
        (tmp_path / "suites").mkdir()
        (tmp_path / "suites" / "test_made_up.py").write_text(
            SUITE.replace("{MIDDLE}", middle).replace("{JUDGED}", judged)
        )
        monkeypatch.setattr(suites, "suites_dir", lambda: tmp_path / "suites")

    return write


def replay(*others: dict[str, Any], **arguments: object) -> Run:
    chosen: dict[str, Any] = {"incident": "mass-termination", "cluster": "existing", **arguments}
    return Run(step("replay", **chosen), *others, configuration={"conform": "none"})


@pytest.mark.parametrize(
    ("control", "judged", "code", "verdict"),
    [
        (HARDENED, AS_IT_MUST_BE, 0, "held"),
        (CONTROL, AS_IT_MUST_BE, 0, "violated"),
        (HARDENED, "bad", 1, "violated"),
        (CONTROL, 'held("it was kept")', 1, "held"),
    ],
)
def test_it_deviates_where_the_verdict_is_not_what_the_variant_must_be(
    cluster: FakeCluster, told: Any, control: str, judged: str, code: int, verdict: str
) -> None:
    told(judged=judged)
    run = replay(control=control)
    assert (run.code, run.status, run.deviated, run.verdict) == (code, "completed", bool(code), verdict)
    output = run.journal["run"][0]["output"]
    assert (output["verdict"], output["passed"]) == (verdict, not code)
    assert nothing_left(cluster)
    assert cluster.switched_off_ever == 1
    (written,) = json.loads((Path(output["results"]) / "results.json").read_text())["incidents"]
    variant = f"control:{control}" if control else "hardened"
    assert (written["test"], written["why"]) == (
        f"suites/test_made_up.py::test_told[existing-{variant}]",
        output["why"],
    )


def test_a_suite_that_breaks_off_is_unknown_and_its_harm_is_undone(cluster: FakeCluster, told: Any) -> None:
    told("raise ZeroDivisionError")
    run = replay()
    assert (run.code, run.status, run.verdict) == (1, "failed", "unknown")
    assert "ZeroDivisionError" in run.why
    assert nothing_left(cluster)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_ends_it_and_all_is_taken_back(cluster: FakeCluster, told: Any, name: str) -> None:
    told(f"threading.Timer(0.2, os.kill, (os.getpid(), signal.{name})).start(); lab.hold(600, 'it is ended')")
    run = replay()
    assert (run.code, run.status, run.verdict) == (1, "interrupted", "unknown")
    assert cluster.switched_off_ever == 1
    assert nothing_left(cluster)


def test_what_a_cluster_can_not_do_is_no_verdict(cluster: FakeCluster, told: Any) -> None:
    told('raise LacksAbilityError("it needs a third hand")')
    run = replay()
    assert (run.code, run.status) == (1, "failed")
    assert "was not replayed: it needs a third hand" in str(run.journal["run"][0]["exception"])
    assert nothing_left(cluster)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"incident": "no-such"}, "there is no incident 'no-such'; there are: aged-objects, "),
        ({"variant": "no-such"}, "mass-termination has no replay 'no-such'; there are: '', 'small'"),
        ({"control": "rates-raised"}, "mass-termination has no control 'rates-raised'; there are: default-tolerations"),
        ({"control": CONTROL, "variant": "small"}, "has no control 'default-tolerations'; there are: none"),
        ({"cluster": "simulated"}, "this replay of mass-termination is made for kind clusters"),
        ({"cluster": "minikube"}, "`cluster` is 'minikube'; it may be kind, simulated, existing"),
    ],
)
def test_what_is_not_there_is_one_sentence_that_names_what_is(
    cluster: FakeCluster, told: Any, arguments: dict[str, object], sentence: str
) -> None:
    told()
    run = replay(**arguments)
    assert (run.code, run.status) == (1, "failed")
    assert sentence in str(run.journal["run"][0]["exception"])
    assert cluster.switched_off_ever == 0


def test_it_is_all_of_an_experiments_story(cluster: FakeCluster, told: Any) -> None:
    told()
    run = replay(step("find_held", STEPS))
    assert (run.code, run.verdict) == (1, "unknown")
    assert "which is all of its story" in run.why


def test_a_failure_after_it_makes_its_verdict_unknown_in_the_results_too(cluster: FakeCluster, told: Any) -> None:
    told()
    run = replay(step("fail", STEPS))
    assert (run.code, run.status, run.verdict) == (1, "failed", "unknown")
    (written,) = json.loads(Path("results/latest/results.json").read_text())["incidents"]
    assert (written["verdict"], written["passed"]) == ("unknown", False)
