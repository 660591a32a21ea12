"""The tutorial's blocks, without a cluster: whole files, in places that there are, as ruff wants them."""

import ast
import subprocess
from pathlib import Path

from chaos.cli.new import TO_WRITE, write_incident
from tests.lesson import ROOT, alike, copy_checkout, ruff_says, steps


def test_it_has_eight_steps_and_each_has_commands_and_shows_what_they_print() -> None:
    assert len(steps()) == 8
    for step in steps():
        assert step.commands, step.title
        assert step.shown, step.title
        done = subprocess.run(["bash", "-n"], input=step.commands, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), step.title


def test_each_file_is_whole_has_a_place_and_is_as_ruff_wants_it(tmp_path: Path) -> None:
    copy = copy_checkout(tmp_path / "checkout")
    assert "kube-ordeal new incident quota-cut --subject quota" in steps()[0].commands
    skeleton = {str(path.relative_to(copy)) for path in write_incident(copy, "quota-cut", "quota")}
    assert set(steps()[0].shown) == skeleton
    written: set[str] = set()
    for step in steps():
        for name, text in step.files.items():
            assert (copy / name).parent.is_dir(), name
            assert not (ROOT / name).exists(), name  # the page takes nobody's place
            ast.parse(text)
            (copy / name).write_text(text)
        assert ruff_says(copy, [*step.files] or ["suites"]) == "", step.title
        written |= step.files.keys()
    assert {name for name in skeleton if (copy / name).read_text()} <= written  # nothing of the skeleton is left
    assert [name for name in written if TO_WRITE in (copy / name).read_text()] == []


def test_what_differs_in_each_run_is_left_out_and_nothing_else() -> None:
    said = "01:30:22   violated: replaced-within: web-7cc9678f77-27st8 was deleted at 0.1 s, 1 of 2 pods"
    assert alike(said) == "  violated: replaced-within: POD was deleted at SECONDS, 1 of 2 pods"
    left = "01:30:48 an earlier run left cluster on ordeal-7fa1-1 [20261130-013038-7fa1:2] behind; undoing it"
    assert alike(left) == "an earlier run left cluster on CLUSTER [RUN] behind; undoing it"
    assert alike("===== 2 passed in 53.31s =====") == alike("=== 2 passed in 81.30s (0:01:21) ===")
    assert alike("===== 2 passed in 53.31s =====") != alike("=== 1 passed in 53.31s ===")
