"""A cluster still conforms after harm."""

from chaos.judge.catalogue import Control, Incident, Sign

INCIDENTS = (
    Incident(
        id="still-conforms",
        title="A cluster has been through harm and looks mended, but no longer conforms",
        level="MUST",
        claim=(
            "When a cluster's DNS is away and a node has no way to the other nodes' pods, and both are put right again,"
            " each of upstream's conformance specs that passed before MUST pass after."
        ),
        story=(
            "Conformance is tested once, on a cluster that nothing has happened to, and says nothing of "
            "the cluster that is left after an incident: one whose nodes are all Ready again, while names are not "
            "resolved or pods of one node reach nobody. --ordeal-conform asks it around any other incident; this one "
            "proves that the question can be answered with no."
        ),
        source=(
            "cncf/k8s-conformance, instructions.md (the tests are run once, against a new cluster); Kubernetes "
            'documentation, "Debugging DNS Resolution" and "Cluster Networking"'
        ),
        remedy=(
            "Run a few of upstream's specs after each incident (--ordeal-conform after), and all of them before you "
            "trust the cluster again. The results have each failed spec with upstream's own message and the logs of "
            "its pods: where names fail, look at CoreDNS; where pods of one node fail, look at its routes and its CNI "
            "agent."
        ),
        recognise=(
            Sign("kubectl get deployment -n kube-system coredns", "READY 0/0: nobody answers for names"),
            Sign("ip route get POD_ADDRESS, on the node", "unreachable, for a pod of another node"),
            Sign("kubectl get nodes", "every node Ready: neither of the two shows here"),
        ),
        versions="every version; a node is Ready by what its own kubelet says, which is asked neither names nor routes",
        controls=(
            Control(
                "no-dns",
                "CoreDNS is left without a replica when the specs are run again",
                breaks="still-conforms",
                because="no-longer-conforms",
            ),
            Control(
                "no-routes",
                "the first worker is left without routes to the other nodes' pods when the specs are run again",
                breaks="still-conforms",
                because="no-longer-conforms",
            ),
        ),
    ),
)
