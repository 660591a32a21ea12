"""A node's image file system fills up, and its kubelet evicts."""

from chaos.judge.catalogue import NODE, NODE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="imagefs-full",
        title="A node's image file system fills up, and the kubelet evicts",
        level="MUST",
        claim=(
            "When a worker's image file system, or its kubelet's, fills up past the eviction threshold, the kubelet "
            "MUST report the pressure and evict what uses most, MUST spare kube-proxy, the CNI agent and static pods, "
            "and Services MUST go on answering through that node; when the space is back the pressure MUST clear, and "
            "what was evicted MUST run again."
        ),
        story=(
            "The image file system was used past imagefs.available<25%, with a minimum reclaim of 5 %. The kubelet "
            "evicted all that it could, kube-proxy among it, and its replacements were refused while the pressure "
            "lasted: Services were dead on that node."
        ),
        source=NODE_POSTMORTEM,
        postmortem=NODE,
        remedy=(
            "Give kube-proxy, the CNI agent and whatever else a node can't be without the priority class "
            "system-node-critical: a kubelet spares only static pods and those of a system priority. Set thresholds "
            "and minimum reclaim so that images and evictable pods can satisfy them; where they can't, the kubelet "
            "evicts all that it may."
        ),
        recognise=(
            Sign(
                "kubectl get nodes -o custom-columns=NODE:.metadata.name,TAINTS:.spec.taints[*].key",
                "node.kubernetes.io/disk-pressure",
            ),
            Sign(
                "kubectl get pods -A --field-selector status.phase=Failed -o wide | grep Evicted",
                "kube-proxy or the CNI agent among the evicted",
            ),
            Sign("journalctl -u kubelet | grep eviction_manager", '"pods ranked for eviction", and what was evicted'),
            Sign(
                "df -h /var/lib/containerd /var/lib/kubelet",
                "less free than the thresholds in /var/lib/kubelet/config.yaml",
            ),
        ),
        versions=(
            "affected: clusters whose kube-proxy or CNI agent lacks a system priority class; critical pods "
            "are spared from 1.6 on (pull request 40655)"
        ),
        controls=(
            Control(
                "no-priority",
                "kube-proxy without its priority class system-node-critical: it is evicted, its replacements are "
                "refused, and the Service is gone on that node as soon as its endpoints change",
                breaks="critical-pods-stay",
                because="evicted",
                also_breaks=("outage-at-most-2s",),
            ),
            Control(
                "evict-critical-pods",
                "a kubelet with the bug that pull request 40655 mended: its eviction manager does not spare critical "
                "pods",
                breaks="critical-pods-stay",
                because="evicted",
            ),
            Control(
                "no-threshold",
                "the kubelet has no threshold for the file system that fills up: it reports nothing, and evicts nobody",
                breaks="pressure-reported",
                because="not-reported",
                also_breaks=("evicted-by-use",),
            ),
            Control(
                "slow-transition",
                "evictionPressureTransitionPeriod is an hour: the pressure stays when the space is back",
                breaks="pressure-clears",
                because="stays",
                also_breaks=("runs-again-eater",),
            ),
        ),
        proofs=(
            Proof("nodes-ready-again", ProvenBy.SABOTEUR, "kubelet-stopped"),
            Proof("new-pods-start", ProvenBy.SABOTEUR, "kubelet-stopped"),
        ),
    ),
)
