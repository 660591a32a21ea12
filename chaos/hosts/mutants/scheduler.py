"""Mutants of the scheduler."""

from chaos.hosts.mutants.mutant import Mutant, Substitution

SCHEDULER = "kube-scheduler"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "cordon-ignored",
        SCHEDULER,
        58689,
        "pods are put on nodes that were cordoned; then no taint told of it either",
        incident="drain-blocked",
        killed_by="cordoned-takes-none",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go",
                "if !podToleratesUnschedulable {",
                "if !podToleratesUnschedulable && false {",
            ),
            Substitution(
                "k8s.io/kubernetes/pkg/scheduler/framework/plugins/helper/taint.go",
                "return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute",
                "return t.Key != v1.TaintNodeUnschedulable &&\n"
                "\t\t\t(t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute)",
            ),
        ),
    ),
)
