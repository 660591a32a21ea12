"""Old runs go, the oldest first; what is no run's, is reached by a link, or still goes on stays."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chaos.basics import untrusted
from chaos.cli.app import app
from chaos.errors import OrdealError
from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal
from chaos.report import prune as module
from chaos.report.prune import prune
from tests.nasty import acts
from tests.report.made import outcome, results


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run(root: Path, day: int, *, ended: bool = True) -> Path:
    """A run of that day with evidence, which ended, or was killed long ago."""
    made = results(root, f"2026010{day}-000000-abcd")
    made.add(outcome())
    (made.directory / "test_x" / "evidence").mkdir(parents=True)
    (made.directory / "test_x" / "evidence" / "a.log").write_text("x" * 100_000)
    if ended:
        made.end()
    edit(made.directory, started=f"2026-01-0{day}T00:00:00.000Z")
    os.utime(made.path, (1_767_225_600.0, 1_767_225_600.0))
    return made.directory


def edit(folder: Path, **changed: Any) -> None:
    path = folder / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_all_but_the_newest_go_and_what_was_freed_is_said(tmp_path: Path) -> None:
    root = tmp_path / "results"
    runs = [run(root, day) for day in (3, 1, 4, 2)]
    there = prune(root, 2, dry_run=True)
    assert all(each.is_dir() for each in runs)
    done = prune(root, 2)
    assert there == done
    assert [each.path.name[:8] for each in done.removed] == ["20260101", "20260102"]
    assert all(each.size_bytes > 100_000 for each in done.removed)
    assert [each.is_dir() for each in runs] == [True, False, True, False]
    assert (done.kept, done.live) == (2, ())
    assert prune(root, 2).removed == ()


def test_what_is_no_runs_folder_stays(tmp_path: Path) -> None:
    root = tmp_path / "results"
    newest = run(root, 9)
    (root / "notes").mkdir()
    (root / "notes" / "results.json").write_text('{"tool": {"name": "another"}, "run": "notes", "started": ""}')
    (root / "gate-1" / "from").mkdir(parents=True)
    (root / "broken").mkdir()
    (root / "broken" / "results.json").write_text("[" * 100_000)
    (root / "folder" / "results.json").mkdir(parents=True)
    renamed = run(root, 1).rename(root / "renamed")  # its results name another run
    os.mkfifo(root / "pipe")
    before = {path.name for path in root.iterdir()}
    assert prune(root, 1).removed == ()
    assert {path.name for path in root.iterdir()} == before
    assert newest.is_dir()
    assert renamed.is_dir()


def test_no_link_is_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    run(root, 9)
    outside = run(elsewhere, 1)
    (root / outside.name).symlink_to(outside)
    old = run(root, 2)
    shutil.rmtree(old / "test_x")
    (old / "test_x").symlink_to(outside)
    linked = run(root, 3)
    (linked / "results.json").rename(tmp_path / "moved.json")
    (linked / "results.json").symlink_to(tmp_path / "moved.json")
    removed = prune(root, 1).removed
    assert [each.path for each in removed] == [old]
    assert (outside / "test_x" / "evidence" / "a.log").is_file()
    assert linked.is_dir()
    assert (root / outside.name).is_symlink()


def test_a_run_that_goes_on_stays(tmp_path: Path) -> None:
    root = tmp_path / "results"
    written_lately, with_journal, killed = (run(root, day, ended=False) for day in (1, 2, 3))
    run(root, 9)
    os.utime(written_lately / "results.json")
    (journals_dir() / f"{killed.name}.jsonl").write_text("")
    with Journal(journals_dir() / f"{with_journal.name}-gw0.jsonl"):
        done = prune(root, 1)
    assert done.live == (written_lately, with_journal)
    assert [each.path for each in done.removed] == [killed]
    assert [each.path for each in prune(root, 1).removed] == [with_journal]


def test_a_huge_results_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "results"
    run(root, 1)
    run(root, 2)
    monkeypatch.setattr(untrusted, "RESULTS", untrusted.Limit(10, 10))
    assert prune(root, 1) == module.Pruned((), (), 0)


def test_what_somebody_else_removes_meanwhile_is_gone_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "results"
    old = run(root, 1)
    run(root, 2)
    look = os.stat

    def and_it_is_gone(path: Any, **how: Any) -> os.stat_result:
        if path == "results.json" and old.is_dir():
            shutil.rmtree(old)
        return look(path, **how)

    monkeypatch.setattr(os, "stat", and_it_is_gone)
    assert [each.path for each in prune(root, 1).removed] == [old]


def test_latest_does_not_lead_to_what_was_removed(tmp_path: Path) -> None:
    root = tmp_path / "results"
    for day in (2, 1):  # the clock went back
        run(root, day)
    assert (root / "latest").is_symlink()
    prune(root, 1)
    assert not (root / "latest").is_symlink()


def test_a_folder_s_name_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    root = tmp_path / "results"
    made = run(root, 1)
    nasty = made.rename(root / "1\x1b[2J\n::error::x")
    edit(nasty, run=nasty.name)
    run(root, 2)
    done = CliRunner().invoke(app, ["results", "prune", "--keep", "1", "--results", str(root)])
    assert done.exit_code == 0
    assert not nasty.exists()
    assert acts(done.output) == ""


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match=r"the results folder .* can't be read: No such file"):
        prune(tmp_path / "none", 1)
