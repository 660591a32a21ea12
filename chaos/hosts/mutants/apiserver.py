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
    Mutant(
        "namespace-selector-ignored",
        APISERVER,
        54727,
        "a webhook's namespaceSelector is not heeded: it is asked about the system's pods and its own too",
        incident="webhook-deadlock",
        killed_by="system-pods-admitted",
        substitutions=(
            Substitution(
                "k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace/matcher.go",
                "if selector.Empty() {",
                "if selector.Empty() || !selector.Empty() {",
            ),
        ),
    ),
    Mutant(
        "configurations-asked",
        APISERVER,
        59840,
        "a webhook is asked about webhooks' configurations too: nobody can take away one whose backend is gone",
        incident="webhook-deadlock",
        killed_by="way-out-stays",
        substitutions=(
            Substitution(
                "k8s.io/apiserver/pkg/admission/plugin/webhook/generic/webhook.go",
                "if rules.IsExemptAdmissionConfigurationResource(attr) {",
                'if rules.IsExemptAdmissionConfigurationResource(attr) && attr.GetResource().Group == "" {',
            ),
        ),
    ),
    Mutant(
        "match-conditions-ignored",
        APISERVER,
        116261,
        "a webhook's matchConditions (KEP-3716) are not heeded: it is asked about what nodes do, too",
        incident="webhook-deadlock",
        killed_by="nodes-admitted",
        substitutions=(
            Substitution(
                "k8s.io/apiserver/pkg/admission/plugin/webhook/generic/webhook.go",
                "if len(matchConditions) > 0 {",
                "if len(matchConditions) > 0 && false {",
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
