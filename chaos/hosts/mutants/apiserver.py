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
    Mutant(
        "pages-from-etcd",
        APISERVER,
        132244,
        "the first page of a LIST is taken from etcd, although the watch cache could have served it",
        incident="stale-watch-cache",
        killed_by="pages-from-cache",
        substitutions=(
            Substitution(
                "k8s.io/apiserver/pkg/storage/cacher/delegator/interface.go",
                'if opts.ResourceVersion == "" {',
                'if opts.Predicate.Limit > 0 && opts.ResourceVersion == "" {\n'
                "\t\t\treturn Result{ShouldDelegate: true}, nil\n\t\t}\n"
                '\t\tif opts.ResourceVersion == "" {',
            ),
        ),
    ),
)
