"""Before any harm: from which nodes a workload does not answer, and how its probes fail there."""

from chaos.record.history import History
from chaos.record.records import Probe
from chaos.run.steady import unsteady


def probe(at: float, node: str, error: str = "") -> Probe:
    return Probe(at, node, "web", not error, 0.01, "" if error else "web-1", error)


def test_what_is_not_answered_is_said_by_node() -> None:
    many = [probe(at, "w2", "old" if at < 80 else "timed out") for at in range(100)]
    history = History.of_records([probe(1, "w1"), probe(2, "w1", "refused"), probe(3, "w1"), *many, probe(1, "w3")])
    assert list(unsteady(history, ["w1", "w2", "w3", "w4"])) == [
        "from w1 1 of the last 3 probes were not answered: refused",
        "from w2 20 of the last 20 probes were not answered: timed out",
        "from w4 no probe came back",
    ]
