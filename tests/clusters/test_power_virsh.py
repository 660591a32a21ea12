"""How virsh is asked, and what is made of its words; a real libvirt is in tests/integration/test_power_drivers.py."""

from pathlib import Path

import pytest

from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.power.virsh import virsh
from chaos.errors import OrdealError

URI = "qemu:///system"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a virsh that says what is in the file "says", and keeps how it was called."""
    program = tmp_path / "bin" / "virsh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$LC_ALL $*" >>{tmp_path}/calls\ncat {tmp_path}/says\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "says").write_text("running\n\n")
    return tmp_path


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(("told", "connect"), [("", ""), (URI, f"--connect {URI} ")])
def test_a_domain_is_called_as_its_node_is(folder: Path, told: str, connect: str) -> None:
    assert virsh(told, folder).state("worker-1") == RUNNING
    assert calls(folder) == [f"C {connect}--quiet domstate --domain worker-1"]


def test_a_file_says_what_a_domain_is_called(folder: Path) -> None:
    (folder / "domains.yaml").write_text(f"connect: {URI}\nnodes: {{worker-1: vm-17}}\n")
    driver = virsh("domains.yaml", folder)
    driver.state("worker-1")
    driver.state("worker-2")
    asked = [each.removeprefix(f"C --connect {URI} --quiet domstate --domain ") for each in calls(folder)]
    assert asked == ["vm-17", "worker-2"]


@pytest.mark.parametrize(
    ("said", "verb", "asked"),
    [
        ("running", "off", ["domstate", "destroy"]),
        ("idle", "off", ["domstate", "destroy"]),
        ("shut off", "off", ["domstate"]),
        ("shut off", "on", ["domstate", "start"]),
        ("running", "on", ["domstate"]),
    ],
)
def test_only_what_is_not_so_yet_is_done(folder: Path, said: str, verb: str, asked: list[str]) -> None:
    (folder / "says").write_text(f"{said}\n\n")
    getattr(virsh("", folder), verb)("w1")
    assert [each.split()[2] for each in calls(folder)] == asked


@pytest.mark.parametrize("said", ["", "paused", "in shutdown", "crashed", "laufend"])
def test_what_is_neither_running_nor_off_is_named(folder: Path, said: str) -> None:
    (folder / "says").write_text(said)
    with pytest.raises(OrdealError) as refused:
        virsh("", folder).state("w1")
    assert str(refused.value) == f"libvirt says that the domain w1 is {said!r}, neither running nor off"


def test_a_number_is_no_name(folder: Path) -> None:
    (folder / "domains.yaml").write_text("nodes: {worker-1: '3'}\n")
    for driver, node in ((virsh("domains.yaml", folder), "worker-1"), (virsh("", folder), "3")):
        with pytest.raises(OrdealError, match=f"takes 3 for a domain's number: name the domain of node {node} by"):
            driver.state(node)
    assert virsh("", folder).state("3a") == RUNNING


def test_it_says_off(folder: Path) -> None:
    (folder / "says").write_text("shut off\n")
    assert virsh("", folder).state("w1") == OFF


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nodes: [w1]", "Expected `object`, got `array`"),
        ("nodes: {w1: vm}\nconect: qemu:///system", "unknown field `conect`"),
        ("nodes: {w1: vm, w1: vn}", "stands twice"),
        ("nodes: {w1: 17}", "Expected `str`, got `int`"),
        ("", "Expected `object`, got `null`"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "domains.yaml").write_text(content)
    with pytest.raises(OrdealError) as refused:
        virsh("domains.yaml", tmp_path)
    assert f"the power driver's file {tmp_path}/domains.yaml can't be used: " in str(refused.value)
    assert says in str(refused.value)
