"""One API that can't be listed, and all that controllers then leave lying about."""

from chaos.judge.catalogue import Control, Incident, KnownBug, Sign

INCIDENTS = (
    Incident(
        id="gc-stopped",
        title="One broken API stops the garbage collector for all",
        level="MUST",
        claim=(
            "When one API can't be listed, because its conversion webhook or its aggregated API server is away, and "
            "the controller manager is restarted while that is so, pods of a deleted Deployment MUST be gone within "
            "60 s, Jobs past their TTL MUST be gone, and quotas MUST be counted."
        ),
        story=(
            "The conversion webhook of one custom resource was gone, which nobody noticed. At the next restart of the "
            "controller manager the garbage collector waited for the cache of that resource, and never began: "
            "Deployments were deleted and their pods stayed, Jobs were never cleaned up, nodes filled."
        ),
        source=(
            "kubernetes/kubernetes issues 101078 (2021), 110720 (2022, Knative), 111354 (2022, cert-manager) and "
            "127105 (2024); pull request 125796. Of quotas: issues 90597 (2020), 96066 (2020), 133737 (2025)"
        ),
        remedy=(
            "Watch that every CRD with a conversion webhook and every APIService can be listed, and remove those whose "
            "server is gone (conversion strategy None, or the CRD, or the APIService). Upgrade to 1.32 or later: the "
            "collector no longer waits for what can't be listed. Quotas are counted again, and namespaces end, once "
            "every API can be listed."
        ),
        recognise=(
            Sign("kubectl get apiservices", "False in the column AVAILABLE"),
            Sign(
                "kubectl get --raw /apis/GROUP/VERSION/RESOURCE",
                "conversion webhook for ... failed",
            ),
            Sign("kubectl get pods -A", "pods whose ReplicaSet and Deployment are gone"),
            Sign(
                "kubectl get ns NAME -o jsonpath={.status.conditions}",
                "NamespaceDeletionContentFailure or NamespaceDeletionDiscoveryFailure",
            ),
            Sign("kubectl describe quota -A", "a quota without a used column, or one that never goes down"),
        ),
        versions=(
            "the garbage collector goes on without what can't be listed since 1.32 (pull request 125796). The quota "
            "controller still waits for it after a restart (issue 133737, open). While an API can't be discovered no "
            "namespace ends, which is documented; while a conversion fails none ends since 1.31, because the API "
            "server answers lists of that API from its watch cache alone (KEP-4568), and that is never filled"
        ),
        controls=(
            Control(
                "collector-off",
                "the controller manager runs without its garbage collector, as one does in which it waits for ever",
                breaks="pods-of-deleted-go",
                because="not-collected",
                also_breaks=("jobs-past-ttl-go",),
            ),
            Control(
                "inside",
                "the namespace that is deleted holds the object that can't be converted: it stays Terminating",
                breaks="namespace-ends",
                because="conversion-failed",
            ),
            Control(
                "any-namespace",
                "a namespace is deleted that holds no object of the API that can't be listed: it stays Terminating too",
                breaks="namespace-ends",
                because="list-refused",
            ),
            Control(
                "as-shipped-quotas",
                "quotas are looked at too: the quota controller of a restarted controller manager waits for the cache "
                "of the API that can't be listed",
                breaks="quotas-counted",
                because="not-counted",
                shipped=KnownBug("kubernetes/kubernetes#133737", since="1.15.0"),
            ),
            Control(
                "no-bug",
                "the shipped controller manager under the mutant's name: nothing is found in it",
                breaks="mutants-killed",
                because="survived",
            ),
            Control(
                "undiscovered",
                "a namespace is deleted while an API can't be discovered: it stays Terminating, whatever it holds",
                breaks="namespace-ends",
                because="discovery-failed",
            ),
        ),
    ),
)
