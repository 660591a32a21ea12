"""`pytest suites/` as a user runs it on a real kind cluster: the verdicts, the results on disk, nothing left behind."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.kind.docker import names_in_cluster
from chaos.hosts.command import run
from chaos.record.history import History
from chaos.record.records import Observation, Probe

ROOT = Path(__file__).parents[2]


def replayed(suite: str, results: Path) -> list[dict[str, Any]]:
    """The incidents of a suite that is replayed with its controls on a kind cluster, which is gone afterwards."""
    argv = [sys.executable, "-m", "pytest", suite, "--ordeal-cluster", "kind"]
    argv += ["--ordeal-profile", "smoke", "--ordeal-cluster-name", "suites", "--ordeal-results", str(results)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    names = run(["docker", "ps", "--all", "--format", "{{.Names}}"]).out.split()
    assert not [n for n in names if n.startswith("suites-")]
    assert not names_in_cluster("suites")
    written = json.loads((results / "latest" / "results.json").read_text())
    incidents: list[dict[str, Any]] = written["incidents"]
    for incident in incidents:
        assert {"id", "variant", "cluster", "kubernetes", "profile", "verdict", "passed", "invariants"} <= set(incident)
    return incidents


def verdicts(incidents: list[dict[str, Any]]) -> dict[str, tuple[str, bool]]:
    return {i.get("control", "hardened"): (i["verdict"], i["passed"]) for i in incidents}


def test_the_preflight_on_kind_holds_hardened_and_is_violated_in_its_control(tmp_path: Path) -> None:
    incidents = replayed("suites/preflight/test_node_preflight.py", tmp_path)
    controls = ("low-handle-limit", "too-many-pods", "strict-limits")
    assert verdicts(incidents) == {"hardened": ("held", True), **dict.fromkeys(controls, ("violated", True))}
    for incident in incidents:
        assert [History.load(tmp_path / "latest" / path).of(Observation) for path in incident["histories"]]


@pytest.mark.nightly("an incident of minutes on kind, where the preflight takes seconds")
def test_mass_termination_on_kind_holds_hardened_and_is_violated_in_its_control(tmp_path: Path) -> None:
    incidents = replayed("suites/control_plane/test_mass_termination.py", tmp_path)
    assert verdicts(incidents) == {"hardened": ("held", True), "default-tolerations": ("violated", True)}
    for incident in incidents:
        for path in incident["histories"]:
            assert History.load(tmp_path / "latest" / path).of(Probe)
        assert any(piece["name"] == "pods.json" for piece in incident["evidence"])
