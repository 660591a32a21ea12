"""`pytest suites/` as a user runs it on a real kind cluster: the verdicts, the results on disk, nothing left behind."""

import json
import subprocess
import sys
from pathlib import Path

from chaos.clusters.docker import names_in_cluster
from chaos.history import History, Probe
from chaos.hosts.command import run

ROOT = Path(__file__).parents[2]


def test_mass_termination_on_kind_holds_hardened_and_is_violated_in_its_control(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "suites/control_plane/test_mass_termination.py", "--cluster", "kind"]
    argv += ["--profile", "smoke", "--cluster-name", "suites", "--results", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    results = json.loads((tmp_path / "latest" / "results.json").read_text())
    verdicts = {i.get("control", "hardened"): (i["verdict"], i["passed"]) for i in results["incidents"]}
    assert verdicts == {"hardened": ("held", True), "default-tolerations": ("violated", True)}
    for incident in results["incidents"]:
        assert {"id", "variant", "cluster", "kubernetes", "profile", "verdict", "passed", "invariants"} <= set(incident)
        for path in incident["histories"]:
            assert History.load(tmp_path / "latest" / path).of(Probe)
        assert any(piece["name"] == "pods.json" for piece in incident["evidence"])
    names = run(["docker", "ps", "--all", "--format", "{{.Names}}"]).out.split()
    assert not [n for n in names if n.startswith("suites-")]
    assert not names_in_cluster("suites")
