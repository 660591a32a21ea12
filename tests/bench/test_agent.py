"""tests/bench/agent.py: which process is looked at, and what is said of it."""

from tests.bench.agent import Cost, answer, is_agent, is_reached

SOUND = Cost([30_000_000, 50_000_000], {7: 1.0, 9: 0.5}, [100.0, 200.0])


def test_the_process_that_stays_on_the_node_is_the_agent() -> None:
    assert is_agent(["/usr/bin/python3", "-m", "chaos.agent", "serve", "/var/lib/kube-ordeal/r"])
    assert not is_agent(["/usr/bin/python3", "-m", "chaos.agent", "attend"])
    assert not is_agent(["grep", "chaos.agent"])


def test_a_node_has_a_line_and_one_without_an_agent_has_none() -> None:
    said = answer({"n1": SOUND, "n2": Cost()})
    assert said[1].split() == ["n1", "50.0", "MB", "40.0", "MB", "1.50%", "100", "s"]
    assert "n2" not in "".join(said)


def test_it_is_reached_where_every_agent_costs_no_more() -> None:
    assert is_reached({"n1": SOUND, "n2": Cost()})
    assert not is_reached({"n2": Cost()}), "nothing was looked at"
    assert not is_reached({"n1": SOUND, "n3": Cost([61_000_000], {7: 1.0}, [0.0, 100.0])})
    assert not is_reached({"n1": SOUND, "n3": Cost([1_000_000], {7: 5.1}, [0.0, 100.0])})
