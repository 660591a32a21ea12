"""Mutants of the API server."""

from chaos.hosts.mutants.mutant import Mutant, Substitution

APISERVER = "kube-apiserver"

MUTANTS: tuple[Mutant, ...] = (
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
)
