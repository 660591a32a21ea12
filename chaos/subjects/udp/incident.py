"""A UDP client that keeps its port, and endpoints that move."""

from chaos.judge.catalogue import Control, Incident, KnownBug, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="udp-blackhole",
        title="A UDP client goes on being sent to a pod that is gone",
        level="MUST",
        claim=(
            "When the endpoints of a UDP Service move, or go to zero and come back, a client that keeps its source "
            "port MUST be answered by an endpoint of the Service within 5 s of there being one, and MUST NOT be "
            "answered by a pod that has been none for 5 s. Flows to its other ports MUST stay with their pods."
        ),
        story=(
            "Connection tracking remembers to which pod a UDP flow goes for as long as datagrams come. When a node "
            "with DNS servers failed, clients that used one port for all queries went on asking a pod that was gone, "
            "and names were no longer found. What kube-proxy does against it since 1.32 leaves out Services that have "
            "no endpoint left: their clients are sent to the last pod as long as they send."
        ),
        source=(
            "kubernetes/kubernetes issues 125467, 126130 (2024) and 139628 (2026); pull requests 127318, 139629 and "
            '141371; Preply, "DNS issues in Kubernetes. Public postmortem #1" (2020)'
        ),
        remedy=(
            "Watch that kube-proxy runs on each node and hears of changes. Have more than one endpoint of each UDP "
            "Service, and end a pod that is taken out of it; clients should take another port after a timeout. By "
            "hand, the entries of a Service go with conntrack -D -p udp --orig-dst ADDRESS."
        ),
        recognise=(
            Sign(
                "conntrack -L -p udp --orig-dst ADDRESS, on the client's node", "a reply's source that is no endpoint"
            ),
            Sign("kubectl get endpointslices -l kubernetes.io/service-name=SERVICE -o yaml", "the addresses there are"),
        ),
        versions=(
            "before 1.32 entries are cleaned by what changed, and some changes were missed; from 1.32 (pull request "
            "127318) by comparing, without Services that have no endpoint (139629) or are deleted (141371); both pull "
            "requests are merged, and in no version that is known"
        ),
        controls=(
            Control(
                "deaf-proxy",
                "kube-proxy of the client's node is stopped (SIGSTOP) while the pod that answers is lost",
                breaks="udp-reaches-an-endpoint",
                because="stale-entry",
            ),
            Control(
                "as-shipped-no-endpoint",
                "the only endpoint is taken out of the Service, and its pod runs on",
                breaks="only-endpoints-answer",
                because="stale-entry",
                shipped=KnownBug("kubernetes/kubernetes#139628", since="1.32.0"),
            ),
            Control(
                "as-shipped-deleted",
                "the Service is deleted, and its pods run on",
                breaks="only-endpoints-answer",
                because="stale-entry",
                shipped=KnownBug("kubernetes/kubernetes#141371", since="1.32.0"),
            ),
            Control(
                "deaf-to-labels",
                "kube-proxy of the client's node is stopped (SIGSTOP) while the pod that answers is taken out of the "
                "Service, and runs on",
                breaks="only-endpoints-answer",
                because="stale-entry",
                also_breaks=("udp-reaches-an-endpoint",),
            ),
            Control(
                "no-bug",
                "the shipped kube-proxy under the mutant's name: nothing is found in it",
                breaks="mutants-killed",
                because="survived",
            ),
        ),
        proofs=(Proof("flows-kept", ProvenBy.MUTANT, "conntrack-port-ignored"),),
    ),
)
