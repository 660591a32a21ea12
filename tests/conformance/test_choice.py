"""Which specs a run has, their ids and markers, and how long those that are left take."""

from collections.abc import Sequence

import pytest

from chaos.conformance import choice, estimate
from chaos.conformance.choice import CONFORMANT, EVERY, Wanted, chosen, markers, smoke
from chaos.conformance.listing import Listing, NumberedSpec
from chaos.conformance.spec import Spec, id_of, spec
from chaos.errors import OrdealError

AREAS = {
    "api-machinery",
    "apps",
    "architecture",
    "auth",
    "cli",
    "instrumentation",
    "network",
    "node",
    "scheduling",
    "storage",
}


def listing(texts: Sequence[str]) -> Listing:
    return Listing(
        "9.9.9",
        tuple(
            NumberedSpec(text, ("Conformance",) if "[Conformance]" in text else (), n, "[Serial]" in text)
            for n, text in enumerate(texts)
        ),
    )


KNOWN = listing(
    ["[sig-node] Pods should run [Conformance]", "[sig-network] DNS should answer", "[sig-node] A [Serial] b"]
)


def test_smoke_is_25_specs_of_every_area_all_of_the_programme() -> None:
    specs = smoke()
    assert len({each.id for each in specs}) == len(specs) == 25
    assert {each.area for each in specs} == AREAS
    assert all(each.conformance for each in specs)
    assert {each.serial for each in specs} == {True, False}


def test_a_promoted_spec_keeps_its_id_and_another_one_has_another() -> None:
    plain, promoted = "[sig-node] Pods should run", "[sig-node] Pods should run [NodeConformance] [Conformance]"
    assert id_of(plain) == id_of(promoted)
    assert id_of(plain) != id_of("[sig-node] Pods should not run")
    assert id_of(plain).startswith("node-pods-should-run-")


def test_sets_and_a_focus_choose_from_all_specs() -> None:
    assert [s.area for s in chosen(Wanted(CONFORMANT), KNOWN)] == ["node"]
    assert len(chosen(Wanted(EVERY), KNOWN)) == 3
    assert [s.text for s in chosen(Wanted(focus="DNS|Serial"), KNOWN)] == [s.text for s in KNOWN.specs[1:]]
    assert not Wanted().needs_listing
    assert Wanted(focus="x").needs_listing


def test_a_focus_that_matches_nothing_is_refused() -> None:
    with pytest.raises(OrdealError, match=r"--ordeal-focus 'moon' matches none of the 3 specs of e2e\.test 9\.9\.9"):
        chosen(Wanted(focus="moon"), KNOWN)
    with pytest.raises(OrdealError, match="is no regular expression"):
        choice.compiled("(")


def test_labels_and_area_are_markers() -> None:
    odd = spec(
        "[sig-api-machinery] X", ("sig-api-machinery", "Conformance", "Feature:GPU-Plugin", "KubeletMinVersion:1.34")
    )
    assert markers(odd) == ("spec", "api_machinery", "conformance", "feature_gpu_plugin", "kubeletminversion_1_34")


def test_what_is_left_is_told_from_what_specs_took_before() -> None:
    beside, alone = spec("[sig-node] a", ()), spec("[sig-node] b", ())
    guess = estimate.Estimate([alone], 2, {beside.id: 10.0, alone.id: 7.0})
    assert guess.left_s([beside, alone]) == pytest.approx(5.0 + 7.0)


def test_a_spec_that_never_ran_is_taken_for_the_mean() -> None:
    specs: list[Spec] = [spec(f"[sig-node] {n}", ()) for n in range(3)]
    guess = estimate.Estimate([], 1, {})
    assert guess.left_s(specs) == pytest.approx(3 * estimate.FIRST_GUESS_S)
    guess.took(specs[0].id, 4.0)
    assert guess.left_s(specs[1:]) == pytest.approx(8.0)
    assert guess.known == {specs[0].id: 4.0}


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "the last one"), (42, "about 42 s left"), (600, "about 10 min left")]
)
def test_time_left_for_a_reader(seconds: float, said: str) -> None:
    assert estimate.said(seconds) == said


@pytest.mark.parametrize(
    ("focus", "found"),
    [
        ("[sig-node]", {0}),
        ("[It] [sig-node]", {0}),
        (r"\[It\] \[sig-node\]", {0}),
        (r"\[sig-node\]", {0}),
        ("[sig-network] .*[Serial]|[Disruptive]", {2}),
        ("[Dd]NS", {1}),
        ("[0-9]", set()),
        ("(in parentheses)", {2}),
    ],
)
def test_upstreams_tags_and_names_are_taken_as_they_are_written(focus: str, found: set[int]) -> None:
    names = (
        "[sig-node] Pods should run [Conformance]",
        "[sig-network] DNS should answer",
        "[sig-network] Services should go on (in parentheses) [Serial]",
    )
    known = listing(names)
    if not found:
        with pytest.raises(OrdealError, match="matches none"):
            chosen(Wanted(focus=focus), known)
        return
    assert {names.index(s.text) for s in chosen(Wanted(focus=focus), known)} == found


def test_a_focus_on_nothing_is_no_focus_on_all() -> None:
    with pytest.raises(OrdealError, match="names no spec"):
        choice.compiled("[It] ")
