"""The mutants: each a historical bug of Kubernetes as a few substitutions in one component's source."""

from dataclasses import dataclass

from chaos.errors import OrdealError

KUBELET, CONTROLLER_MANAGER, APISERVER = "kubelet", "kube-controller-manager", "kube-apiserver"


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


_KUBELET_GO = "k8s.io/kubernetes/pkg/kubelet/kubelet.go"
_PLEG_GO = "k8s.io/kubernetes/pkg/kubelet/pleg/generic.go"
_NODE_LIFECYCLE_GO = "k8s.io/kubernetes/pkg/controller/nodelifecycle/node_lifecycle_controller.go"
_EVICTION_GO = "k8s.io/kubernetes/pkg/kubelet/eviction/eviction_manager.go"
_DISRUPTION_GO = "k8s.io/kubernetes/pkg/controller/disruption/disruption.go"

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
            Substitution(_PLEG_GO, "metrics.PLEGDiscardEvents.Inc()", "g.eventChannel <- events[i]"),
            Substitution(
                _PLEG_GO,
                'g.logger.Error(nil, "Event channel is full, discard this relist() cycle event")',
                'g.logger.V(4).Info("Event channel was full")',
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
        "pleg-no-reinspection",
        KUBELET,
        25077,
        "a pod whose inspection failed once is not inspected again, and can be left Terminating for ever",
        incident="pleg-churn",
        killed_by="pods-converge",
        substitutions=(
            Substitution(
                _PLEG_GO,
                "needsReinspection[pid] = pod\n",
                "_ = pod\n",
                also=(("g.podsToReinspect.Store(pid, empty)\n", "_ = empty\n"),),
            ),
        ),
    ),
    Mutant(
        "evict-critical-pods",
        KUBELET,
        40655,
        "the eviction manager does not spare critical pods, such as kube-proxy",
        incident="imagefs-full",
        killed_by="critical-pods-stay",
        substitutions=(Substitution(_EVICTION_GO, "if kubelettypes.IsCriticalPod(pod) {", "if false {"),),
    ),
    Mutant(
        "min-reclaim-forgotten",
        KUBELET,
        99095,
        "image garbage collection ends it before the minimum is reclaimed: no pod is evicted, DiskPressure stays",
        incident="imagefs-full",
        killed_by="evicted-by-use",
        substitutions=(
            Substitution(
                _EVICTION_GO,
                "thresholds := thresholdsMet(m.config.Thresholds, observations, true)",
                "thresholds := thresholdsMet(m.config.Thresholds, observations, false)",
                also=(
                    (
                        "thresholds := thresholdsMet(logger, m.config.Thresholds, observations, true)",
                        "thresholds := thresholdsMet(logger, m.config.Thresholds, observations, false)",
                    ),
                ),
            ),
        ),
    ),
    Mutant(
        "stale-connections",
        KUBELET,
        95981,
        "the kubelet goes on using a dead connection to the API server until the kernel gives it up, after 15 min",
        incident="apiserver-node-loss",
        killed_by="kubelets-report-again",
        substitutions=(
            Substitution(
                "k8s.io/apimachinery/pkg/util/net/http.go",
                "t2.ReadIdleTimeout = time.Duration(readIdleTimeoutSeconds()) * time.Second",
                "t2.ReadIdleTimeout = 0 * time.Duration(readIdleTimeoutSeconds())",
            ),
        ),
    ),
    Mutant(
        "all-nodes-away-ignored",
        CONTROLLER_MANAGER,
        28897,
        "evictions do not stop, and taints are not taken back, when no node of any zone is Ready",
        incident="mass-termination",
        killed_by="taints-taken-back",
        substitutions=(
            Substitution(_NODE_LIFECYCLE_GO, "allAreFullyDisrupted := true\n", "allAreFullyDisrupted := false\n"),
        ),
    ),
    Mutant(
        "disrupted-zone-ignored",
        CONTROLLER_MANAGER,
        28897,
        "a zone of which most nodes are away is emptied at the rate of a healthy one",
        incident="mass-termination",
        killed_by="taints-within-rate-small-partial",
        substitutions=(
            Substitution(
                _NODE_LIFECYCLE_GO, "return notReadyNodes, statePartialDisruption", "return notReadyNodes, stateNormal"
            ),
        ),
    ),
    Mutant(
        "deletion-not-cancelled",
        CONTROLLER_MANAGER,
        93722,
        "a pod whose deletion is scheduled is deleted although its node came back, where another taint stays",
        incident="mass-termination",
        killed_by="nothing-terminated",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/controller/tainteviction/taint_eviction.go",
                "if minTolerationTime < 0 {\n",
                "if minTolerationTime < 0 {\n\t\treturn\n\t}\n\tif minTolerationTime < 0 {\n",
            ),
        ),
    ),
    Mutant(
        "tolerations-count-as-none",
        CONTROLLER_MANAGER,
        40355,
        "a toleration of some seconds counts as none: pods are deleted as soon as their node is tainted",
        incident="mass-termination",
        killed_by="tolerations-waited-out",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/controller/tainteviction/taint_eviction.go",
                "return time.Duration(minTolerationTime) * time.Second",
                "return 0 * time.Duration(minTolerationTime)",
            ),
        ),
    ),
    Mutant(
        "collector-waits",
        CONTROLLER_MANAGER,
        125796,
        "the garbage collector begins when every API could be listed, and never where one can't",
        incident="gc-stopped",
        killed_by="pods-of-deleted-go",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/controller/garbagecollector/garbagecollector.go",
                '"garbage collector", waitForStopOrTimeout(ctx.Done(), initialSyncTimeout), func() bool {',
                '"garbage collector", ctx.Done(), func() bool {',
            ),
            Substitution(
                "k8s.io/kubernetes/pkg/controller/garbagecollector/garbagecollector.go",
                'logger.Info("Garbage collector: not all resource monitors could be synced, proceeding anyways")',
                "return",
            ),
        ),
    ),
    Mutant(
        "not-ready-unpublished",
        CONTROLLER_MANAGER,
        84573,
        "publishNotReadyAddresses is not heeded: the pods of lost nodes leave the Service though they serve",
        incident="mass-termination",
        killed_by="outage-at-most",
        substitutions=(
            Substitution(
                "k8s.io/endpointslice/utils.go",
                "ready := service.Spec.PublishNotReadyAddresses || (serving && !terminating)",
                "ready := serving && !terminating",
            ),
        ),
    ),
    Mutant(
        "always-allow-ignored",
        APISERVER,
        113375,
        "a budget's unhealthyPodEvictionPolicy (KEP-3017) is not heeded: pods that crash are kept by a budget not met",
        incident="drain-blocked",
        killed_by="drained-in-time",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go",
                "*pdb.Spec.UnhealthyPodEvictionPolicy == policyv1.AlwaysAllow {",
                '*pdb.Spec.UnhealthyPodEvictionPolicy == "" {',
            ),
        ),
    ),
    Mutant(
        "evicted-pods-counted",
        CONTROLLER_MANAGER,
        36196,
        "a pod that was evicted counts as healthy until it is gone, so a budget allows the next eviction too soon",
        incident="drain-blocked",
        killed_by="no-budget-overdrawn",
        substitutions=(
            Substitution(
                _DISRUPTION_GO,
                "\t\t// Pod is being deleted.\n\t\tif pod.DeletionTimestamp != nil {\n",
                "\t\tif false {\n",
            ),
            Substitution(
                _DISRUPTION_GO,
                "; found && disruptionTime.Time.Add(DeletionTimeout).After(currentTime) {",
                "; found && disruptionTime.Time.After(currentTime) {",
            ),
        ),
    ),
    Mutant(
        "event-sizes-reckoned",
        APISERVER,
        133873,
        "the sizes of what has no watch cache, which is events, are reckoned from all of their keys for ever",
        incident="component-soak",
        killed_by="reads-do-not-grow",
        substitutions=(
            Substitution(
                "k8s.io/apiserver/pkg/storage/etcd3/store.go",
                "stats := newStatsCache(pathPrefix, nil)\n",
                "stats := newStatsCache(pathPrefix, s.getKeys)\n",
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
