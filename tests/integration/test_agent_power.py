"""Power of nodes that somebody else made, by a command of theirs: with agents, and undone by it after a crash.

The cluster is that of test_agent.py: the code under test finds no container engine, and the command has one.
"""

import json
import os
import shlex
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import NodePower
from chaos.clusters.agent.cluster import PoweredAgentCluster, put, take_off, with_agents
from chaos.clusters.agent.deployment import Agents, folder_of
from chaos.clusters.base import PowerRef
from chaos.clusters.existing import cluster as existing
from chaos.clusters.kind import docker, networks
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import Access
from chaos.harm.base import registered
from chaos.hosts import engine
from chaos.hosts.image_build import WORKLOAD_IMAGE
from chaos.hosts.places import journals_dir
from chaos.run.agents import capabilities_for
from chaos.run.guard import write
from chaos.run.policy import Policy
from tests.integration.crash import planned
from tests.integration.test_agent import ROOT, Theirs, their_cluster
from tests.moments import Moments

COMMAND = "./power {off|on|state} {node}"
NAME = "powered"
# What a machine beneath does: nothing is shut down, and it keeps its address, which an engine would give to others.
POWER = """#!/bin/sh
{environment}
case "$1" in
  off) {docker} inspect --format '{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}' "$2" >"at-$2"
       exec {docker} kill "$2" ;;
  on) {docker} network disconnect {network} "$2"
      {docker} network connect --ip "$(cat "at-$2")" {network} "$2" && exec {docker} start "$2" ;;
  state) case $({docker} inspect --format '{{{{.State.Running}}}}' "$2") in true) echo on ;; false) echo off ;; esac ;;
esac
"""
SUITE = str(ROOT / "suites" / "control_plane" / "test_apiserver_node_loss.py")

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.nightly("power by a driver on a cluster that somebody else made: another one, and minutes"),
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    network = networks.make(NAME, print)
    try:
        with their_cluster(NAME, tmp_path_factory.mktemp(NAME), network) as made:
            policy = Policy(nodes="", control_plane=True, most_nodes="100%")
            write(Access(made.kubeconfig).client, policy, replace=True)
            yield made
    finally:
        networks.remove(NAME)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which runs are started: it has the command."""
    made = tmp_path_factory.mktemp("work")
    host = os.environ.get("DOCKER_HOST")
    environment = "unset DOCKER_HOST" if host is None else f"export DOCKER_HOST={shlex.quote(host)}"
    client = shlex.join(engine.chosen().argv())
    script = POWER.format(environment=environment, docker=client, network=networks.name_of(NAME))
    (made / "power").write_text(script)
    (made / "power").chmod(0o755)
    return made


def off(theirs: Theirs) -> list[str]:
    return [each for each in docker.names_in_cluster(theirs.outside.ref.name) if docker.inspect(each).state == "off"]


def test_a_driver_that_means_another_machine_ends_the_run_before_any_harm(
    theirs: Theirs, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "power").write_text("#!/bin/sh\necho off\n")
    (tmp_path / "power").chmod(0o755)
    asked = ["--ordeal-power-command", COMMAND, "-k", "comes_back_at_its"]
    code, said = theirs.ended(theirs.replay(tmp_path / "results", SUITE, *asked, cwd=tmp_path))
    assert code == 2, said[-3000:]
    assert f"the power driver command says that node {NAME}-" in said
    assert "is off, and the API server that it is Ready" in said
    assert (off(theirs), theirs.leftovers()) == ([], "")


def test_a_run_that_is_killed_is_undone_by_the_driver_from_another_folder(
    theirs: Theirs, work: Path, tmp_path: Path
) -> None:
    """The control plane has no power then: nobody but the driver answers."""
    asked = ["--ordeal-power-command", COMMAND, "--ordeal-conform", "none", "-k", "comes_back_at_its"]
    going = theirs.replay(tmp_path / "results", SUITE, *asked, cwd=work)
    said = ""
    try:
        assert going.stdout is not None
        for line in going.stdout:
            said += line
            if "hold:" in line:
                break
        assert off(theirs) == [theirs.outside.control_plane], said[-3000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(going.pid, signal.SIGKILL)
    going.communicate()
    code, told = theirs.ended(theirs.command("chaos", "undo", cwd=tmp_path))
    print(told)
    assert code == 0
    assert "still pending: 0" in told
    assert off(theirs) == []
    theirs.outside.wait_ready(300)
    eventually(lambda: theirs.leftovers() == "", within_s=120, what="the agents to leave", every_s=2.0)


@pytest.fixture(scope="module")
def agents(theirs: Theirs, work: Path) -> Iterator[PoweredAgentCluster]:
    """With a power driver, and agents that are told that their run lives."""
    name = f"it{uuid.uuid4().hex[:6]}"
    power = PowerRef("command", COMMAND, str(work))
    plain = existing.attach_by_api(theirs.kubeconfig, "", Shape(), WORKLOAD_IMAGE, power)
    made = Agents(name, theirs.image, folder_of(name), capabilities_for(registered()))
    try:
        crew = put(plain, made, [each.name for each in plain.nodes()], print)
        crew.keep()
        cluster = with_agents(plain, crew)
        cluster.identify()
        assert isinstance(cluster, PoweredAgentCluster)
        yield cluster
        crew.close()
    finally:
        take_off(plain, made.folder)


def test_a_node_that_a_killed_run_was_about_to_switch_off_is_on_after_an_undo(
    theirs: Theirs, agents: PoweredAgentCluster, moments: Moments, moment: int
) -> None:
    """Whether it was off by then or not: what had been asked for may come a moment later."""
    name = f"crash-{uuid.uuid4().hex[:8]}"
    arguments = json.dumps({"node": theirs.worker})
    argv = ["tests.integration.harm", json.dumps(asdict(agents.ref)), "power-off", arguments, name]
    journal = journals_dir() / f"{name}.jsonl"
    with theirs.command(*argv) as child:
        try:
            eventually(lambda: planned(journal, child), within_s=60, what="the plan to be on disk", every_s=0.005)
            time.sleep(moments.second(3.0))  # the moment of the kill is what is tried here, it synchronises nothing
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        print(f"when it was killed, {off(theirs) or 'no node'} was off")
    code, told = theirs.ended(theirs.command("chaos", "undo"))
    assert code == 0, told
    assert "still pending: 0" in told
    assert off(theirs) == []
    theirs.outside.wait_ready(300)


def test_agents_answer_again_after_their_node_had_no_power(theirs: Theirs, agents: PoweredAgentCluster) -> None:
    assert isinstance(agents, NodePower)
    worker = theirs.worker
    agents.node_exec(worker, ["touch", "/run/before"])
    agents.power_off(worker)
    assert off(theirs) == [worker]
    agents.power_on(worker)
    assert agents.node_exec(worker, ["ls", "/run/before"], check=False).code != 0, "it has started anew"
    assert agents.addresses(worker) == (docker.inspect(worker).address,), "as a machine does"
    theirs.outside.wait_ready(300)


@pytest.mark.nightly("eight minutes: the shipped grace period and toleration pass")
def test_a_control_plane_that_loses_its_power_and_comes_back_is_replayed(
    theirs: Theirs, work: Path, tmp_path: Path
) -> None:
    asked = ["--ordeal-power-command", COMMAND, "--ordeal-conform", "none"]
    code, said = theirs.ended(theirs.replay(tmp_path / "results", SUITE, *asked, cwd=work), within_s=1500)
    print(said)
    assert code == 0, said[-6000:]
    written = json.loads((tmp_path / "results" / "latest" / "results.json").read_text())
    assert [(i["id"], i["replay"], i["verdict"]) for i in written["incidents"]] == [
        ("apiserver-node-loss", "same address", "held")
    ]
    assert (off(theirs), theirs.leftovers()) == ([], "")
