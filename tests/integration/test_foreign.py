"""A kind cluster that is not ours, with another CNI (`--ordeal-cluster existing`): the same results as on ours."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.conformance import choice
from chaos.conformance.program import require
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.command import run
from tests.integration.foreign import foreign_cluster, nodes_of

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.nightly("upstream's specs on a cluster that is not ours: minutes, and e2e.test has to be built"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    require(DEFAULT_KUBERNETES)
    with foreign_cluster("somebodys", DEFAULT_KUBERNETES, tmp_path_factory.mktemp("foreign")) as made:
        allowed = ["guard", "init", "--kubeconfig", str(made), "--nodes", "", "--namespace", "ordeal-*"]
        run([sys.executable, "-m", "chaos", *allowed, "--namespace", "kube-system"], timeout_s=60)  # where the DNS is
        yield made


def replayed(kubeconfig: Path, results: Path, *what: str) -> dict[str, Any]:
    """The results of a run on that cluster, which has to pass, and leaves nothing of ours there."""
    argv = [
        sys.executable,
        "-m",
        "pytest",
        *what,
        "--ordeal-cluster",
        "existing",
        "--ordeal-kubeconfig",
        str(kubeconfig),
    ]
    done = subprocess.run(
        [*argv, "--ordeal-results", str(results)], cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert all(n.ready == "True" and (n.control_plane or not n.taints) for n in nodes_of(kubeconfig))
    written: dict[str, Any] = json.loads((results / "latest" / "results.json").read_text())
    return written


def test_its_specs_pass_as_on_ours(kubeconfig: Path, tmp_path: Path) -> None:
    written = replayed(kubeconfig, tmp_path, "suites/conformance/test_conformance.py")
    assert {s["state"] for s in written["specs"]} == {"passed"}
    assert {s["spec"] for s in written["specs"]} == {s.text for s in choice.smoke()}


def test_what_it_loses_is_found_as_on_ours(kubeconfig: Path, tmp_path: Path) -> None:
    written = replayed(kubeconfig, tmp_path, "suites/conformance/test_still_conforms.py")
    said = {i.get("control", "hardened"): (i["verdict"], i["passed"]) for i in written["incidents"]}
    assert said == {"hardened": ("held", True), "no-dns": ("violated", True), "no-routes": ("violated", True)}
