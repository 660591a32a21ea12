"""Requests that are sent to pods which are gone."""

from chaos.judge.catalogue import Control, Incident, Sign

INCIDENTS = (
    Incident(
        id="ghost-endpoints",
        title="Requests fail while pods go: they are sent to servers that are there no more",
        level="MUST",
        claim=(
            "During a rolling update, a scale-down and a drain of a Service whose pods have a readiness probe and a "
            "preStop pause, no new connection MUST fail, by ClusterIP and by NodePort, also while the only endpoint of "
            "a node is terminating, and while one node's kube-proxy stands still for 5 s."
        ),
        story=(
            "A pod is told to end at the same time as it is taken out of its Service, and nobody waits for the one "
            "before the other. So for a moment traffic goes to a server that is gone: errors at each rollout. With "
            "externalTrafficPolicy Local a drain took away the only local endpoint, and all ingress of a node with it."
        ),
        source=(
            'Ravelin, "Kubernetes\' dirty endpoint secret and Ingress" (2019); DevOps Hof, "Kubernetes Load Balancer '
            'Configuration - Beware when draining nodes" (2019); KEP-1669, kubernetes/kubernetes pull request 97238'
        ),
        remedy=(
            "Let each pod that serves pause before it ends (lifecycle.preStop.sleep) for longer than a change of "
            "endpoints takes to reach every node, give it a terminationGracePeriodSeconds longer than that, and have "
            "its readiness probe answer meanwhile."
        ),
        recognise=(
            Sign("kubectl get endpointslices -o yaml", "conditions with terminating: true while requests fail"),
            Sign("the errors of whoever asks, by time", "refused or unanswered connections at each rollout"),
        ),
        versions=(
            "every version without a pause; before 1.26 (KEP-1669, ProxyTerminatingEndpoints, pull request 97238) "
            "terminating endpoints were sent nothing, also where there were no others"
        ),
        controls=(
            Control(
                "no-pause",
                "the pods have no preStop pause, and their server ends with SIGTERM",
                breaks="no-request-failed",
                because="endpoint-gone",
            ),
            Control(
                "no-bug",
                "the shipped kube-proxy under the mutant's name: nothing is found in it",
                breaks="mutants-killed",
                because="survived",
            ),
        ),
    ),
)
