"""An agent's unit on a node, and what is looked for there once it has left."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chaos.agent import __main__ as main
from chaos.agent import home, programs
from chaos.agent.home import Home
from chaos.clusters.agent.deployment import OWN, Looked

RUN = "20260101-000000-cafe"
HERE = Home(RUN, "w1", "10.0.0.1", 4711, "pem", OWN)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the node's root; this machine's processes are the node's."""
    monkeypatch.setattr(programs, "ENTER", ())
    monkeypatch.setattr(home, "UNITS", str(tmp_path / "units"))
    monkeypatch.setattr(home, "FOLDERS", tmp_path / "lib")
    monkeypatch.setattr(home, "MEMORY", tmp_path / "run")
    for each in ("units", "lib", "run"):
        (tmp_path / each).mkdir()
    return tmp_path


def test_a_unit_has_its_capabilities_and_no_others() -> None:
    lines = HERE.unit_text().splitlines()
    assert f"CapabilityBoundingSet={' '.join(OWN)}" in lines
    assert "NoNewPrivileges=yes" in lines
    assert lines.index("[Service]") < lines.index("NoNewPrivileges=yes") < lines.index("[Install]")


def test_where_none_are_named_it_has_all_of_roots() -> None:
    text = Home(RUN, "w1", "10.0.0.1", 4711, "pem").unit_text()
    assert "Capabilit" not in text
    assert "TasksMax=infinity\n\n[Install]" in text


def test_of_an_agent_that_has_left_nothing_is_there(node: Path) -> None:
    (node / "lib" / "another-run").mkdir()
    assert home.left_behind(RUN) == ()


def test_its_unit_its_folders_and_its_processes_are_what_is_looked_for(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (node / "units" / HERE.unit).touch()
    HERE.folder.mkdir()
    HERE.memory.mkdir()
    monkeypatch.setattr(home, "_processes", lambda unit: iter([f"process 17 of {unit}"]))
    assert home.left_behind(RUN) == (
        str(node / "units" / HERE.unit),
        str(node / "lib" / RUN),
        str(node / "run" / f"kube-ordeal-{RUN}"),
        f"process 17 of {HERE.unit}",
    )


def test_processes_are_known_by_their_units_cgroup() -> None:
    mine = Path("/proc/self/cgroup").read_text().rpartition("/")[2].strip()
    found = list(home._processes(mine or "/"))
    assert f"process {os.getpid()}" in found
    assert list(home._processes(HERE.unit)) == []


# --- the container that looks


@pytest.fixture
def pod(node: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the container has; returns where its last message goes."""
    monkeypatch.setattr(main, "MOUNTED", node / "lib")
    monkeypatch.setattr(main, "TOLD", node / "told")
    monkeypatch.setattr(main, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(main, "LEAVES_WITHIN_S", 0.02)
    monkeypatch.setenv("RUN", RUN)
    before = signal.getsignal(signal.SIGTERM)
    yield node / "told"
    signal.signal(signal.SIGTERM, before)


def told(pod: Path) -> tuple[str, ...]:
    return msgspec.json.decode(pod.read_bytes(), type=Looked).left


def test_when_the_agent_has_left_the_last_message_is_what_is_still_there(pod: Path) -> None:
    main.attend()
    assert told(pod) == ()
    HERE.memory.mkdir()
    main.attend()
    assert told(pod) == (str(HERE.memory),)


def test_it_starts_an_agent_again_until_that_leaves(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    HERE.folder.mkdir()
    (HERE.folder / home.WHOLE).touch()
    (HERE.folder / home.CONFIG).write_bytes(msgspec.json.encode(HERE))
    started: list[Home] = []

    def start(this: Home) -> None:
        started.append(this)
        if len(started) == 2:  # and now it leaves
            for each in (home.WHOLE, home.CONFIG):
                (HERE.folder / each).unlink()
            HERE.folder.rmdir()

    monkeypatch.setattr(home, "is_running", lambda _: False)
    monkeypatch.setattr(home, "start", start)
    main.attend()
    assert started == [HERE, HERE]
    assert told(pod) == ()


def test_a_pod_that_is_taken_away_before_says_nothing(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    HERE.folder.mkdir()
    (HERE.folder / home.WHOLE).touch()
    (HERE.folder / home.CONFIG).write_bytes(msgspec.json.encode(HERE))

    def is_running(_: Home) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr(home, "is_running", is_running)
    main.attend()
    assert not pod.exists()


def test_what_is_copied_onto_the_node_is_roots_alone(tmp_path: Path) -> None:
    """So that nobody needs a right over files of others to remove it."""
    argv = ["sh", "-ec", f"PATH={tmp_path}:$PATH; {home.COPY}", str(tmp_path), "--exclude=./proc/*"]
    (tmp_path / "tar").write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/said"; cat >/dev/null </dev/null\n')
    (tmp_path / "tar").chmod(0o755)
    subprocess.run(argv, check=True, timeout=20)
    said = sorted((tmp_path / "said").read_text().splitlines())
    assert said == sorted([f"--no-same-owner -C {tmp_path} -xf -", "--one-file-system -C / -cf - --exclude=./proc/* ."])
