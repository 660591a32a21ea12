"""A webhook that is away, and what may not wait for it."""

from chaos.judge.catalogue import Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="webhook-deadlock",
        title="An admission webhook is away, and neither nodes nor its own pods come back",
        level="MUST",
        claim=(
            "When the backend of an admission webhook is gone or slow, node leases MUST be renewed and nodes stay "
            "Ready, pods of the system, of nodes and the webhook's own MUST be admitted, so that it comes back by "
            "itself, its configuration MUST be open to changes, and a pod that another namespace lacks then MUST be "
            "replaced once the webhook is back: within 60 s, or as long again as it was away."
        ),
        story=(
            "A policy webhook was asked for everything, and could not be reached during an upgrade. Nodes could no "
            "longer report, were taken for broken and repaired again and again; what would have served the webhook "
            "could not be created either, because the webhook had to admit it."
        ),
        source=(
            'Jetstack, "How a simple admission webhook lead to a cluster outage" (2019); Kubernetes documentation, '
            "Admission Webhook Good Practices (kubernetes.io/docs/concepts/cluster-administration/"
            "admission-webhooks-good-practices); kubernetes/kubernetes pull requests 54727, 59840 and 116261"
        ),
        remedy=(
            "Give a webhook a namespaceSelector without kube-system, kube-node-lease and its own namespace, "
            "matchConditions without the group system:nodes, and a timeout of 2 s; ask it for no leases. To get out: "
            "delete its configuration, about which no webhook is ever asked."
        ),
        recognise=(
            Sign("kubectl get events -A --field-selector reason=FailedCreate", "failed calling webhook"),
            Sign(
                "kubectl get --raw /metrics | grep apiserver_admission_webhook_rejection_count",
                "calling_webhook_error, and rising",
            ),
            Sign(
                "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o yaml",
                "failurePolicy: Fail",
            ),
        ),
        versions="every version: it is what failurePolicy Fail is documented to do; matchConditions from 1.28 on",
        controls=(
            Control(
                "asks-for-all",
                "failurePolicy Fail for pods of all namespaces, and for leases of all but kube-system: nodes can't "
                "report, and its own pods need it",
                breaks="nodes-stay-ready",
                because="lease-refused",
                also_breaks=("system-pods-admitted", "webhook-comes-back"),
            ),
            Control(
                "asks-for-leaders",
                "it is asked for the leases of kube-system too: the controllers can't renew theirs and end themselves, "
                "and here nobody starts them again",
                breaks="replaced-once-back",
                because="not-replaced",
            ),
            Control(
                "no-bug",
                "the shipped API server under the names of the mutants of historical bugs: nothing is found in it",
                breaks="mutants-killed",
                because="survived",
            ),
        ),
        proofs=(
            Proof("way-out-stays", ProvenBy.MUTANT, "configurations-asked"),
            Proof("nodes-admitted", ProvenBy.MUTANT, "match-conditions-ignored"),
        ),
    ),
)
