"""A run's folder that a stranger has made: no command reads or writes anything outside of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chaos.cli.app import app
from chaos.errors import OrdealError
from chaos.judge.conformance import PASSED
from chaos.record import evidence
from chaos.record.evidence import Piece
from chaos.record.records import Phase
from chaos.report import cncf, product
from chaos.report.html import PAGE, write_page
from chaos.results.results import Results
from chaos.results.saved import load
from chaos.results.specs import ALONE, SpecResult
from tests.report.made import RUN, finding, history, outcome, proven, results

SECRET = "a secret of root's"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside of the run's folder."""
    path = tmp_path / "etc" / "shadow"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


def command(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), prog_name="kube-ordeal")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def whole(made: Results) -> None:
    """With a history, a piece of evidence, and what a spec has left."""
    log = made.directory / "logs" / "kubelet.log"
    log.parent.mkdir()
    log.write_text("lines")
    (made.directory / "spec").mkdir()
    (made.directory / "spec" / "output.log").write_text("said")
    path = history(made, [Phase(1.0, "fault")])
    made.add(outcome(finding(judged=path), histories=(path,), evidence=(Piece(log.name, log),)))
    made.add_specs([SpecResult("t", ALONE, "s", "a spec", "apps", PASSED, 1.0, "1.34.4", output="spec/output.log")])
    made.end()


@pytest.mark.parametrize("planted", [".report.html.tmp", PAGE])
def test_a_link_where_the_page_goes_is_not_written_through(root: Path, victim: Path, planted: str) -> None:
    made = proven(root)
    (made.directory / planted).symlink_to(victim)
    code, said = command("report", str(made.directory), "--html")
    assert (code, said) == (0, f"{made.directory / PAGE}\n")
    assert victim.read_text() == SECRET
    assert not (made.directory / PAGE).is_symlink()
    assert "mass-termination" in (made.directory / PAGE).read_text()


@pytest.mark.parametrize("option", [("--output",), ("--html", "--markdown")])
def test_a_file_that_the_user_names_is_not_written_through_a_link(
    root: Path, victim: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    made = proven(root)
    for name in (".out.tmp", "out.tmp", "out"):
        (tmp_path / name).symlink_to(victim)
    assert command("report", str(made.directory), *option, str(tmp_path / "out"))[0] == 0
    assert victim.read_text() == SECRET
    assert (tmp_path / "out").is_file()


def test_a_bundle_is_not_written_through_a_link_and_into_no_device(root: Path, victim: Path, tmp_path: Path) -> None:
    made = proven(root)
    for name in (f".out.zip.{os.getpid()}", "out.zip"):
        (tmp_path / name).symlink_to(victim)
    assert command("bundle", str(made.directory), "-o", str(tmp_path / "out.zip"))[0] == 0
    assert victim.read_text() == SECRET
    pipe = tmp_path / "pipe"  # as /dev/stdout may be one, which root must not replace by a file
    os.mkfifo(pipe)
    code, said = command("bundle", str(made.directory), "-o", str(pipe))
    assert (code, f"the bundle can't be written to {pipe}: it is no file" in said) == (2, True)
    assert pipe.is_fifo()


def test_a_bundle_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "bundle.zip"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)  # else who opens it without care waits here for ever
    code, said = command("verify", str(pipe))
    os.close(writer)
    assert (code, said) == (2, f"kube-ordeal: the bundle {pipe} can't be read: it is no regular file\n")


def by_link(made: Results, victim: Path) -> None:
    (made.directory / "logs" / "kubelet.log").unlink()
    (made.directory / "logs" / "kubelet.log").symlink_to(victim)


def by_folder(made: Results, victim: Path) -> None:
    (made.directory / "logs").rename(made.directory / "gone")
    (made.directory / "logs").symlink_to(victim.parent)
    (victim.parent / "kubelet.log").write_text(SECRET)


def by_pipe(made: Results, victim: Path) -> None:
    (made.directory / "logs" / "kubelet.log").unlink()
    os.mkfifo(made.directory / "logs" / "kubelet.log")


