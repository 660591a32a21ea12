"""A cluster is upgraded in place."""

from chaos.judge.catalogue import Control, Incident, Proof, ProvenBy, Sign

LEFT = "tests/integration/test_own_upgrade.py::test_a_node_that_is_left_without_its_kubelet_is_violated"

INCIDENTS = (
    Incident(
        id="in-place-upgrade",
        title="A cluster is upgraded in place while it serves, and the control plane's node dies in the middle",
        level="MUST",
        claim=(
            "When a cluster is upgraded in place with kubeadm, node by node, workloads MUST serve all the time, no pod "
            "MUST go but those of a drained node, by eviction, each node MUST be Ready in time with its new kubelet, "
            "and an upgrade that the death of the control plane's node cuts short MUST be done when it is run again."
        ),
        story=(
            "A busy cluster was upgraded in place from Kubernetes 1.23 to 1.24, and minutes later nothing in it could "
            "be reached. There is no way to downgrade. The site was away for 314 minutes, until the control plane had "
            "been restored from a backup."
        ),
        source=(
            'Reddit, "You Broke Reddit: The Pi-Day Outage" (14 March 2023); Kubernetes documentation, "Upgrading '
            'kubeadm clusters", with its "Recovering from a failure state"'
        ),
        remedy=(
            "Rehearse each step here before it is made there. Drain one node at a time, give each workload more than "
            "one replica and a PodDisruptionBudget, and wait until the node is Ready with its new kubelet before the "
            "next. Where kubeadm upgrade apply was cut short, run the same command again. Read the release notes for "
            "what the new kubelet refuses: from 1.35 on cgroup v1, unless failCgroupV1 is false in the ConfigMap "
            "kubelet-config."
        ),
        recognise=(
            Sign("kubectl get nodes", "SchedulingDisabled on several nodes at once, kubelets of two versions"),
            Sign(
                "kubectl get pods -n kube-system -l tier=control-plane "
                "-o custom-columns=POD:.metadata.name,IMAGE:.spec.containers[0].image",
                "components of two versions: an upgrade that was cut short",
            ),
            Sign("kubectl get pods -A --field-selector status.phase=Pending", "evicted pods that have no place to go"),
        ),
        versions="every version; kubeadm goes one minor version at a time, and never back",
        controls=(
            Control(
                "no-drain-order",
                "a workload of one replica, and all workers drained and upgraded at once: the pod has no place to go "
                "until the last of them is done",
                breaks="outage-at-most-2s",
                because="outage",
            ),
        ),
    ),
    Incident(
        id="own-upgrade",
        title="A cluster of your own is upgraded by your own tool while it serves",
        level="MUST",
        claim=(
            "When the owner of a cluster upgrades it by their own tool, workloads MUST serve all the time, a pod of "
            "ours MUST go only from a drained node, by eviction, and nobody's since its node was lost, each node MUST "
            "be Ready in time with its new kubelet, and pods that are asked for meanwhile MUST run."
        ),
        story=(
            "A busy cluster was upgraded in place from Kubernetes 1.23 to 1.24, and minutes later nothing in it could "
            "be reached: its network found its route reflectors by a label of the control plane's nodes, which the new "
            "version takes away. What a cluster has of its own, no rehearsal on another cluster shows."
        ),
        source=(
            'Reddit, "You Broke Reddit: The Pi-Day Outage" (14 March 2023); Kubernetes documentation, "Upgrade A '
            'Cluster" and "Safely Drain a Node"'
        ),
        remedy=(
            "Let the tool drain one node at a time by eviction, and wait until it is Ready with its new kubelet before "
            "the next; give each workload more than one replica and a PodDisruptionBudget. Rehearse on a copy of the "
            "cluster, made by the same tool."
        ),
        recognise=(
            Sign("kubectl get nodes", "SchedulingDisabled on several nodes at once, kubelets of two versions"),
            Sign(
                "kubectl get events -A --field-selector reason=TaintManagerEviction",
                "pods that were deleted because a node was away for too long",
            ),
        ),
        versions="every version",
        controls=(
            Control(
                "no-replica",
                "no command is run; our workload has no replica for 3 s, as where all of its nodes are drained at once",
                breaks="outage-at-most-2s",
                because="outage",
            ),
        ),
        proofs=(
            Proof(
                "only-drained-pods-evicted",
                ProvenBy.SABOTEUR,
                "tests/integration/test_own_upgrade.py::test_all_workers_at_once_is_violated_for_ours_and_for_theirs",
                "the owner's tool deletes the pods of the nodes that it drains",
            ),
            Proof("each-node-upgraded", ProvenBy.SABOTEUR, LEFT, "the owner's tool leaves a node without its kubelet"),
            Proof("new-pods-start", ProvenBy.SABOTEUR, LEFT, "the owner's tool leaves a node without its kubelet"),
        ),
    ),
)
