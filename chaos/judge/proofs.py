"""Which promises of an incident are proven to be able to break, and by what: a check that can't fail proves nothing."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from chaos.judge.catalogue import Incident, Proof, ProvenBy

CONTROL = "control"
NOTHING = "nothing"
_COUNTED = {
    CONTROL: "by controls",
    ProvenBy.MUTANT: "by mutants",
    ProvenBy.SABOTEUR: "by saboteurs",
    ProvenBy.EDITED: "by edited recordings",
    ProvenBy.IMPLIED: "implied by others",
    NOTHING: "by nothing",
}


@dataclass(frozen=True, slots=True)
class Proven:
    """A promise of an incident, by its invariant's name, and all that is declared to prove that it is able to break.

    `controls`: their ids, those first that are there for it.
    """

    invariant: str
    controls: tuple[str, ...]
    proofs: tuple[Proof, ...]

    @property
    def strongest(self) -> str:
        """The strongest kind of proof: CONTROL, one of ProvenBy, or NOTHING."""
        if self.controls:
            return CONTROL
        return min((each.how for each in self.proofs), key=list(ProvenBy).index, default=NOTHING)

    def words(self, *, but: Collection[str] = ()) -> tuple[str, ...]:
        """Each proof in a few words, the strongest first. `but`: controls and mutants that are left out."""
        others = sorted(self.proofs, key=lambda each: list(ProvenBy).index(each.how))
        controls = (f"{CONTROL} {each}" for each in self.controls if each not in but)
        return (*controls, *(in_words(each) for each in others if each.by not in but))


def proven(incident: Incident, invariant: str) -> Proven:
    """What the incident declares of one of its promises."""
    own = [control.id for control in incident.controls if control.breaks == invariant]
    also = [control.id for control in incident.controls if invariant in control.also_breaks]
    return Proven(invariant, (*own, *also), tuple(p for p in incident.proofs if p.promise == invariant))


def in_words(proof: Proof) -> str:
    """A proof in a few words."""
    why = f": {proof.why}" if proof.why else ""
    return f"{proof.how}{' by' if proof.how is ProvenBy.IMPLIED else ''} {proof.by}{why}"


def by_kind(found: Iterable[Proven]) -> str:
    """How many promises are proven by what, each counted by its strongest proof: "5 by controls, 2 by saboteurs"."""
    counts = Counter(each.strongest for each in found)
    return ", ".join(f"{counts[kind]} {said}" for kind, said in _COUNTED.items() if counts[kind])
