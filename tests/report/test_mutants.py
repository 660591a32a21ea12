"""The table of mutants: a line for each that was tried, and each suite that tries some has it."""

from chaos.hosts.places import suites_dir
from chaos.report.mutants import tried_row
from chaos.run.suites import suites

SAID = {"incident": "gc-stopped", "judged_by": "pods-of-deleted-go", "reason": "not-collected"}


def test_a_mutant_has_its_component_and_its_pull_request_and_a_shipped_program_is_a_twin() -> None:
    found = tried_row("collector-waits", shipped="all", verdict="violated", **SAID)
    assert (found["component"], found["pull request"], found["twin"]) == ("kube-controller-manager", "#125796", "")
    twin = tried_row("shipped: x", shipped="all", verdict="held", **SAID)
    assert (twin["component"], twin["pull request"], twin["twin"], twin["verdict"]) == ("all", "", "yes", "held")


def test_each_suite_that_runs_a_mutant_puts_it_into_the_table() -> None:
    """By which `mutant score` and the report know what became of it."""
    files = {each.test.partition("::")[0] for each in suites() if each.replay.mutants}
    assert len(files) > 3
    assert [each for each in sorted(files) if 'lab.table("mutants"' not in (suites_dir() / each).read_text()] == []
