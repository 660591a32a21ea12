"""A node's hostname changes."""

from chaos.judge.catalogue import NODE, NODE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="hostname-change",
        title="A node's hostname changes, and its kubelet restarts under another name",
        level="MUST",
        claim=(
            "When a node's hostname changes and its kubelet restarts, no second Node with the same machine id, system "
            "UUID, provider id or address MUST appear, pods on the node MUST keep serving, and the node MUST be Ready "
            "again after the name is put back; with a pinned --hostname-override it MUST stay Ready throughout."
        ),
        story=(
            "The machines' hostnames were changed, and the kubelets registered themselves once more under the new "
            "names. Calico saw two nodes with one address, and the pod network broke."
        ),
        source=NODE_POSTMORTEM,
        postmortem=NODE,
        remedy=(
            "Pin the kubelet's name with --hostname-override, and let no kubelet have credentials that may register "
            "another Node than its own: node authorizer and NodeRestriction on, no kubelet in system:masters."
        ),
        recognise=(
            Sign(
                (
                    "kubectl get nodes -o "
                    ""
                    "custom-columns=NODE:.metadata.name,MACHINE:.status.nodeInfo.machineID,ADDRESS:.status.addresses[0].address"
                ),
                "one machine id or one address on two Nodes",
            ),
            Sign(
                "journalctl -u kubelet | grep -E 'can only access|is forbidden'",
                "the node authorizer refusing a Node of another name",
            ),
        ),
        versions=(
            "every version; clusters without the node authorizer and NodeRestriction (or kubelets in "
            "system:masters) get a second Node"
        ),
        controls=(
            Control(
                "free-registration",
                "the name is not pinned, and the kubelet's credentials may register a Node of any name",
                breaks="one-node-per-machine",
                because="duplicate",
                also_breaks=("existing-connections", "no-container-restarted"),
            ),
            Control(
                "not-pinned",
                "the name is not pinned where it is to outlive the hostname: the kubelet may register no other, and "
                "its node is away until the name is put back",
                breaks="ready-throughout",
                because="not-ready",
            ),
        ),
        proofs=(
            Proof("outage-at-most-2s", ProvenBy.SABOTEUR, "containers-killed"),
            Proof("nothing-terminated", ProvenBy.SABOTEUR, "pod-deleted"),
            Proof("new-pods-start", ProvenBy.SABOTEUR, "kubelet-stopped"),
            Proof("away-under-another-name", ProvenBy.SABOTEUR, "fault-lies"),
            Proof("nodes-ready-again", ProvenBy.SABOTEUR, "kubelet-stopped"),
        ),
    ),
)
