"""How a plan is said: as wide as the terminal, in few lines, and whatever names a cluster has."""

from dataclasses import replace

from chaos.clusters.abilities import NodePause
from chaos.harm.uses import Capability, Uses
from chaos.run.ground import Ground, InReach, NodeFacts
from chaos.run.policy import Consent, Policy
from chaos.run.prospect import Doing, Fate, Need, Prospect
from chaos.session.prospect_text import MOST_NODES, NARROWEST, RunPlan, as_json, last_line, lines_of

ONE = Prospect(
    "suites/a/test_a.py::test_it[kind-hardened]",
    "mass-termination",
    "Every pod is gone",
    "kind",
    "",
    Fate.RUNS,
    takes=("w1",),
    does=(Doing("cut-off", "Drop all traffic", Uses((Capability.NET_ADMIN,), (("a", "b"), ("c",)), labels=True)),),
    promises=("nothing_terminated",),
    needs=(Need("NodeExec"),),
)
CONTROL = replace(ONE, test="suites/a/test_a.py::test_it[kind-control:bad]", control="bad")
NODE = NodeFacts("w1", control_plane=False, kernel="6.1", os_image="Linux", runtime="containerd", unfit="", refused="")
GROUND = Ground("https://a:6443", "theirs", "1.34.4", (), Consent(Policy()), (), (NODE,), (), InReach(), lambda _: "")
MADE = RunPlan("1.34.4", None, "", {"kind": ("kind",)}, (), (ONE, CONTROL), ("mutant a",), 0, 0)


def said(plan: RunPlan, width: int = 200) -> list[str]:
    return lines_of(plan, width)


def test_replays_of_which_the_same_is_said_are_said_together() -> None:
    lines = said(MADE)
    assert lines[-7:-1] == [
        "  test_it [kind-hardened, kind-control:bad]",
        "    would run on a kind cluster that is made for it",
        "    does cut-off: Drop all traffic",
        "    is judged by nothing_terminated",
        "    needs NodeExec",
        "    on a node: CAP_NET_ADMIN; kernel modules a or b, c; SELinux's labels matter",
    ]
    other = replace(CONTROL, promises=("other",))
    assert sum(line.startswith("  test_it") for line in said(replace(MADE, replays=(ONE, other)))) == 2


def test_what_would_not_run_is_said_in_a_line() -> None:
    lacks = Need("NodeExec", "it lacks", "--give-it")
    skipped = replace(ONE, fate=Fate.SKIPPED, why="it needs NodeExec", needs=(lacks,))
    other = replace(skipped, test=CONTROL.test, control="bad", promises=("other",))
    lines = said(replace(MADE, replays=(skipped, other), builds=()))
    assert lines[-4:] == [
        "  test_it [kind-hardened, kind-control:bad]",
        "    skipped: it needs NodeExec",
        "    that is given by --give-it",
        "plan: 2 skipped, nothing would be replayed",
    ]
    flags = replace(skipped, why="it needs other flags")
    assert said(replace(MADE, replays=(flags,)))[-2] == "    skipped: it needs other flags"


def test_a_fault_that_does_not_say_what_it_uses_is_named() -> None:
    silent = replace(ONE, does=(Doing("mine", "Do it", None),))
    assert "    on a node: mine does not say what it uses" in said(replace(MADE, replays=(silent,)))


def test_no_line_is_wider_than_the_terminal() -> None:
    for width in (0, NARROWEST, 80, 100):
        assert max(map(len, said(MADE, width))) <= max(NARROWEST, width)


def test_names_of_a_cluster_act_on_no_terminal() -> None:
    evil = replace(NODE, name="w1\x1b[2J", os_image="::error::")
    plan = replace(MADE, ground=replace(GROUND, facts=(evil,)), blocked=("\x07token: abc",), kubernetes="")
    text = "\n".join(said(plan))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "w1\\x1b[2J" in text


def test_of_many_nodes_some_are_shown() -> None:
    many = tuple(replace(NODE, name=f"w{n}") for n in range(MOST_NODES + 5))
    lines = said(replace(MADE, ground=replace(GROUND, facts=many), kubernetes=""))
    assert "  and 5 nodes more" in lines
    assert sum("may be harmed" in line for line in lines) == MOST_NODES


def test_how_the_nodes_are_reached_is_said() -> None:
    by_engine = replace(GROUND, in_reach=InReach(None, (NodePause,)))
    assert "  its nodes are reached by their containers on this machine" in said(replace(MADE, ground=by_engine))
    assert "  not known before an agent is there: " not in "\n".join(said(replace(MADE, ground=by_engine)))
    assert any("by its API alone (--ordeal-agent-image" in line for line in said(replace(MADE, ground=GROUND)))


def test_specs_count_where_they_would_run() -> None:
    specs = replace(MADE, replays=(), specs=3)
    assert (specs.runs, last_line(specs)) == (3, "plan: 3 of upstream's specs")
    blocked = replace(specs, blocked=("no",))
    assert (blocked.runs, last_line(blocked)) == (0, "plan: 3 of upstream's specs, nothing would be replayed")
    assert as_json(blocked)["would_run"] == 0
