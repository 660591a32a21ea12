"""Mutants of kube-proxy."""

from chaos.hosts.mutants.mutant import Mutant, Substitution

PROXY = "kube-proxy"
_CONNTRACK_GO = "k8s.io/kubernetes/pkg/proxy/conntrack/cleanup.go"
_TOPOLOGY_GO = "k8s.io/kubernetes/pkg/proxy/topology.go"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "conntrack-port-ignored",
        PROXY,
        130484,
        "UDP flows to a Service's address are cut whatever their port is, where they go to no endpoint of one port",
        incident="udp-blackhole",
        killed_by="flows-kept",
        substitutions=(
            Substitution(_CONNTRACK_GO, "\t\tportStr := strconv.Itoa(svc.Port())\n", ""),
            *(
                Substitution(
                    _CONNTRACK_GO,
                    f"serviceIPEndpoints[net.JoinHostPort({address}.String(), portStr)] = endpoints",
                    f"serviceIPEndpoints[{address}.String()] = endpoints",
                )
                for address in ("svc.ClusterIP()", "loadBalancerIP", "externalIP")
            ),
            Substitution(_CONNTRACK_GO, "\t\torigPortDstStr := strconv.Itoa(origPortDst)\n", ""),
            Substitution(
                _CONNTRACK_GO,
                "serviceIPEndpoints[net.JoinHostPort(origDst, origPortDstStr)]",
                "serviceIPEndpoints[origDst]",
            ),
        ),
    ),
    Mutant(
        "conntrack-kept",
        PROXY,
        127318,
        "what connection tracking knows of UDP flows is not compared with the endpoints there are",
        incident="udp-blackhole",
        killed_by="udp-reaches-an-endpoint",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/proxy/iptables/proxier.go",
                "if endpointUpdateResult.ConntrackCleanupRequired {",
                "if false && endpointUpdateResult.ConntrackCleanupRequired {",
            ),
        ),
    ),
    Mutant(
        "terminating-ignored",
        PROXY,
        97238,
        "an endpoint that is terminating is sent nothing, also where there is no other one (KEP-1669)",
        incident="ghost-endpoints",
        killed_by="no-request-failed",
        substitutions=(
            Substitution(_TOPOLOGY_GO, "if len(clusterEndpoints) == 0 {", "if false {"),
            Substitution(_TOPOLOGY_GO, "} else if ep.IsServing() && ep.IsTerminating() {", "} else if false {"),
        ),
    ),
    Mutant(
        "last-change-counts",
        PROXY,
        109483,
        "rules that can't be written are counted from the newest change on, so as long as there are some all is well",
        incident="stale-proxy-rules",
        killed_by="health-says-so",
        substitutions=(
            Substitution(
                "k8s.io/kubernetes/pkg/proxy/healthcheck/proxy_health.go",
                "if _, set := hs.oldestPendingQueuedMap[ipFamily]; !set {\n\t\ths.",
                "{\n\t\ths.",
            ),
        ),
    ),
)
