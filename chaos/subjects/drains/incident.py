"""A drain that a budget stops."""

from chaos.judge.catalogue import Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="drain-blocked",
        title="A drain never ends: a budget keeps pods that are broken anyway, and nodes stay cordoned",
        level="MUST",
        claim=(
            "When a node is drained, the drain MUST be over within the stated time, or the budget that stops it MUST "
            "be named; pods that are not healthy MUST NOT stop it, no budget MUST be overdrawn, never more than one "
            "node MUST be cordoned and waiting, and no pod MUST be put on it meanwhile."
        ),
        story=(
            "Upgrades hung because a PodDisruptionBudget allowed no disruption, often for pods that crashed and served "
            "nobody. Tools went on to the next node, and more and more of them stayed cordoned, until no pod found a "
            "place."
        ),
        source=(
            'kubernetes/kubernetes issues 72320 "CrashLoopBackoff Pod cannot be evicted because of '
            'PodDisruptionBudget" (2018 and later) and 58648 (pods put on cordoned nodes, 2018); scality/metalk8s '
            "issue 2530 (2020), rancher/system-upgrade-controller issue 78 (2020), kube-hetzner issue 1507 (2024)"
        ),
        remedy=(
            "Set unhealthyPodEvictionPolicy: AlwaysAllow in budgets (KEP-3017, stable from Kubernetes 1.31 on), give "
            "each workload one replica more than its budget keeps, never two budgets to one pod, and let upgrades stop "
            "at the first node whose drain does not end. Alert where a budget's disruptionsAllowed is 0 for hours."
        ),
        recognise=(
            Sign("kubectl get pdb -A", "ALLOWED DISRUPTIONS of 0, on days without a rollout"),
            Sign("kubectl get nodes", "more than one node with SchedulingDisabled"),
            Sign(
                "kubectl get --raw /metrics | grep 'apiserver_request_total.*code=\"429\".*eviction'",
                "a count that rises while a drain goes on",
            ),
        ),
        versions=(
            "every version: a budget is asked as it is documented; unhealthyPodEvictionPolicy is there from 1.26 on, "
            "and without it pods that are not Ready are kept by a budget that is not met"
        ),
        controls=(
            Control(
                "unhealthy-counted",
                "crashing pods under a budget of the default policy, IfHealthyBudget: it is not met, and keeps them",
                breaks="drained-in-time",
                because="budget-of-unhealthy",
            ),
            Control(
                "no-budget-left",
                "one replica of which a budget keeps one, and three of which it keeps 100 %",
                breaks="drained-in-time",
                because="no-budget-left",
            ),
            Control(
                "two-budgets",
                "two budgets for the same pods: the API server evicts none of them, and does not say which two",
                breaks="blocker-named",
                because="no-name",
                also_breaks=("drained-in-time",),
            ),
            Control(
                "finalizer-stays",
                "a pod with a finalizer, which nobody takes off: it is evicted and never gone",
                breaks="drained-in-time",
                because="pod-stays",
            ),
            Control(
                "goes-on",
                "a drain that is blocked is given up, and the next node is cordoned beside the first",
                breaks="one-node-waits",
                because="two-cordoned",
            ),
            Control(
                "no-bug",
                "the shipped programs under the names of the mutants of historical bugs: nothing is found in them",
                breaks="mutants-killed",
                because="survived",
            ),
        ),
        proofs=(
            Proof("no-budget-overdrawn", ProvenBy.MUTANT, "evicted-pods-counted"),
            Proof("cordoned-takes-none", ProvenBy.MUTANT, "cordon-ignored"),
        ),
    ),
)
