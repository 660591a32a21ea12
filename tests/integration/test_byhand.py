"""Replays through agents on a cluster that no tool made, whose default lets in only restricted pods."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.hosts import agent_image
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.image_build import WORKLOAD_IMAGE
from tests.integration.byhand import SET_ASIDE, ByHand, byhand_cluster
from tests.integration.foreign import no_engine

ROOT = Path(__file__).parents[2]
LOOK = "ls /etc/systemd/system | grep ordeal; ls -d /var/lib/kube-ordeal/*; pgrep -f 'chaos[.]agent'"

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.nightly("a second cluster that somebody else made: four nodes by kubeadm"),
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    with byhand_cluster(DEFAULT_KUBERNETES, tmp_path_factory.mktemp("byhand")) as made:
        yield made


@pytest.fixture(scope="module")
def image(theirs: ByHand) -> str:
    built = agent_image.ensure(print)
    theirs.load(built)
    return built


def ours(*argv: str) -> "subprocess.CompletedProcess[str]":
    """A program of ours that finds no engine."""
    return subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=ROOT,
        env=no_engine(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=1500,
        check=False,
    )


def test_replays_have_their_verdicts_and_a_teams_own_node_is_left_alone(
    theirs: ByHand, image: str, tmp_path: Path
) -> None:
    done = ours("chaos", "guard", "init", "--kubeconfig", str(theirs.kubeconfig), "--nodes", "", "--most-nodes", "50%")
    assert done.returncode == 0, done.stdout
    chosen = ["suites/preflight/test_node_preflight.py", "suites/node/test_hostname_change.py"]
    asked = ["--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(theirs.kubeconfig)]
    asked += ["--ordeal-agent-image", image, "--ordeal-busybox-image", WORKLOAD_IMAGE]
    done = ours("pytest", *chosen, *asked, "--ordeal-results", str(tmp_path), "-p", "no:cacheprovider")
    print(done.stdout)
    assert done.returncode == 0
    written = json.loads((tmp_path / "latest" / "results.json").read_text())
    found = {(i["id"], i.get("control", ""), i.get("replay", "")): i["verdict"] for i in written["incidents"]}
    assert set(found.values()) == {"held", "violated"}
    assert all(verdict == ("violated" if control else "held") for (_, control, _), verdict in found.items())
    assert len({incident for incident, _, _ in found}) == len(chosen)
    for each in written["incidents"]:
        facts = each.pop("facts")
        assert f"{SET_ASIDE} is set aside" in facts
        if each["id"] == "hostname-change":  # the other one looks at all nodes
            assert SET_ASIDE not in json.dumps(each), "nothing is judged by it"
    for node in theirs.nodes:
        assert theirs.sh(node, LOOK) == ""
    assert "ordeal" not in theirs.kubectl("get", "namespaces", "-o", "name")
