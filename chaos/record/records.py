"""The records that the framework itself makes: what the recorder, the injector, the lab and the clients have seen.

A record is one thing that was seen, `at` seconds after its history began, on the monotonic clock. What a subject alone
sees is a record of the subject's own, in its `records.py`; `chaos.record.registry` says what a record has to have.
"""

from typing import Annotated, ClassVar, Final, Literal

import msgspec

from chaos.record.registry import Seconds, record

# The Sample that a recorder writes about each of its sources ("watch:pods"): 1 where it has seen all that had happened
# until `at`, 0 where it could not make sure. Without a 1 at the end of what is judged, nothing can be called held.
IN_SYNC = "recorder-in-sync"
MOST = 2**53  # of what is counted: a number that every reader of JSON takes exactly
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Number = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
Range = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}(-[0-9]{1,15})?\Z")]
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


@record
class NodeChange(msgspec.Struct, frozen=True, gc=False):
    """A node as the API showed it; `change` is added, modified, deleted or listed (the first sight in a list)."""

    kind: ClassVar[str] = "node"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    name: str
    change: str
    ready: str  # "True", "False" or "Unknown"
    taints: tuple[str, ...] = ()  # "key:Effect"
    zone: str = ""
    address: str = ""
    unschedulable: bool = False
    resource_version: str = ""
    pressures: tuple[str, ...] = ()  # the conditions that are true of DiskPressure, MemoryPressure, PIDPressure
    kubelet: str = ""  # its version as the node reports it, "v1.34.4"
    control_plane: bool = False  # by its label

    @property
    def object(self) -> str:
        return self.name


@record
class PodChange(msgspec.Struct, frozen=True, gc=False):
    """A pod as the API showed it. `deleting` is true from the deletion timestamp on, `change` "deleted" ends it.

    `containers` holds the running containers' ids: a restart shows as another id even where a counter was lost.
    """

    kind: ClassVar[str] = "pod"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    namespace: str
    name: str
    uid: str
    change: str
    workload: str = ""  # label kube-ordeal/workload
    phase: str = ""
    node: str = ""
    ready: bool = False
    deleting: bool = False
    restarts: Count = 0
    containers: tuple[str, ...] = ()
    reason: str = ""  # status.reason, or the DisruptionTarget condition's reason
    resource_version: str = ""

    @property
    def object(self) -> str:
        return f"{self.namespace}/{self.name}"


@record
class ClusterEvent(msgspec.Struct, frozen=True, gc=False):
    """A Kubernetes Event; `regarding` is "Kind/namespace/name"."""

    kind: ClassVar[str] = "event"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "message"
    at: Seconds
    regarding: str
    reason: str
    message: str
    type: str = "Normal"
    count: Count = 1
    resource_version: str = ""

    @property
    def object(self) -> str:
        return self.regarding


@record
class Probe(msgspec.Struct, frozen=True, gc=False):
    """One request to a Service, sent `at` from `node`'s own network.

    `target`: our own Service's name, which has no slash; with one it is a Service of the user's that is watched beside,
    as `--ordeal-watch-service` names it: promises about ours look at none of its probes.
    """

    kind: ClassVar[str] = "probe"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "error"
    at: Seconds
    node: str
    target: str
    ok: bool
    took_s: Seconds
    answered_by: str = ""
    error: str = ""

    @property
    def object(self) -> str:
        return f"{self.node}->{self.target}"

    @property
    def watched(self) -> bool:
        """Whether it is of a Service of the user's own."""
        return is_watched(self.target)

    @property
    def timed_out(self) -> bool:
        """Whether nothing came back at all, as chaos.record.prober says it."""
        return self.error.startswith("no answer")


def is_watched(target: str | None) -> bool:
    """Whether a probe's target is a Service of the user's own."""
    return target is not None and "/" in target


def probed_from(node: str, target: str | None) -> str:
    """The source that a Blind names while no probe of that target comes from a node."""
    return f"watched:{target} from {node}" if is_watched(target) else f"probe:{node}"


@record
class Sample(msgspec.Struct, frozen=True, gc=False):
    """A number measured `at`: what it is, of whom, how much. The name says the unit."""

    kind: ClassVar[str] = "sample"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    name: str
    subject: str
    value: float | Whole  # read from disk as it was written: a count stays a count

    @property
    def object(self) -> str:
        return self.subject


@record
class ProcessorWait(msgspec.Struct, frozen=True, gc=False):
    """For how long a pod's processes, or a prober, have waited for a processor, summed until `at`.

    `who`: "namespace/name", or "node->target". `uid`: the pod's, or waited_by. It grew since the record before, of the
    same uid, and at no other time.
    """

    kind: ClassVar[str] = "processor-wait"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    who: str
    uid: str
    waited_s: Seconds

    @property
    def object(self) -> str:
        return self.who


def waited_by(node: str, target: str) -> str:
    """The uid of a ProcessorWait of what probes that target from a node."""
    return f"prober:{node}->{target}"


@record
class Observation(msgspec.Struct, frozen=True, gc=False):
    """Something that was seen and is told to people, as it is: what it is, of whom, what was seen.

    What a promise has to take apart is no Observation, but a record with fields.
    """

    kind: ClassVar[str] = "observation"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "seen"
    at: Seconds
    name: str
    subject: str
    seen: str

    @property
    def object(self) -> str:
        return self.subject

    def told(self) -> str:
        return self.seen


@record
class FaultStep(msgspec.Struct, frozen=True, gc=False):
    """A step in a fault's life: planned, applied, landed, not-landed, undoing, undone, not-undone."""

    kind: ClassVar[str] = "fault"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "detail"
    at: Seconds
    fault: str
    step: str
    detail: str = ""

    @property
    def object(self) -> str:
        return self.fault


