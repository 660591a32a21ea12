"""Recipes: whatever a promise made can be made again from JSON, and judges alike."""

import json
from collections.abc import Callable

import pytest

from chaos.basics.found import load
from chaos.clusters.shape import Timers
from chaos.errors import OrdealError
from chaos.judge import availability, heartbeats, mutants, nodes_ready, pods, start, taint_rates
from chaos.judge.base import Invariant, Recipe, judge, made_again, promise, promises
from chaos.judge.taint_rates import ZoneState
from chaos.record.history import History, Window
from chaos.subjects.eviction import promises as eviction
from chaos.subjects.garbage import promises as garbage
from chaos.subjects.handles import promises as handles
from chaos.subjects.identity import promises as identity
from chaos.subjects.pleg import promises as pleg
from chaos.subjects.preflight import promises as preflight
from chaos.subjects.watch_cache import promises as watch_cache
from chaos.subjects.webhooks import promises as webhooks
from chaos.subjects.zones import promises as protection
from tests.judge.marks import wrongly_marked

MODULES = (*load("chaos.judge"), *load("chaos.subjects", only="promises"))
EXAMPLES: list[Callable[[], Invariant]] = [
    lambda: availability.outage_at_most(2.0, nodes=("a", "b"), window=Window(1.0, float("inf"))),
    lambda: availability.answered_throughout(fault="cut-off"),
    lambda: eviction.critical_pods_stay("a", fault="fill"),
    lambda: eviction.pressure_reported("a", "fill", within_s=60.0),
    lambda: eviction.evicted_by_use("a", "eater", fault="fill"),
    lambda: eviction.pressure_clears("a", fault="fill", within_s=5),
    lambda: eviction.runs_again("eater", fault="fill", within_s=5),
    lambda: garbage.namespace_ends(within_s=60, fault="break-conversion"),
    lambda: handles.failure_shows({"a": "kubelet"}),
    lambda: handles.dns_answers(2.0, nodes=["a"]),
    lambda: heartbeats.kubelets_report_again(("a",), within_s=60),
    identity.one_node_per_machine,
    lambda: mutants.mutants_killed(["m"], ["twin"]),
    lambda: taint_rates.taints_within_rate("a", ZoneState.NORMAL, documented=Timers(toleration_s=4)),
    lambda: taint_rates.taints_taken_back(documented=Timers(), within_s=5),
    lambda: nodes_ready.nodes_ready_again(("a",), within_s=90),
    lambda: pleg.pleg_recovers("a", within_s=60.0),
    lambda: pods.nothing_terminated("web", window=Window(0.0, 3.5)),
    preflight.versions_not_affected,
    lambda: preflight.versions_not_affected(preflight.AFFECTED),
    lambda: protection.protection_holds(("rate",), times=3),
    lambda: start.new_pods_start(within_s=60),
    lambda: webhooks.webhook_comes_back("webhook", 2, within_s=30, fault="lose-webhook"),
    lambda: watch_cache.watchers_see("restore", within_s=5),
]


@pytest.mark.parametrize("make", EXAMPLES)
def test_what_a_promise_made_is_made_again_from_json(make: Callable[[], Invariant]) -> None:
    first = make()
    assert first.recipe is not None
    written = json.loads(
        json.dumps({"promise": first.recipe.promise, "arguments": first.recipe.arguments}, allow_nan=False)
    )
    again = made_again(Recipe(written["promise"], written["arguments"]))
    assert again.name == first.name
    assert again.recipe == first.recipe
    assert judge(again, History.of_records([])) == judge(first, History.of_records([]))


def test_every_function_that_makes_an_invariant_is_a_promise() -> None:
    public = {
        name
        for module in MODULES
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        and getattr(value, "__annotations__", {}).get("return") is Invariant
        and name != "made_again"
    }  # fmt: skip
    assert public
    assert public <= set(promises())


def test_each_promise_of_a_subject_is_marked() -> None:
    assert not list(wrongly_marked("subjects"))


def test_two_promises_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="two promises are called 'new_pods_start'"):
        promise(start.new_pods_start)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (Recipe("no_such_promise", {}), "knows no promise 'no_such_promise'"),
        (Recipe("new_pods_start", {"within": 3}), "do not fit this version"),
        (Recipe("new_pods_start", {}), "do not fit this version"),
        (Recipe("new_pods_start", {"within_s": "soon"}), "do not fit this version"),
    ],
)
def test_a_recipe_that_does_not_fit_is_a_sentence(recipe: Recipe, says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        made_again(recipe)