def by_name(to: str) -> Callable[[Results, Path], None]:
    def change(made: Results, victim: Path) -> None:
        content: dict[str, Any] = json.loads(made.path.read_text())
        named = to or str(victim)
        content["incidents"][0]["evidence"][0] = {"name": "x", "path": named}
        content["incidents"][0]["histories"] = [named]
        content["incidents"][0]["invariants"][0]["history"] = named
        content["specs"][0] |= {"output": named, "pods": [named], "state": "failed"}
        made.path.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    "attack",
    [by_link, by_folder, by_pipe, by_name(""), by_name("../../etc/shadow"), by_name("a\0b")],
    ids=["link", "folder", "pipe", "absolute", "up", "nul"],
)
def test_what_is_named_outside_is_not_read(
    root: Path, victim: Path, tmp_path: Path, attack: Callable[[Results, Path], None]
) -> None:
    made = results(root)
    whole(made)
    attack(made, victim)
    code, said = command("report", str(made.directory), "--exit-code")
    assert code in {1, 2}
    assert "is not a file below the run's folder" in said
    assert command("report", str(made.directory), "--html")[0] == 0
    page = (made.directory / PAGE).read_text()
    assert "is not a file below the run" in page
    assert SECRET not in page + said
    code, said = command("bundle", str(made.directory), "-o", str(tmp_path / "b.zip"))
    assert (code, "is not a file below the run's folder" in said) == (2, True)
    assert not (tmp_path / "b.zip").exists()


def test_what_a_spec_has_left_is_not_read_by_a_link(root: Path, victim: Path) -> None:
    made = results(root)
    whole(made)
    output = made.directory / "spec" / "output.log"
    output.unlink()
    output.symlink_to(victim)
    run = load(root)
    made_of = cncf.submit(run, "1.34.4", ["a spec"], product.template(), root / "cncf")
    assert made_of.folder is None
    assert made_of.lacks == ("the output of 1 specs is not there: a spec",)


def test_a_results_file_that_is_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    made = proven(tmp_path / "private")
    folder = root / RUN
    folder.mkdir(parents=True)
    (folder / "results.json").symlink_to(made.path)
    for argv in (["report", str(folder)], ["bundle", str(folder)], ["report", "--results", str(root), RUN]):
        code, said = command(*argv)
        assert code == 2
        assert "can't be read: it is a link, and may lead anywhere" in said


@pytest.mark.parametrize("name", ["latest", RUN])
def test_a_run_that_is_a_link_to_elsewhere_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    made = proven(tmp_path / "private")
    root.mkdir()
    (root / name).symlink_to(made.directory)
    code, said = command("report", name, "--results", str(root), "--html")
    assert code == 2
    assert "which is not beside it: name the run's own folder" in said
    assert not (made.directory / PAGE).exists()


def test_latest_may_lead_to_a_run_beside_it_and_to_no_second_link(root: Path, tmp_path: Path) -> None:
    made = proven(root)
    assert load(root).path == made.path
    (root / "latest").unlink()
    (root / "latest").symlink_to("other")
    (root / "other").symlink_to(proven(tmp_path / "private").directory)
    with pytest.raises(OrdealError, match="it is a link"):
        load(root)


def test_a_run_writes_through_no_link(root: Path, victim: Path) -> None:
    made = results(root)
    for name in ("results.tmp", "junit.tmp", "junit.xml"):
        (made.directory / name).unlink(missing_ok=True)
        (made.directory / name).symlink_to(victim)
    made.add(outcome())
    assert victim.read_text() == SECRET
    (made.directory / ".lock").unlink()
    (made.directory / ".lock").symlink_to(victim.parent / "made")
    with pytest.raises(OrdealError, match="it is a link"):
        made.add(outcome())
    assert not (victim.parent / "made").exists()
    made.directory.rename(root / "moved")
    made.directory.symlink_to(victim.parent)
    with pytest.raises(OrdealError, match="results can't be written to"):
        made.add(outcome())
    assert [path.name for path in victim.parent.iterdir() if path.name != ".lock"] == ["shadow"]


def test_a_folder_that_became_a_link_gets_no_page(root: Path, tmp_path: Path) -> None:
    run = load(root, str(proven(root).directory))
    outside = tmp_path / "outside"
    outside.mkdir()
    run.folder.rename(root / "moved")
    run.folder.symlink_to(outside)
    with pytest.raises(OrdealError, match="it is a link"):
        write_page(run, run.folder / PAGE)
    assert list(outside.iterdir()) == []


def test_the_run_s_id_is_no_path(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = proven(root)
    content = json.loads(made.path.read_text())
    made.path.write_text(json.dumps(content | {"run": "x/../../../up"}))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kube-ordeal-x").mkdir()
    assert command("bundle", str(made.directory))[0] == 0
    assert (tmp_path / "kube-ordeal-x-..-..-..-up.zip").is_file()


def test_evidence_of_a_node_goes_into_its_folder_whatever_the_node_is_called(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "x.log").symlink_to(victim)
    (piece,) = evidence._written(folder / "x.log", lambda: "said")
    assert (piece.path, (folder / "x.log").read_text()) == (folder / "x.log", "said")
    assert victim.read_text() == SECRET
