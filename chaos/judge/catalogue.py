"""The incidents: what happened, what is claimed, which known-bad configurations must break the claim.

Each is defined in its subject's incident.py, which is found by being there; suites name it by id.
"""

import pkgutil
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from chaos.errors import OrdealError

SUBJECTS = "chaos.subjects"  # found, never imported by name: what is below the subjects knows none


@dataclass(frozen=True, slots=True)
class KnownBug:
    """What published versions do wrong as they are shipped. `issue`: upstream's, as "kubernetes/kubernetes#138735".

    `since`: the first version that has it. `mended_in`: the first ones that no longer do, at most one of each minor; a
    minor in between that is not named was never mended, one after the last of them never had it. Empty: none is known.
    """

    issue: str
    since: str
    mended_in: tuple[str, ...] = ()

    def affects(self, version: str) -> bool:
        """Whether a Kubernetes version such as "1.34.4" has it. Raises OrdealError for what is none."""
        asked, mended = _numbers(version), sorted(_numbers(each) for each in self.mended_in)
        of_minor = next((each for each in mended if each[:2] == asked[:2]), None)
        if of_minor is not None:
            return _numbers(self.since) <= asked < of_minor
        return _numbers(self.since) <= asked and not (mended and mended[-1] < asked)

    @property
    def mended(self) -> str:
        """Where it is mended, in words."""
        return f"mended in {', '.join(self.mended_in)}" if self.mended_in else "mended in no version that is known"


def _numbers(version: str) -> tuple[int, ...]:
    """Major, minor and patch. A build or a distribution's suffix says nothing of upstream's patches."""
    found = re.match(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?!\d)", version)
    if found is None:
        raise OrdealError(f"{version!r} is no Kubernetes version, such as 1.34.4: nobody can tell what bugs it has")
    return tuple(int(each) for each in found.groups())


@dataclass(frozen=True, slots=True)
class Control:
    """A known-bad configuration. The invariant `breaks` must be violated in it, with the reason code `because`.

    `also_breaks`: other invariants of its incident that are violated in it too, each in a recording of a real run. A
    replay in which one is not says so, and passes all the same: it is there for `breaks`. `shipped`: what is bad about
    it is the published program itself, where nobody works around its bug; versions without the bug must hold in it.
    """

    id: str
    what: str
    breaks: str
    because: str
    also_breaks: tuple[str, ...] = ()
    shipped: KnownBug | None = None

    def must_break(self, version: str) -> bool:
        """Whether it must be violated in that Kubernetes version. Raises OrdealError for what is none."""
        return self.shipped is None or self.shipped.affects(version)


class ProvenBy(StrEnum):
    """What else than a control proves that a promise is able to break, the strongest first.

    `mutant`: a historical bug that is put back, which a replay tries beside what it is about.
    `saboteur`: a real replay in which somebody does what the replay knows nothing of: one of tests/saboteurs/, or one
    of a test's own.
    `edited`: the recording of a real run with one fact changed, as no run has shown it.
    `implied`: whoever breaks another promise of the incident breaks this one with it.
    """

    MUTANT = "mutant"
    SABOTEUR = "saboteur"
    EDITED = "edited recording"
    IMPLIED = "implied"


