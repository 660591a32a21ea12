"""What `kube-ordeal explain` says: the incident from the catalogue, and what the newest readable run measured."""

import json
from pathlib import Path

import pytest

from chaos.judge.catalogue import Incident, find, incidents
from chaos.report.explain import WIDTH, explain
from chaos.results.schema import SCHEMA
from tests.report.made import finding, outcome, results


def run(root: Path, run_id: str, incident: str, sentence: str, *, schema: int = SCHEMA) -> None:
    """A results file of one replay."""
    made = results(root, run_id)
    made.add(outcome(finding(sentence=sentence), incident=incident))
    made.path.write_text(json.dumps(json.loads(made.path.read_text()) | {"schema": schema, "machine": {"cpus": "2"}}))


@pytest.mark.parametrize("incident", incidents(), ids=lambda each: each.id)
def test_it_says_all_that_the_catalogue_has(incident: Incident, tmp_path: Path) -> None:
    said = " ".join(explain(incident, tmp_path).split())
    for text in (incident.story, incident.remedy, incident.versions, incident.claim, incident.source):
        assert " ".join(text.split()) in said
    for sign in incident.recognise:
        assert f"$ {' '.join(sign.command.split())}" in said
        assert sign.look_for in said
    assert all(f"{control.id}: {control.what}" in said for control in incident.controls)


@pytest.mark.parametrize("incident", incidents(), ids=lambda each: each.id)
def test_commands_stay_whole_and_everything_else_fits_a_screen(incident: Incident, tmp_path: Path) -> None:
    lines = explain(incident, tmp_path).splitlines()
    assert [line for line in lines if len(line) > WIDTH and not line.startswith("  $ ") and " /" not in line] == []


def test_the_newest_run_that_replayed_it_is_shown(tmp_path: Path) -> None:
    run(tmp_path, "20260101-000000-aaaa", "mass-termination", "the old one")
    run(tmp_path, "20260102-000000-bbbb", "mass-termination", "none of 6 pods was deleted")
    run(tmp_path, "20260103-000000-cccc", "pleg-churn", "another incident")
    run(tmp_path, "20260104-000000-dddd", "mass-termination", "of another version", schema=SCHEMA + 1)
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").symlink_to("20260101-000000-aaaa")
    said = explain(find("mass-termination"), tmp_path)
    assert "run 20260102-000000-bbbb, on cpus 2:" in said
    assert "hardened: held, passed (Kubernetes 1.34.4, kind, profile smoke, 61 s)" in said
    assert "held: nothing-terminated: none of 6 pods was deleted" in said
    assert "the old one" not in said


def test_without_a_run_it_says_so(tmp_path: Path) -> None:
    run(tmp_path, "20260103-000000-cccc", "pleg-churn", "another incident")
    assert f"nothing yet: no run below {tmp_path} has replayed it" in explain(find("mass-termination"), tmp_path)
