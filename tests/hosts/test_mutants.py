"""Substitutions in a small tree, and what holds of every mutant."""

from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts.mutants import MUTANTS, Mutant, Substitution, find
from chaos.hosts.mutants.build import _target, changed
from chaos.judge.catalogue import incidents

FILE = "k8s.io/x/a.go"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    path.write_text("package x\n\nconst limit = 1000\nvar once, twice = f(), f()\n")
    return tmp_path


def test_each_change_is_made_and_the_tree_is_left_alone(tree: Path) -> None:
    before = (tree / FILE).read_text()
    both = (Substitution(FILE, "limit = 1000", "limit = 5"), Substitution(FILE, "once", "first"))
    assert changed(both, tree, "m") == {FILE: before.replace("1000", "5").replace("once", "first")}
    assert (tree / FILE).read_text() == before


@pytest.mark.parametrize(("old", "times"), [("limit = 7", "0"), ("f()", "2")])
def test_a_text_that_is_not_there_once_is_refused_with_file_and_mutant(tree: Path, old: str, times: str) -> None:
    with pytest.raises(OrdealError, match=rf"^mutant m of 1\.2\.3: .* is {times} times in {FILE}") as error:
        changed((Substitution(FILE, old, "x"),), tree, "mutant m of 1.2.3")
    assert old in str(error.value)


def test_a_file_that_is_not_there_is_refused(tree: Path) -> None:
    with pytest.raises(OrdealError, match=r"there is no k8s\.io/x/b\.go"):
        changed((Substitution("k8s.io/x/b.go", "a", "b"),), tree, "m")


def test_another_version_may_be_written_otherwise(tree: Path) -> None:
    older = Substitution(FILE, "max = 1000", "max = 5", also=(("limit = 1000", "limit = 6"),))
    assert "limit = 6" in changed((older,), tree, "m")[FILE]


def test_two_ways_of_writing_that_both_fit_are_refused(tree: Path) -> None:
    with pytest.raises(OrdealError, match="must be there once"):
        changed((Substitution(FILE, "limit", "l", also=(("once", "o"),)),), tree, "m")


def test_another_substitution_is_another_place_in_the_cache() -> None:
    one = Mutant("m", "kubelet", 1, "w", "i", "k", (Substitution(FILE, "a", "b"),))
    other = Mutant("m", "kubelet", 1, "w", "i", "k", (Substitution(FILE, "a", "c"),))
    assert _target(one, "1.34.4", "d") != _target(other, "1.34.4", "d")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_every_mutant_says_what_it_is(mutant: Mutant) -> None:
    assert mutant.incident in {i.id for i in incidents()}
    assert mutant.substitutions
    assert bool(mutant.pull_request) == bool(mutant.killed_by)
    if mutant.twin:
        twin = find(mutant.twin)
        assert set(twin.substitutions) < set(mutant.substitutions), "a twin has the same changes but for the bug"
        assert twin.pull_request == 0


def test_names_are_unique_and_an_unknown_one_is_refused() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)
    with pytest.raises(OrdealError, match="there are: pleg-blocking-send"):
        find("no-such-mutant")
