"""What a replay is going to change can be told before it begins: its mark names each fault, and is held to that."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.harm.base import registered
from chaos.harm.node import Pause, PowerOff
from chaos.run.incident import HARDENED, incident
from chaos.run.profile import PROFILES
from chaos.run.promised import Conditions
from chaos.run.suites import Suite, suites
from tests.run.labs import a_lab, story


def test_what_a_variant_sets_up_is_named_by_its_mark(tmp_path: Path) -> None:
    told = replace(story(), faults={"bad": (Pause,)})
    lab = a_lab(tmp_path, told, control="bad")
    with pytest.raises(OrdealError, match="asked for no cluster yet"), lab.configured(Pause("w1")):
        pytest.fail("there is no cluster")
    undeclared = r"this variant configures power-off: its mark has to say so, PowerOff in `faults`"
    with pytest.raises(OrdealError, match=undeclared), lab.configured(PowerOff("w1")):
        pytest.fail("it was set up")
    hardened = a_lab(tmp_path / "hardened", told)
    with pytest.raises(OrdealError, match="configures pause"), hardened.configured(Pause("w1")):
        pytest.fail("it was set up")


def test_what_no_suite_tells_has_no_mark(tmp_path: Path) -> None:
    lab = a_lab(tmp_path, story(), is_suite=False)
    with pytest.raises(OrdealError, match="asked for no cluster yet"), lab.configured(Pause("w1")):
        pytest.fail("there is no cluster")


def test_a_variant_that_is_not_run_has_no_faults() -> None:
    with pytest.raises(OrdealError, match="mass-termination is not run in the variant 'none' here"):
        incident("mass-termination", on=("kind",), faults={"none": (Pause,)})


def declared(suite: Suite) -> set[type]:
    """By the mark, in whatever variant and profile."""
    replay, known = suite.replay, registered()
    found = {each for classes in replay.faults.values() for each in classes}
    told = [
        Conditions(control or None, on, profile)
        for control in (HARDENED, *replay.controls)
        for on in replay.on
        for profile in PROFILES.values()
    ]
    assert replay.promises is not None
    kinds = {kind for each in told for judged in replay.promises(each) for kind in judged.harm}
    return found | {known[kind] for kind in kinds}


def test_each_fault_that_a_suite_names_is_declared_by_a_mark_of_its_file() -> None:
    marked: dict[str, set[type]] = {}
    for suite in suites():
        file = suite.test.partition("::")[0]
        marked[file] = marked.get(file, set()) | declared(suite)
    assert marked
    faults = set(registered().values())
    for file, by_marks in marked.items():
        module = sys.modules["_kube_ordeal_suites." + file.removesuffix(".py").replace("/", ".")]
        named = {each for each in vars(module).values() if isinstance(each, type) and each in faults}
        assert named == by_marks, file
