"""`chaos run` says what pytest says: the same incident and control, on the same kind of cluster, in child processes."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.base import KIND, SIMULATED
from chaos.hosts.places import journals_dir
from chaos.judge.catalogue import find
from chaos.record.journal import CLUSTER, WORKLOAD, Journal, pending
from chaos.toolkit import experiments_dir
from chaos.toolkit.experiments import OWN
from tests.moments import Moments

ROOT = Path(__file__).parents[2]
EXPERIMENT = "mass-termination-small"  # the cheapest: a simulated cluster of three nodes
SUITE = "suites/control_plane/test_mass_termination_simulated.py::test_a_small_cluster_keeps_its_pods"
VARIANTS = ("", "default-tolerations")  # "" is hardened


@pytest.fixture(scope="module")
def by_pytest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What pytest writes of the incident, by control."""
    results = tmp_path_factory.mktemp("by-pytest")
    argv = [sys.executable, "-m", "pytest", SUITE, "--ordeal-cluster", SIMULATED, "--ordeal-results", str(results)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((results / "latest" / "results.json").read_text())
    return {incident.get("control", ""): incident for incident in written["incidents"]}


def chaos_run(directory: Path, control: str, name: str = EXPERIMENT, **more: str) -> subprocess.Popen[str]:
    """Start `chaos run` as a user does."""
    own = {"ORDEAL_CONTROL": control, "ORDEAL_CLUSTER_NAME": f"tk-{uuid.uuid4().hex[:4]}", **more}
    own["ORDEAL_RESULTS"] = str(directory / "results")
    chaos = Path(sys.executable).with_name("chaos")
    return subprocess.Popen(
        [str(chaos), "--no-version-check", "run", str(experiments_dir() / f"{name}.yaml")],
        cwd=directory,
        env={k: v for k, v in os.environ.items() if not k.startswith("ORDEAL_")} | own,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("control", VARIANTS, ids=lambda c: c or "hardened")
def test_the_verdict_is_the_one_of_pytest(by_pytest: dict[str, dict[str, Any]], tmp_path: Path, control: str) -> None:
    child = chaos_run(tmp_path, control)
    said, _ = child.communicate(timeout=600)
    journal = json.loads((tmp_path / "journal.json").read_text())
    expected = by_pytest[control]

    verdict = journal["kube-ordeal"]["verdict"]
    assert verdict == expected["verdict"] == ("violated" if control else "held"), said
    assert journal["kube-ordeal"]["passed"] == expected["passed"] is True
    assert (child.returncode, journal["deviated"], journal["status"]) == (0, False, "completed")

    (after,) = journal["steady_states"]["after"]["probes"]
    found = {f["invariant"]: (f["verdict"], f["reason"]) for f in after["output"]["findings"]}
    assert found == {i["name"]: (i["verdict"], i.get("reason", "")) for i in expected["invariants"]}
    if control:
        wanted = find("mass-termination").control(control)
        assert found[wanted.breaks] == ("violated", wanted.because)

    (written,) = json.loads((tmp_path / "results" / "latest" / "results.json").read_text())["incidents"]
    same = ("id", "test", "variant", "cluster", "kubernetes", "profile", "verdict", "passed")
    assert {k: written[k] for k in same} == {k: expected[k] for k in same}


def test_the_example_of_an_own_experiment_holds_on_a_kind_cluster(tmp_path: Path) -> None:
    child = chaos_run(tmp_path, "", OWN, ORDEAL_CLUSTER=KIND)
    said, _ = child.communicate(timeout=900)
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert (child.returncode, journal["status"], journal["kube-ordeal"]["verdict"]) == (0, "completed", "held"), said
    assert [each["status"] for each in (*journal["run"], *journal["rollbacks"])] == ["succeeded"] * 13
    assert [each["output"] for each in journal["run"] if each["activity"]["name"] == "reconnect"] == [1]


def test_a_run_that_is_killed_is_undone_from_its_journal(tmp_path: Path, moments: Moments) -> None:
    before = set(journals_dir().glob("*.jsonl"))
    child = chaos_run(tmp_path, "")
    own: list[Path] = []

    def harmed() -> bool:
        if child.poll() is not None:
            raise AssertionError(f"the run ended by itself: {child.stdout.read() if child.stdout else ''}")
        own[:] = [p for p in journals_dir().glob("*.jsonl") if p not in before and "stop-heartbeats" in p.read_text()]
        return bool(own)

    try:
        eventually(harmed, within_s=120, what="the plan of the fault to be on disk", every_s=0.05)
        time.sleep(moments.second(3))  # the moment of the kill; the hold lasts longer: no node is tainted before 8 s
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    (left,) = own
    kinds = sorted(p.kind for p in pending(journals_dir()) if p.path == left)
    assert kinds == [CLUSTER, "stop-heartbeats", WORKLOAD, WORKLOAD]  # web, and what may go when its time is over
    undo = [str(Path(sys.executable).with_name("kube-ordeal")), "undo"]
    done = subprocess.run(undo, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert not left.exists(), done.stdout + done.stderr
    with Journal(left) as empty:  # nothing holds it any more
        assert empty.path == left
