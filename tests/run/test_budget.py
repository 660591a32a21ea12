"""The plan of a budget: pairs whole, one for each post-mortem first, nothing past the end; the look at the clock."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.errors import OrdealError
from chaos.run.budget import END_S, BudgetPlan, Candidate, Costs, Watch, parse, plan, span

PLAIN = ("kind", "plain")


def replay(name: str, control: str = "", took_s: float = 10.0, **more: object) -> Candidate:
    """A variant of the function `name`, which replays an incident of that name unless `more` says otherwise."""
    variant = f"control:{control}" if control else "hardened"
    made = Candidate(f"{name}[{variant}]", name, name, control=control, cluster="kind", shape="plain", took_s=took_s)
    return replace(made, **more)  # type: ignore[arg-type]


def pair(name: str, took_s: float = 10.0, **more: object) -> list[Candidate]:
    return [replay(name, "", took_s, **more), replay(name, "c", took_s, **more)]


def names(made: BudgetPlan) -> list[str]:
    return [each.replay.test for each in made.chosen]


def why(made: BudgetPlan) -> dict[str, str]:
    return {each.replay.test: each.why for each in made.left_out}


@pytest.mark.parametrize(
    ("text", "seconds"), [("15m", 900), ("1h30m", 5400), ("900s", 900), ("900", 900), ("1m5s", 65)]
)
def test_a_budget_is_read(text: str, seconds: float) -> None:
    assert parse(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "0m", "-5m", "15 min", "1.5h", "m", "5m1h", "nan", "15m30"])
def test_nonsense_is_no_budget(text: str) -> None:
    with pytest.raises(OrdealError, match="that is no time; write it like 15m, 1h30m or 900s"):
        parse(text)


def test_a_time_is_said_as_people_say_it() -> None:
    assert [span(s) for s in (45.2, 125, 3840)] == ["45 s", "2 min 5 s", "1 h 4 min"]


def test_one_pair_for_each_post_mortem_comes_before_cheaper_pairs_of_others() -> None:
    candidates = [
        *pair("other", 1),
        *pair("a-long", 40, postmortem="A"),
        *pair("a-short", 20, postmortem="A"),
        *pair("b", 30, postmortem="B"),
    ]
    made = plan(candidates, Costs(), 100 + END_S)
    assert names(made) == ["a-short[hardened]", "a-short[control:c]", "b[hardened]", "b[control:c]"]
    assert why(made)["other[hardened]"] == "it would end 2 s after the budget"
    assert why(made)["a-long[control:c]"] == "it would end 1 min 20 s after the budget".replace("1 min 20", "80")


def test_then_other_incidents_cheapest_first_and_only_then_second_variants() -> None:
    second = replay("a", "cheap", 1, postmortem="A")
    candidates = [*pair("a", 10, postmortem="A"), second, *pair("long", 30), *pair("short", 20)]
    assert names(plan(candidates, Costs(), 11 + 40 + END_S)) == [
        "a[hardened]", "a[control:cheap]", "short[hardened]", "short[control:c]",
    ]  # fmt: skip
    assert len(names(plan(candidates, Costs(), 11 + 40 + 60 + 10 + END_S))) == 7


def test_the_pair_that_is_in_the_tour_stands_for_its_post_mortem_where_there_is_time() -> None:
    tour = pair("told", 30, postmortem="A", tour=True)
    candidates = [*pair("version", 1, postmortem="A"), *tour, *pair("b", 20, postmortem="B")]
    assert names(plan(candidates, Costs(), 101 + END_S))[:2] == ["told[hardened]", "told[control:c]"]
    assert names(plan(candidates, Costs(), 99 + END_S))[0] == "version[hardened]"


def test_a_cluster_is_made_once_for_those_that_share_it() -> None:
    candidates = [*pair("a"), *pair("b"), *pair("c", shape="dense")]
    costs = Costs({PLAIN: 100, ("kind", "dense"): 50})
    made = plan(candidates, costs, 1000)
    assert [(p.starts_s, p.ends_s) for p in made.chosen] == [
        (0, 110), (110, 120), (120, 130), (130, 140), (140, 200), (200, 210),
    ]  # fmt: skip
    assert made.expected_end_s == 210 + END_S


def test_a_build_that_is_needed_counts_once_and_decides_what_is_cheap() -> None:
    candidates = [
        *pair("built", 1, builds=("mutant x", "there already")),
        *pair("plain", 20),
    ]
    made = plan(candidates, Costs(build_s={"mutant x": 60}), 70 + END_S)
    assert names(made) == ["plain[hardened]", "plain[control:c]"]
    assert plan(candidates, Costs(build_s={"mutant x": 60}), 1000).expected_end_s == 60 + 2 + 40 + END_S


def test_a_hardened_replay_without_a_control_proves_nothing_by_itself() -> None:
    single = replay("x-single", "", 1, incident="x")
    candidates = [single, *pair("x", 100), *pair("y", 10)]
    made = plan(candidates, Costs(), 50 + END_S)
    assert names(made) == ["y[hardened]", "y[control:c]"]
    assert why(made)["x-single[hardened]"] == "no pair of its incident fits, and nothing would prove its check"
    assert "x-single[hardened]" in names(plan(candidates, Costs(), 500))


def test_without_controls_one_replay_counts_as_a_pair() -> None:
    candidates = [c for name in "ab" for c in pair(name) if not c.control]
    assert names(plan(candidates, Costs(), 10 + END_S)) == ["a[hardened]"]
    controls = [c for c in pair("a") if c.control]
    assert names(plan(controls, Costs(), 10 + END_S)) == ["a[control:c]"]


def test_what_is_no_replay_is_taken_last_and_as_a_whole() -> None:
    specs = [replay(f"spec{n}", incident="", took_s=10) for n in range(3)]
    candidates = [*specs, *pair("a", 50)]
    assert names(plan(candidates, Costs(), 110 + END_S)) == ["a[hardened]", "a[control:c]"]
    assert why(plan(candidates, Costs(), 110 + END_S))["spec0[hardened]"] == "it would end 20 s after the budget"
    assert len(names(plan(candidates, Costs(), 130 + END_S))) == 5
    assert len(names(plan(specs, Costs(), 130 + END_S))) == 3


def test_a_budget_that_is_too_short_for_any_pair_names_the_shortest() -> None:
    candidates = [*pair("long", 50), *pair("short", 10)]
    says = r"45 s is too short: .*, short on kind \(hardened and c\), should be over after 61 s; give 61s or more"
    with pytest.raises(OrdealError, match=says):
        plan(candidates, Costs({PLAIN: 25}), 45)
    assert names(plan(candidates, Costs({PLAIN: 25}), 61)) == ["short[hardened]", "short[control:c]"]
    assert plan([], Costs(), 45).chosen == ()


def test_what_is_gone_already_is_gone() -> None:
    assert plan(pair("a"), Costs(), 100, now_s=30).chosen[0].starts_s == 30
    with pytest.raises(OrdealError, match="too short"):
        plan(pair("a"), Costs(), 20 + END_S, now_s=1)


def test_side_by_side_scopes_overlap_and_what_runs_alone_does_not() -> None:
    candidates = [
        *pair("a", 30, scope="a"),
        *pair("b", 20, scope="b"),
        replay("m", "", 50, scope="m", alone=True, incident="a"),
    ]
    made = plan(candidates, Costs(lanes=2), 1000)
    begins = {p.replay.test: p.starts_s for p in made.chosen}
    assert begins == {"a[hardened]": 0, "a[control:c]": 30, "b[hardened]": 0, "b[control:c]": 20, "m[hardened]": 60}
    assert made.expected_end_s == 110 + END_S
    assert plan(candidates, Costs(), 1000).expected_end_s == 150 + END_S


# --- before each replay

CANDIDATES = [*pair("second", 10, incident="a"), *pair("a", 10, postmortem="A"), *pair("b", 20, postmortem="B")]


def watch(budget_s: float = 80 + END_S, costs: Costs | None = None) -> Watch:
    made = plan(CANDIDATES, costs or Costs(), budget_s)
    assert len(made.chosen) == len(CANDIDATES)
    return Watch(made, costs or Costs())


def test_a_run_that_is_in_time_leaves_nothing_out() -> None:
    watching, now_s = watch(), 0.0
    for each in CANDIDATES:
        assert watching.why_not(each.test, now_s) == ""
        now_s += each.took_s
    assert watching.why_not("test_plain", 1e9) == ""


def test_of_a_run_that_is_late_what_was_chosen_last_is_given_up_as_a_pair() -> None:
    watching = watch()
    late = "it would end 15 s after the budget, seen 15 s after its start"
    assert [watching.why_not(each.test, 15.0) for each in CANDIDATES] == [late, late, "", "", "", ""]


def test_what_runs_when_time_is_up_is_the_last() -> None:
    watching = watch()
    for each in CANDIDATES[:4]:
        assert watching.why_not(each.test, 0.0) == ""
    assert watching.why_not("b[hardened]", 40.0 + 1).startswith("it would end 1 s after the budget")
    assert watching.why_not("b[control:c]", 0.0).startswith("it would end 1 s")  # for good, with its pair


def test_a_control_is_not_begun_for_a_hardened_replay_that_was_not() -> None:
    costs = Costs(lanes=2)
    made = plan([*pair("a", 10), replay("a", "d", 1)], costs, 100 + END_S)
    watching = Watch(made, costs)
    assert watching.why_not("a[hardened]", 95.0).startswith("it would end")
    assert watching.why_not("a[control:c]", 95.0) == "its hardened replay was left out"
    fresh = Watch(made, costs)
    assert [fresh.why_not(each.test, 0.0) for each in [*pair("a"), replay("a", "d")]] == ["", "", ""]


def test_a_cluster_that_is_there_and_a_build_that_is_done_are_not_counted_again() -> None:
    costs = Costs({PLAIN: 40.0}, {"mutant x": 40.0})
    candidates = pair("a", 10, builds=("mutant x",))
    watching = Watch(plan(candidates, costs, 100 + END_S), costs)
    assert watching.why_not("a[hardened]", 0.0) == ""
    assert watching.why_not("a[control:c]", 90.0) == ""
    assert Watch(plan(candidates, costs, 100 + END_S), costs).why_not("a[hardened]", 1.0) != ""


def test_one_that_waited_too_long_for_its_turn_is_left_out_after_all() -> None:
    costs = Costs({PLAIN: 40.0}, {"mutant x": 20.0})
    candidates = pair("a", 10, builds=("mutant x",))
    watching = Watch(plan(candidates, costs, 100 + END_S), costs)
    assert watching.too_late("a[hardened]", 1e9) == ""  # it was not begun
    assert watching.why_not("a[hardened]", 0.0) == ""
    assert watching.too_late("a[hardened]", 30.0) == ""
    assert watching.too_late("a[hardened]", 31.0) == "it would end 1 s after the budget, seen 31 s after its start"
    assert watching.why_not("a[control:c]", 90.0) == ""
    assert watching.too_late("a[control:c]", 90.0) == ""  # its cluster and its mutant are there
    assert watching.too_late("a[control:c]", 91.0) != ""
    assert watching.too_late("a[hardened]", 1e9) == ""


# --- of any plan

CONTROLS = st.lists(st.integers(1, 60), max_size=2)


@st.composite
def _suites(draw: st.DrawFn) -> tuple[list[Candidate], Costs]:
    candidates = []
    for number in range(draw(st.integers(1, 6))):
        incident = draw(st.sampled_from("abcd"))
        about = {
            "incident": incident,
            "postmortem": {"a": "A", "b": "B"}.get(incident, ""),
            "shape": draw(st.sampled_from(["plain", "dense"])),
            "tour": draw(st.booleans()),
            "alone": draw(st.booleans()),
            "scope": str(number),
            "builds": tuple(draw(st.sets(st.sampled_from("xy")))),
        }
        candidates.append(replay(f"t{number}", "", float(draw(st.integers(1, 60))), **about))
        for n, took_s in enumerate(draw(CONTROLS)):
            candidates.append(replay(f"t{number}", f"c{n}", float(took_s), **about))
    costs = Costs({PLAIN: 20.0, ("kind", "dense"): 30.0}, {"x": 25.0}, draw(st.sampled_from([1, 2])))
    return candidates, costs


@given(_suites(), st.integers(30, 600))
def test_any_plan_ends_in_time_and_accounts_for_everything(made: tuple[list[Candidate], Costs], budget_s: int) -> None:
    candidates, costs = made
    try:
        found = plan(candidates, costs, budget_s)
    except OrdealError:
        with pytest.raises(OrdealError):  # nor with less
            plan(candidates, costs, budget_s / 2)
        return
    assert found.expected_end_s <= budget_s
    assert all(p.ends_s <= found.expected_end_s for p in found.chosen)
    assert sorted([*names(found), *why(found)]) == sorted(c.test for c in candidates)
    assert all(why(found).values())
    order = {c.test: n for n, c in enumerate(candidates)}
    if costs.lanes == 1:
        assert [order[name] for name in names(found)] == sorted(order[name] for name in names(found))


@given(_suites(), st.integers(30, 600))
def test_pairs_are_whole_and_a_post_mortem_is_told_before_second_variants(
    made: tuple[list[Candidate], Costs], budget_s: int
) -> None:
    candidates, costs = made
    try:
        found = plan(candidates, costs, budget_s)
    except OrdealError:
        return
    chosen = [p.replay for p in found.chosen]
    for each in candidates:
        twins = [c for c in candidates if c.function == each.function and bool(c.control) != bool(each.control)]
        if each in chosen and twins:
            assert any(c in chosen for c in twins), each
    first: dict[str, int] = {}
    for planned in sorted(found.chosen, key=lambda p: p.turn):
        first.setdefault(planned.replay.incident, planned.turn)
    assert sorted(first.values()) == list(range(len(first)))
    if costs.lanes == 1:  # side by side a replay more may let one fit, on another process, that did not fit before
        told = {c.postmortem for c in chosen} - {""}
        begun_with = [next(p.replay.postmortem for p in found.chosen if p.turn == turn) for turn in range(len(told))]
        assert set(begun_with) == told


@given(_suites())
def test_with_time_for_all_nothing_is_left_out(made: tuple[list[Candidate], Costs]) -> None:
    candidates, costs = made
    paired = {c.incident for c in candidates if c.control}
    found = plan(candidates, costs, 1e6)
    assert {c.test for c in candidates} == set(names(found))
    assert paired <= {p.replay.incident for p in found.chosen}