@dataclass(frozen=True, slots=True)
class Proof:
    """What proves that a promise of an incident is able to break where no control breaks it.

    `promise`: the name of its invariant. `by`: the mutant's or saboteur's name; the test that has a saboteur of its
    own, or edits the recording, as pytest names it; the promise that implies it. `why`: what is done, or why it is
    implied.
    """

    promise: str
    how: ProvenBy
    by: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sign:
    """How the failure shows on a live cluster: a command, and what to look for in what it prints."""

    command: str
    look_for: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A published failure. `claim` is the promise in MUST words; `remedy` what a reader should do about it.

    `recognise`: what tells the failure on a live cluster, each a command and what to look for in what it prints.
    `versions`: which versions were affected and which have it mended. `postmortem`: the post-mortem that it is taken
    from, one of POSTMORTEMS; "" where it has another source. `proofs`: what proves that those of its promises can break
    that no control breaks.
    """

    id: str
    title: str
    level: str
    claim: str
    story: str
    source: str
    remedy: str
    controls: tuple[Control, ...]
    recognise: tuple["Sign", ...] = ()
    versions: str = ""
    postmortem: str = ""
    proofs: tuple[Proof, ...] = ()

    def control(self, control_id: str) -> Control:
        """The control of that id. Raises OrdealError that names those there are."""
        for control in self.controls:
            if control.id == control_id:
                return control
        known = ", ".join(c.id for c in self.controls) or "none"
        raise OrdealError(f"{self.id} has no control {control_id!r}; there are: {known}")


DATABASE, NODE, CONTROL_PLANE, PLEG, VOLUME = POSTMORTEMS = (
    "000_91f3449a640eb9ef",
    "001_212a703fcd7edcb3",
    "002_f6a8e22b632b599b",
    "003_48e4503f27ba239f",
    "004_41f5887823408c82",
)
# All five are in Chinese. Title, author or site, and time, as far as they are known.
DATABASE_POSTMORTEM = (
    f"post-mortem {DATABASE} (logs of April 2018; services moved from machines into Kubernetes, MySQL and Redis among "
    "them): full disks, a clock that went back, a bad link"
)
NODE_POSTMORTEM = (
    f'post-mortem {NODE} ("Kubernetes集群运维踩坑记录", pitfalls met while running Kubernetes clusters, 27 August 2018;'
    " Kubernetes 1.9, Docker 1.12): nodes that ran out, filled up and were renamed"
)
CONTROL_PLANE_POSTMORTEM = (
    f'post-mortem {CONTROL_PLANE} ("记一次 k8s 集群单点故障引发的血案", a disaster from a single point of failure in a '
    "cluster; Kubernetes 1.3, later 1.5): the only control-plane machine died"
)
PLEG_POSTMORTEM = (
    f"post-mortem {PLEG} (OPPO Internet Technology, log of a 5 November; nodes of a load-test cluster went NotReady; "
    "Kubernetes 1.12.10): maxPods=600 and pods churned in bulk"
)
VOLUME_POSTMORTEM = (
    f"post-mortem {VOLUME} (bigwhite (Tony Bai), February 2017; in-tree RBD volumes): a Deployment's new pod never got "
    "the old one's volume"
)


@cache
def incidents() -> tuple[Incident, ...]:
    """Every incident that there is, by id: the INCIDENTS of each subject's incident.py.

    Raises OrdealError where a subject has none, or two subjects have one of the same id.
    """
    found: dict[str, tuple[str, Incident]] = {}
    for name in subjects():
        for each in _of_subject(name):
            if each.id in found:
                raise OrdealError(
                    f"the incident {each.id!r} is in chaos/subjects/{found[each.id][0]} and in chaos/subjects/{name}: "
                    "give one of them another id"
                )
            found[each.id] = (name, each)
    return tuple(incident for _, (_, incident) in sorted(found.items()))


def subjects() -> tuple[str, ...]:
    """The names of the subjects: the folders of chaos/subjects."""
    path = import_module(SUBJECTS).__path__
    return tuple(sorted(each.name for each in pkgutil.iter_modules(path) if each.ispkg))


def _of_subject(name: str) -> tuple[Incident, ...]:
    if find_spec(f"{SUBJECTS}.{name}.incident") is None:
        raise OrdealError(
            f"chaos/subjects/{name} has no incident.py, which says what happened and what is claimed: add it, with "
            "INCIDENTS, or remove the folder"
        )
    declared = getattr(import_module(f"{SUBJECTS}.{name}.incident"), "INCIDENTS", ())
    if not declared:
        raise OrdealError(f"chaos/subjects/{name}/incident.py has no INCIDENTS: add it, a tuple of the subject's own")
    return tuple(declared)


def find(incident_id: str) -> Incident:
    """The incident of that id. Raises OrdealError that names those there are."""
    for incident in incidents():
        if incident.id == incident_id:
            return incident
    known = ", ".join(each.id for each in incidents())
    raise OrdealError(f"there is no incident {incident_id!r}; there are: {known}")
