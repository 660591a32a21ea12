"""Zones of nodes that lose the API server: taints, evictions, and their limits."""

from chaos.judge.catalogue import CONTROL_PLANE, CONTROL_PLANE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="mass-termination",
        title="Every kubelet loses the API server, and the pods are terminated",
        level="MUST",
        claim=(
            "When kubelets lose the API server for longer than grace period and toleration, no pod of a disrupted zone "
            "MUST be deleted beyond the documented rates, or before what it tolerates is over; when the network "
            "returns no container MUST restart and the Service MUST have answered throughout."
        ),
        story=(
            "A new control plane saw every node down. After the eviction timeout it marked all pods for deletion while "
            "their containers still ran; when the old network came back the kubelets obeyed and killed everything."
        ),
        source=CONTROL_PLANE_POSTMORTEM,
        postmortem=CONTROL_PLANE,
        remedy=(
            "Give workloads that must survive tolerations for node.kubernetes.io/not-ready and /unreachable without "
            "tolerationSeconds, and publishNotReadyAddresses on their Services; keep the controller manager away from "
            "a control plane that the kubelets can't reach. --node-eviction-rate=0 is no protection: each zone's queue "
            "begins with one token, so one node is emptied after each start of the controller manager."
        ),
        recognise=(
            Sign(
                "kubectl get pods -A -o wide | grep Terminating",
                "hundreds of pods Terminating on nodes whose containers still run",
            ),
            Sign(
                "kubectl get nodes -o custom-columns=NODE:.metadata.name,TAINTS:.spec.taints[*].key",
                "node.kubernetes.io/unreachable on nodes that are up",
            ),
            Sign(
                "kubectl get events -A --field-selector reason=TaintManagerEviction",
                "deletions by the taint eviction controller, and their pace",
            ),
        ),
        versions=(
            "every version: taint-based eviction is as documented; the rates are per zone, and a cluster of "
            "one zone with few nodes never counts as disrupted"
        ),
        controls=(
            Control(
                "default-tolerations",
                "1 control plane and 2 workers, both workers cut off, pods with the default tolerations: the zone's "
                "state stays Normal, because the control-plane node counts, and the pods are deleted",
                breaks="nothing-terminated",
                because="taint-eviction",
                also_breaks=("outage-at-most-2s",),
            ),
            Control(
                "rates-raised",
                "the controller manager runs with --node-eviction-rate=100 and --secondary-node-eviction-rate=100: "
                "nodes are tainted as fast as they go away",
                breaks="taints-within-rate-normal",
                because="beyond-rate",
                also_breaks=(
                    "taints-within-rate-large-partial",
                    "taints-within-rate-full",
                    "taints-within-rate-small-partial",
                    "terminations-within-rate-normal",
                    "terminations-within-rate-large-partial",
                    "terminations-within-rate-full",
                    "terminations-within-rate-small-partial",
                ),
            ),
            Control(
                "no-protection",
                "1 control plane and 2 workers, default tolerations, default rates: nothing protects the pods, and "
                "they are deleted each time",
                breaks="protection-holds",
                because="taint-eviction",
            ),
            Control(
                "no-bug",
                "the shipped controller manager under the names of the mutants of historical bugs: nothing is found "
                "in it",
                breaks="mutants-killed",
                because="survived",
            ),
        ),
        proofs=(
            Proof("no-container-restarted", ProvenBy.SABOTEUR, "containers-killed"),
            Proof("nodes-ready-again", ProvenBy.SABOTEUR, "kubelet-stopped"),
            Proof("taints-taken-back", ProvenBy.MUTANT, "all-nodes-away-ignored"),
            Proof("tolerations-waited-out", ProvenBy.MUTANT, "tolerations-count-as-none"),
        ),
    ),
)
