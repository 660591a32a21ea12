"""The mutants: each a historical bug of Kubernetes as a few substitutions in one component's source."""

from dataclasses import dataclass

from chaos.errors import OrdealError

KUBELET, CONTROLLER_MANAGER, PROXY, APISERVER = "kubelet", "kube-controller-manager", "kube-proxy", "kube-apiserver"


@dataclass(frozen=True, slots=True)
class Substitution:
    """One change of source: `old` must be exactly once in `file`, an import path with the file's name at its end."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug put back. `pull_request` is the one in kubernetes/kubernetes that had mended it, 0 for a twin.

    `incident` is the one whose suite must find it, `killed_by` the invariant that must then be violated. A `twin` has
    the same constants without the bug, and must pass: so it is the bug that is found, and not the constants.
    """

    name: str
    component: str
    pull_request: int
    what: str
    incident: str
    killed_by: str
    substitutions: tuple[Substitution, ...]
    twin: str = ""


_KUBELET_GO = "k8s.io/kubernetes/pkg/kubelet/kubelet.go"
_PLEG_GO = "k8s.io/kubernetes/pkg/kubelet/pleg/generic.go"
_EVICTION_GO = "k8s.io/kubernetes/pkg/kubelet/eviction/eviction_manager.go"

# On 2 cores the sync loop drains 1000 events faster than relist makes them: the deadlock of machines with hundreds of
# busy pods needs a smaller channel, and less time until PLEG counts as unhealthy, to be had with a few hundred.
PLEG_SCALED_THRESHOLD_S = 5.0
_PLEG_SCALED = (
    Substitution(_KUBELET_GO, "plegChannelCapacity = 1000\n", "plegChannelCapacity = 5\n"),
    Substitution(
        _KUBELET_GO, "genericPlegRelistThreshold = time.Minute * 3\n", "genericPlegRelistThreshold = time.Second * 5\n"
    ),
)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "pleg-blocking-send",
        KUBELET,
        72709,
        "relist waits for room in the event channel; the sync loop, which finds PLEG unhealthy, no longer drains it",
        incident="pleg-churn",
        killed_by="pleg-recovers",
        substitutions=(
            *_PLEG_SCALED,
            Substitution(
                _PLEG_GO,
                "\t\t\tselect {\n"
                "\t\t\tcase g.eventChannel <- events[i]:\n"
                "\t\t\tdefault:\n"
                "\t\t\t\tmetrics.PLEGDiscardEvents.Inc()\n"
                '\t\t\t\tg.logger.Error(nil, "Event channel is full, discard this relist() cycle event")\n'
                "\t\t\t}\n",
                "\t\t\tg.eventChannel <- events[i]\n",
            ),
        ),
        twin="pleg-scaled",
    ),
    Mutant(
        "pleg-scaled",
        KUBELET,
        0,
        "the twin of pleg-blocking-send: the same small channel and threshold, a full channel drops the event",
        incident="pleg-churn",
        killed_by="",
        substitutions=_PLEG_SCALED,
    ),
    Mutant(
        "evict-critical-pods",
        KUBELET,
        0,
        "the eviction manager does not spare critical pods",
        incident="imagefs-full",
        killed_by="",
        substitutions=(
            Substitution(
                _EVICTION_GO,
                '\tif kubelettypes.IsCriticalPod(pod) {\n\t\tklog.ErrorS(nil, "Eviction manager: cannot evict',
                '\tif false {\n\t\tklog.ErrorS(nil, "Eviction manager: cannot evict',
            ),
        ),
    ),
)


def find(name: str) -> Mutant:
    """The mutant of that name. Raises OrdealError that names those there are."""
    for mutant in MUTANTS:
        if mutant.name == name:
            return mutant
    raise OrdealError(f"there is no mutant {name!r}; there are: {', '.join(m.name for m in MUTANTS)}.")
