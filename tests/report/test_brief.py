"""A run in brief: the answer first, what did not pass open, what passed folded, and cluster's names as text."""

from pathlib import Path

import pytest

from chaos.judge.base import Verdict
from chaos.record.records import Phase
from chaos.report import brief
from chaos.report.answer import Safe, answer
from chaos.results.results import Results
from chaos.results.saved import LeftOut, load
from chaos.results.specs import SpecResult
from tests.report.made import CONTROL, broken, history, outcome, proven, results


def shown(made: Results) -> str:
    run = load(made.directory.parent, made.directory.name)
    return brief.markdown(run, answer(run, run.unreadable()))


def test_a_safe_run_says_so_and_folds_its_replays(tmp_path: Path) -> None:
    text = shown(proven(tmp_path))
    head, _, folded = text.partition("<details>")
    assert head.startswith("## kube-ordeal: safe\n\nEvery promise of 1 incident held, and 1 control proved")
    assert "Kubernetes 1.34.4, run 20260101-000000-abcd: 2 of 2 replays passed." in head
    assert folded.count("| yes |") == 2
    assert f"control {CONTROL}" in folded
    assert text.count("<details>") == text.count("</details>") == 1


def test_what_broke_stands_open_and_what_the_cluster_said_stands_as_text(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(broken("pod <img src=x onerror=alert(1)> | *x* died"), verdict=Verdict.VIOLATED, why="<b>|`1`"))
    made.add(outcome(broken(), control=CONTROL))
    made.begin("t2", "pleg-churn", cluster="kind", profile="smoke")
    made.skip("t2", "no <i>kind</i> here")
    made.end()
    head = shown(made).partition("<details>")[0]
    assert head.startswith("## kube-ordeal: not safe\n\n1 of 1 incident broke: mass-termination.")
    assert "### What broke\n\n- mass-termination, hardened, on kind: &lt;b&gt;\\|\\`1\\`." in head
    assert "### What could not be replayed\n\n- pleg-churn on kind: no &lt;i&gt;kind&lt;/i&gt; here\n" in head
    assert "| hardened | violated | NO | 61 | &lt;b&gt;\\|\\`1\\` |" in head
    assert "<b>" not in head


def test_a_run_that_was_killed_and_specs_are_told(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.begin("t", "pleg-churn", cluster="kind", profile="smoke")
    made.add_specs([SpecResult("t", "before", "a", "[sig-apps] x", "apps", "passed", 1.0)])
    text = shown(made)
    assert text.startswith("## kube-ordeal: unknown\n")
    assert "- The run has not ended: it was killed, or still goes on.\n" in text
    assert "has no end" in text
    assert text.endswith("Conformance specs: 1 passed.\n")


@pytest.mark.parametrize("edit", [b"not a record\n", b'{"at": 0.0}\n'])
def test_a_history_that_was_edited_leaves_nothing_safe(tmp_path: Path, edit: bytes) -> None:
    made = results(tmp_path)
    path = history(made, [Phase(1.0, "fault"), Phase(2.0, "hold")])
    made.add(outcome(histories=(path,)))
    made.add(outcome(broken(), control=CONTROL))
    made.end()
    assert shown(made).startswith("## kube-ordeal: safe\n")
    path.write_bytes(edit + path.read_bytes())
    assert "0.jsonl line 1 is not a history record" in shown(made)
    path.unlink()
    text = shown(made)
    assert text.startswith("## kube-ordeal: unknown\n")
    assert text.count("0.jsonl is missing") == 1


def test_every_answer_has_its_exit_code() -> None:
    assert [brief.EXIT_CODES[each] for each in (Safe.YES, Safe.NO, Safe.UNKNOWN)] == [0, 1, 2]
    assert set(brief.EXIT_CODES) == set(Safe)


def test_what_was_left_out_is_named_and_the_answer_is_said_of_the_rest(tmp_path: Path) -> None:
    made = proven(tmp_path)
    made.leave_out([LeftOut("t", "pleg-churn", "it would <b>end</b> late")])
    text = shown(made)
    assert text.startswith("## kube-ordeal: safe, of what was replayed\n\nOf what was replayed: every promise of 1 ")
    assert "<details><summary>1 left out</summary>\n\n- pleg-churn: 1 test, and so all of it" in text
    assert "(it would &lt;b&gt;end&lt;/b&gt; late)\n\n</details>" in text
