"""A driver is named by its user, kept without a secret, and made anew of what was kept; a package may bring another."""

import json
from dataclasses import asdict
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.abilities import OFF
from chaos.clusters.base import EXISTING, ClusterRef, PowerRef
from chaos.clusters.power import drivers
from chaos.clusters.power.driver import ENTRY_POINTS
from chaos.errors import OrdealError
from chaos.record.journal import Journal
from chaos.record.journal import _pending_in as pending_in

COMMAND = "./power {off|on|state} {node}"


class Rack:
    """The driver of a package that is not there."""

    def __init__(self, told: str, folder: Path) -> None:
        if told == "broken":
            raise KeyError(told)
        self.told, self.folder = told, folder

    def off(self, node: str) -> None:
        raise NotImplementedError

    on = off

    def state(self, node: str) -> str:
        assert (self.told, self.folder) == ("row 7", Path("/home/me"))
        return OFF


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is installed, and one more that was removed by half."""

    def found(group: str) -> EntryPoints:
        assert group == ENTRY_POINTS == "kube_ordeal.power"
        there = {"rack": f"{__name__}:Rack", "half": "there.is.none:driver", "ipmi": "there.is.none:driver"}
        return EntryPoints(EntryPoint(name, value, group) for name, value in there.items())

    monkeypatch.setattr(drivers, "entry_points", found)


def named(asked: str = "", command: str = "", folder: str = "/home/me") -> PowerRef | None:
    return drivers.named(asked, command, Path(folder))


def test_without_one_there_is_none() -> None:
    assert named() is None


def test_the_users_command_is_kept_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    assert named(command=COMMAND, folder="work") == PowerRef("command", COMMAND, str(tmp_path / "work"))


@pytest.mark.parametrize(
    ("asked", "ref"),
    [
        ("virsh", PowerRef("virsh", "", "/home/me")),
        ("virsh:qemu+ssh://root@host/system", PowerRef("virsh", "qemu+ssh://root@host/system", "/home/me")),
        ("kind", PowerRef("kind", "", "/home/me")),
        ("kind:mine", PowerRef("kind", "mine", "/home/me")),
        (f"command:{COMMAND}", PowerRef("command", COMMAND, "/home/me")),
        ("rack:row 7", PowerRef("rack", "row 7", "/home/me")),
    ],
)
def test_what_is_behind_the_name_is_the_drivers(asked: str, ref: PowerRef, package: None) -> None:
    assert named(asked) == ref


@pytest.mark.parametrize(
    ("asked", "command", "says"),
    [
        ("virsh", COMMAND, "a power driver and a power command are given"),
        ("vsphere:dc1", "", "there is no power driver 'vsphere'; there are command, half, ipmi, kind, rack, virsh"),
        ("half", "", "the power driver half can't be used: ModuleNotFoundError"),
        ("rack:broken", "", "the power driver rack can't be used: KeyError('broken')"),
        ("ipmi", "", "the power driver ipmi needs a file"),
        ("ipmi:none.yaml", "", "the power driver's file /home/me/none.yaml can't be read: No such file"),
        ("", "./power {node}", "has to have {off|on|state}"),
        ("", "./power --password=hunter2 {off|on|state} {node}", "the power driver command is told has a secret in it"),
        ("virsh:qemu+tcp://me:hunter2@host/system", "", "the power driver virsh is told has a secret in it"),
    ],
)
def test_what_can_not_be_meant_is_refused_in_one_sentence(asked: str, command: str, says: str, package: None) -> None:
    with pytest.raises(OrdealError) as refused:
        named(asked, command)
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_packages_driver_is_made_of_what_the_journal_has(tmp_path: Path, package: None) -> None:
    ref = ClusterRef(EXISTING, "theirs", "/k", power=named("rack:row 7"))
    with Journal(tmp_path / "run.jsonl") as journal:
        journal.planned("power-off", ref, {"node": "w1"})
        (left,) = pending_in(journal.path)
    assert left.cluster == ref
    assert left.cluster.power is not None
    assert drivers.switch(left.cluster.power).power_state("w1") == OFF


def test_a_journal_from_before_there_were_drivers_is_read(tmp_path: Path) -> None:
    ref: dict[str, Any] = asdict(ClusterRef(EXISTING, "theirs", "/k"))
    del ref["power"]
    entry = {"entry": 1, "state": "planned", "kind": "power-off", "cluster": ref, "saved": {"node": "w1"}, "wall": 1.0}
    (tmp_path / "run.jsonl").write_text(f"{json.dumps(entry)}\n")
    (left,) = pending_in(tmp_path / "run.jsonl")
    assert left.cluster == ClusterRef(EXISTING, "theirs", "/k")
