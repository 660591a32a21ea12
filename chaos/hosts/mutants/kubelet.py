"""Mutants of the kubelet."""

from chaos.hosts.mutants.mutant import Mutant, Substitution

KUBELET = "kubelet"
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
        "dollar-sign-cut",
        KUBELET,
        136325,
        "a letter of several bytes after a dollar sign is cut in a container's environment: what is left is no text",
        incident="aged-objects",
        killed_by="containers-start",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/third_party/forked/golang/expansion/expand.go",
                "r, size := utf8.DecodeRuneInString(input)\n",
                "r, size := utf8.DecodeRuneInString(input)\n\tr, size = rune(input[0]), 1\n",
            ),
        ),
    ),
)