# What a look at harm says.
THERE: Final = "there"
GONE: Final = "gone"
UNSEEN: Final = "unseen"


@record
class HarmLook(msgspec.Struct, frozen=True, gc=False):
    """A look at harm that is meant to last, answered `at`: it was there, gone, or nobody could see it, and `why`.

    `injection` tells harm of one kind apart: the number of its entry in the run's journal.
    """

    kind: ClassVar[str] = "harm-look"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "why"
    at: Seconds
    fault: str
    injection: Count
    seen: Literal["there", "gone", "unseen"]
    why: str = ""

    @property
    def object(self) -> str:
        return self.fault


@record
class Phase(msgspec.Struct, frozen=True, gc=False):
    """The run entered a phase: deploy, fault, hold, heal, recover, judge."""

    kind: ClassVar[str] = "phase"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "detail"
    at: Seconds
    name: str
    detail: str = ""

    @property
    def object(self) -> str:
        return self.name


@record
class Blind(msgspec.Struct, frozen=True, gc=False):
    """From `at` until `until` the recorder could not see `source` ("watch:pods", "probe:NODE"), and why.

    `complete` is true where a full list afterwards showed every object that came or went unseen (what was seen again
    is compared by uid and resource version), so that only the exact times inside the gap are unknown.
    """

    kind: ClassVar[str] = "blind"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "why"
    at: Seconds
    source: str
    until: Seconds
    why: str
    complete: bool = False

    @property
    def object(self) -> str:
        return self.source


@record
class Writes(msgspec.Struct, frozen=True, gc=False):
    """Writes of one client to a store, one after the other, with one outcome: the numbers `first` to `last`.

    A client gives its writes the numbers 1, 2, 3 ... and tries each once. `ok`: all were acknowledged; else none was,
    and whether the store has them all the same nobody can say. `at` is when the first was sent, and `took_s` later the
    last one's answer was there. A write that took longer than `chaos.writers.batches.SLOW_S` is a record of its own.
    """

    kind: ClassVar[str] = "writes"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "error"
    at: Seconds
    store: str
    client: str
    first: Number
    last: Number
    ok: bool
    took_s: Seconds
    error: str = ""

    @property
    def object(self) -> str:
        return f"{self.store}/{self.client}"

    @property
    def count(self) -> int:
        """How many writes there were."""
        return self.last - self.first + 1

    @property
    def until(self) -> float:
        """When it was over, in seconds since the history began."""
        return self.at + self.took_s


@record
class Stored(msgspec.Struct, frozen=True, gc=False):
    """A member of a store was read `at`, after the last write: which of a client's acknowledged numbers it lacks.

    `acknowledged` is how many it was compared with, `missing` are ranges such as "17-19" or "23". `behind`: it follows
    another member, and had not done yet all that this one had: what it lacks may still come.
    """

    kind: ClassVar[str] = "stored"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    store: str
    member: str
    client: str
    acknowledged: Count
    missing: tuple[Range, ...] = ()
    behind: bool = False

    @property
    def object(self) -> str:
        return f"{self.store}/{self.member}"


@record
class SpecRun(msgspec.Struct, frozen=True, gc=False):
    """A conformance spec was run, from `at` on, for `took_s` seconds.

    `round` is "before", "during" or "after" the harm; `spec` is upstream's whole text, or the name of a check of our
    own; `area` is upstream's special interest group. `state` is a state of `chaos.judge.conformance`, `message`
    what upstream says of a failure. `tries`: how often it was run until that state; passed on a retry is not passed.
    """

    kind: ClassVar[str] = "spec"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "message"
    at: Seconds
    round: str
    spec: str
    state: str
    took_s: Seconds
    area: str = ""
    message: str = ""
    tries: Count = 1

    @property
    def object(self) -> str:
        return self.spec

    @property
    def until(self) -> float:
        """When it was over, in seconds since the history began."""
        return self.at + self.took_s


@record
class KernelMemoryLimit(msgspec.Struct, frozen=True, gc=False):
    """The smallest limit of kernel memory that a node's pods have, in bytes; None where they have none."""

    kind: ClassVar[str] = "kernel-memory-limit"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    node: str
    limit_bytes: Count | None

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return "none" if self.limit_bytes is None else str(self.limit_bytes)

    @classmethod
    def of_observation(cls, old: Observation) -> "KernelMemoryLimit":
        return cls(old.at, old.subject, None if old.seen == "none" else int(old.seen))


@record
class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A fact of a node, such as "storage-driver", that could not be read, and why."""

    kind: ClassVar[str] = "unreadable"
    version: ClassVar[int] = 1
    said: ClassVar[str] = "why"
    at: Seconds
    node: str
    fact: str
    why: str

    @property
    def object(self) -> str:
        return f"{self.node}/{self.fact}"

    def told(self) -> str:
        return self.why

    @classmethod
    def of_observation(cls, old: Observation) -> "Unreadable":
        node, _, fact = old.subject.rpartition("/")
        return cls(old.at, node, fact, old.seen)


class Unread(msgspec.Struct, frozen=True, gc=False):
    """A record that this version can't read: of a kind that it does not know, or of another version of one.

    It is none that is registered: nothing is written so. `data` is its JSON.
    """

    kind: ClassVar[str] = "unread"
    version: ClassVar[int] = 1
    said: ClassVar[str] = ""
    at: Seconds
    named: str  # its kind
    of_version: int
    about: str
    data: str

    @property
    def object(self) -> str:
        return self.about

    def told(self) -> str:
        return self.data
