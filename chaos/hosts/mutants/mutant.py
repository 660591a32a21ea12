"""What a mutant is: a historical bug of Kubernetes as a few substitutions in one component's source."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Substitution:
    """One change of source: `old` must be exactly once in `file`, an import path with the file's name at its end.

    `also` are further pairs of old and new text, for versions that are written otherwise. Just one pair must fit.
    """

    file: str
    old: str
    new: str
    also: tuple[tuple[str, str], ...] = ()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Old and new text, as the one or the other version is written."""
        return ((self.old, self.new), *self.also)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug put back. `pull_request` is the one in kubernetes/kubernetes that had mended it, 0 for a twin.

    What a pull request added as a feature counts too: without it Kubernetes failed in the incident's way. `incident`
    is the one whose suite must find it, `killed_by` the invariant that must then be violated. A `twin` has the same
    constants without the bug, and must pass: so it is the bug that is found, and not the constants.
    """

    name: str
    component: str
    pull_request: int
    what: str
    incident: str
    killed_by: str
    substitutions: tuple[Substitution, ...]
    twin: str = ""
