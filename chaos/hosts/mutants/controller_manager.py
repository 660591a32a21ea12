"""Mutants of the controller manager."""

from chaos.hosts.mutants.mutant import Mutant, Substitution

CONTROLLER_MANAGER = "kube-controller-manager"
_NODE_LIFECYCLE_GO = "k8s.io/kubernetes/pkg/controller/nodelifecycle/node_lifecycle_controller.go"
_DISRUPTION_GO = "k8s.io/kubernetes/pkg/controller/disruption/disruption.go"

MUTANTS: tuple[Mutant, ...] = (
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
        "background-not-cascading",
        CONTROLLER_MANAGER,
        44058,
        "what the garbage collector deletes leaves its own dependents behind: a deleted Deployment leaves its pods",
        incident="gc-stopped",
        killed_by="pods-of-deleted-go",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/controller/garbagecollector/garbagecollector.go",
                "policy = metav1.DeletePropagationBackground\n",
                "policy = metav1.DeletePropagationOrphan\n",
            ),
        ),
    ),
    Mutant(
        "ttl-ignored",
        CONTROLLER_MANAGER,
        66840,
        "a Job's ttlSecondsAfterFinished (KEP-592) is not heeded: Jobs that are over stay",
        incident="gc-stopped",
        killed_by="jobs-past-ttl-go",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/controller/ttlafterfinished/ttlafterfinished_controller.go",
                "if job.DeletionTimestamp != nil || !needsCleanup(job) {\n\t\treturn nil, nil",
                "if job.DeletionTimestamp != nil || !needsCleanup(job) || needsCleanup(job) {\n\t\treturn nil, nil",
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
)
