"""By what a promise is proven to be able to break: declared for it, counted by its strongest proof."""

from chaos.judge.catalogue import Control, Incident, Proof, ProvenBy
from chaos.judge.proofs import CONTROL, NOTHING, Proven, by_kind, in_words, proven

MUTANT = Proof("no-smoke", ProvenBy.MUTANT, "leaky-pipe")
SABOTEUR = Proof("no-smoke", ProvenBy.SABOTEUR, "arsonist", why="it burns")
IMPLIED = Proof("no-heat", ProvenBy.IMPLIED, "no-smoke")
INCIDENT = Incident(
    "fire", "t", "MUST", "c", "s", "src", "r",
    controls=(
        Control("spark", "w", breaks="no-heat", because="b", also_breaks=("no-smoke",)),
        Control("petrol", "w", breaks="no-smoke", because="soot"),
        Control("water", "w", breaks="no-flood", because="wet"),
    ),
    proofs=(SABOTEUR, MUTANT, IMPLIED),
)  # fmt: skip


def test_all_that_is_declared_for_a_promise_and_nothing_else() -> None:
    assert proven(INCIDENT, "no-smoke") == Proven("no-smoke", ("petrol", "spark"), (SABOTEUR, MUTANT))
    assert proven(INCIDENT, "no-heat") == Proven("no-heat", ("spark",), (IMPLIED,))
    assert proven(INCIDENT, "no-noise") == Proven("no-noise", (), ())


def test_the_strongest_proof_is_a_control_then_as_they_are_declared() -> None:
    assert proven(INCIDENT, "no-smoke").strongest == CONTROL
    assert Proven("no-smoke", (), (IMPLIED, SABOTEUR, MUTANT)).strongest is ProvenBy.MUTANT
    assert Proven("no-smoke", (), (IMPLIED,)).strongest is ProvenBy.IMPLIED
    assert Proven("no-smoke", (), ()).strongest == NOTHING


def test_each_proof_in_words_the_strongest_first() -> None:
    all_of_it = proven(INCIDENT, "no-smoke")
    assert all_of_it.words() == (
        "control petrol",
        "control spark",
        "mutant leaky-pipe",
        "saboteur arsonist: it burns",
    )
    assert all_of_it.words(but=("petrol", "leaky-pipe")) == ("control spark", "saboteur arsonist: it burns")
    assert in_words(IMPLIED) == "implied by no-smoke"


def test_promises_are_counted_by_their_strongest_proof() -> None:
    found = [proven(INCIDENT, name) for name in ("no-smoke", "no-heat", "no-noise")]
    assert by_kind([*found, Proven("x", (), (SABOTEUR, MUTANT))]) == "2 by controls, 1 by mutants, 1 by nothing"
    assert by_kind([]) == ""
