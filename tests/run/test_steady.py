"""Before any harm: from which nodes a workload does not answer, and how its probes fail there."""

from chaos.record.history import History
from chaos.record.records import Probe
from chaos.run.steady import unsteady


def probe(at: float, node: str, error: str = "") -> Probe:
    return Probe(at, node, "web", not error, 0.01, "" if error else "web-1", error)


def test_what_is_not_answered_is_said_by_node() -> None:
    history = History()
    late, now = -60.0, history.now()
    w1 = [probe(late, "w1", "old"), probe(now, "w1"), probe(now, "w1", "refused"), probe(now, "w1")]
    for each in (*w1, *[probe(now, "w2", "timed out")] * 20, probe(now, "w3"), probe(late, "w4")):
        history.add(each)
    assert list(unsteady(history, ["w1", "w2", "w3", "w4"])) == [
        "from w1 1 of the last 3 probes were not answered: refused",
        "from w2 20 of the last 20 probes were not answered: timed out",
        "from w4 no probe came back in the last 10 s",
    ]
