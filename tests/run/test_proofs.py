"""Every promise of every incident is proven to be able to break, and what is declared to prove it is there."""

import ast
from pathlib import Path

import pytest

from chaos.hosts import mutants
from chaos.judge.catalogue import Control, Incident, Proof, ProvenBy, incidents
from chaos.judge.proofs import NOTHING, by_kind, proven
from chaos.run.incident import HARDENED
from chaos.run.suites import by_incident, promised_by
from tests.saboteurs import SABOTEURS
from tests.saboteurs.replays import REPLAYS

ROOT = Path(__file__).resolve().parents[2]
PROMISED = {each.id: promised_by(there) for each, there in by_incident().items()}
# Still to be proven: an upgrade takes a node image of a second version, and none was there where proofs were made.
# What is proven leaves this list; nothing new comes into it.
UNPROVEN = {
    "in-place-upgrade": {
        "only-drained-pods-evicted",
        "nodes-upgraded",
        "nodes-ready-again",
        "upgrade-resumed",
        "pods-run-throughout",
        "new-pods-start",
    },
    "own-upgrade": {"pods-run-throughout"},
}
each_incident = pytest.mark.parametrize("each", incidents(), ids=lambda each: each.id)


@each_incident
def test_no_promise_is_made_that_nothing_has_ever_broken(each: Incident) -> None:
    unproven = {name for name in PROMISED[each.id] if proven(each, name).strongest == NOTHING}
    assert unproven == UNPROVEN.get(each.id, set()), (
        f"nothing proves that these promises of {each.id} can break: add a control that breaks them, or say in its "
        "incident.py what else does (docs/writing-an-incident.md)"
    )


@each_incident
def test_what_a_control_breaks_is_judged_in_it(each: Incident) -> None:
    for control in each.controls:
        for invariant in (control.breaks, *control.also_breaks):
            assert control.id in PROMISED[each.id].get(invariant, ()), f"{control.id} is not judged by {invariant}"


@each_incident
def test_what_proves_a_promise_is_there(each: Incident) -> None:
    for proof in each.proofs:
        assert HARDENED in PROMISED[each.id].get(proof.promise, ()), f"{each.id} makes no promise {proof.promise}"
        assert not proven(each, proof.promise).controls, f"a control proves {proof.promise} already"
        assert globals()[f"_is_{proof.how.name.lower()}"](each, proof), f"{proof.how} {proof.by} of {each.id}"


def _is_mutant(incident: Incident, proof: Proof) -> bool:
    """One that some replay of the incident tries."""
    tried = {m for suite in by_incident()[incident] for names in suite.replay.mutants.values() for m in names}
    return proof.by in tried and mutants.find(proof.by).killed_by == proof.promise


def _is_saboteur(incident: Incident, proof: Proof) -> bool:
    """One with which a test replays the incident, or such a test itself."""
    if "::" in proof.by:
        return _is_edited(incident, proof)
    return proof.by in SABOTEURS and any(proof.by in each.saboteurs for each in REPLAYS if each.incident == incident.id)


def _is_edited(incident: Incident, proof: Proof) -> bool:
    """A test that is there."""
    path, _, name = proof.by.partition("::")
    return name in {n.name for n in ast.parse((ROOT / path).read_text()).body if isinstance(n, ast.FunctionDef)}


def _is_implied(incident: Incident, proof: Proof) -> bool:
    """By one that is proven by something else."""
    return bool(proof.why) and proven(incident, proof.by).strongest not in {NOTHING, ProvenBy.IMPLIED}


# --- how they are counted

PETROL = Control("petrol", "w", breaks="no-smoke", because="soot", also_breaks=("no-heat",))
FIRE = Incident(
    "fire",
    *("t", "MUST", "c", "s", "src", "r"),
    controls=(PETROL, Control("damp", "w", breaks="no-heat", because="steam")),
    proofs=(
        Proof("no-ash", ProvenBy.IMPLIED, "no-smoke", "ash is smoke that fell"),
        Proof("no-noise", ProvenBy.SABOTEUR, "drum"),
        Proof("no-noise", ProvenBy.MUTANT, "siren", "it sounds"),
    ),
)


def test_a_promise_is_counted_by_its_strongest_proof() -> None:
    heat, noise, ash, flood = (proven(FIRE, name) for name in ("no-heat", "no-noise", "no-ash", "no-flood"))
    assert heat.words() == ("control damp", "control petrol"), "its own first"
    assert heat.words(but=("damp",)) == ("control petrol",)
    assert noise.words() == ("mutant siren: it sounds", "saboteur drum")
    assert ash.words() == ("implied by no-smoke: ash is smoke that fell",)
    assert flood.words() == ()
    assert by_kind([heat, noise, ash, flood]) == "1 by controls, 1 by mutants, 1 implied by others, 1 by nothing"
