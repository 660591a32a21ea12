"""A cluster that does not serve before any harm: violated for that, and a control of it has shown nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.judge.availability import outage_at_most
from chaos.judge.base import Verdict
from chaos.record.history import History
from chaos.record.records import Probe
from chaos.run import steady
from chaos.run.lab import Lab
from chaos.run.promised import judged, says
from chaos.run.steady import NotServingError
from chaos.run.verdict import outcome_of
from chaos.workloads.web import Deployed
from tests.run.labs import a_lab, story

WEB: Any = Deployed("web", "ns", "http://web", 2, None)  # type: ignore[arg-type]
NODES = [SimpleNamespace(name="w1"), SimpleNamespace(name="w2")]


class Cut:
    kind = "cut"


def refused(lab: Lab, monkeypatch: pytest.MonkeyPatch, *probes: Probe) -> str:
    """The lab begins to record a workload that does not answer; what it raises."""

    @contextmanager
    def probing(cluster: object, probe: object, history: History) -> Iterator[None]:
        for each in probes:
            history.add(each)
        yield

    monkeypatch.setattr(steady, "probes_of", probing)
    monkeypatch.setattr(steady, "fit_workers", lambda _: NODES)
    monkeypatch.setattr(steady, "STEADY_WITHIN_S", 0.01)
    monkeypatch.setattr(type(lab), "current", None)
    with pytest.raises(NotServingError) as raised, lab.record(probe=WEB):
        pytest.fail("no story is told")
    return str(raised.value)


ANSWERED = Probe(0.001, "w1", "web", ok=True, took_s=0.01, answered_by="web-1", error="")
REFUSED = Probe(0.002, "w2", "web", ok=False, took_s=0.01, answered_by="", error="connection refused")
DECLARED = judged(says(outage_at_most, 2.0), harm=(Cut,))


@pytest.mark.parametrize("control", [None, "bad"])
def test_the_verdict_is_that_it_does_not_serve(
    control: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = a_lab(tmp_path, story(DECLARED), control=control)
    why = refused(lab, monkeypatch, ANSWERED, REFUSED)
    outcome = outcome_of(lab, "test_x", why)
    (finding,) = outcome.findings
    assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, "not-serving")
    said = "from w2 1 of the last 1 probes were not answered: connection refused"
    assert not outcome.passed
    if control:
        assert outcome.verdict is Verdict.UNKNOWN
        assert outcome.why.startswith("the control's invariant kept was not judged: web did not answer every node")
    else:
        assert outcome.verdict is Verdict.VIOLATED
        assert outcome.why.startswith("serves-before-harm: web did not answer every node before any harm")
    assert outcome.why.endswith(said)
    assert finding.history is not None
    assert History.load(finding.history).of(Probe)[-1].error == "connection refused"
    lab.conform_after()  # nothing else had to be judged


def test_where_nobody_could_probe_it_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = a_lab(tmp_path, story(DECLARED))
    outcome = outcome_of(lab, "test_x", refused(lab, monkeypatch, ANSWERED))
    assert outcome.verdict is Verdict.UNKNOWN
    assert "from w2 no probe came back in the last 10 s" in outcome.why
