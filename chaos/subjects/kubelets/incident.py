"""Kubelets that are restarted, killed or replaced under running pods."""

from chaos.judge.catalogue import Control, Incident, KnownBug, Sign

INCIDENTS = (
    Incident(
        id="kubelet-restart",
        title="A kubelet is restarted, and pods that served are not Ready, refused or restarted",
        level="MUST",
        claim=(
            "When a node's kubelet is restarted or killed under running pods, no Ready pod MUST become not "
            "Ready, no container MUST be ended and no running pod MUST be refused, also when the API server is away "
            "for the first 20 s; and a container that crashes afterwards MUST be started again."
        ),
        story=(
            "A new kubelet knows what runs on its node, but not what the old one had found out. So pods with a "
            "readiness probe left their Services until they were probed again, on every node at each upgrade. Others "
            "were refused with NodeAffinity though they ran. From 1.30 to 1.31 the hash of a container's spec was "
            "computed from other fields, and each container was restarted. Beside a sidecar whose startup probe was "
            "not asked again a container that crashed was never started any more."
        ),
        source=(
            "kubernetes/kubernetes issues 100277 (2021), 129463 (2025), 124586 (2024), 129385 (2024); KEP-4781; pull "
            "requests 134445, 137146 (2026) and 124220"
        ),
        remedy=(
            "From 1.35 on a restarted kubelet keeps what pods were, unless the feature gate "
            "ChangeContainerStatusOnKubeletRestart is on. Before, restart one kubelet after the other, and let no "
            "Service depend on one node; what must stay Ready takes its readiness from a readiness gate that is kept "
            "outside of the kubelet. Labels that the affinity of running pods asks for are not to be taken from a "
            "node. Drain a node before its kubelet gets another minor version."
        ),
        recognise=(
            Sign("kubectl get pods -A --watch, while a kubelet is restarted", "pods that are 0/1 for some seconds"),
            Sign("kubectl get pods -A --field-selector status.phase=Failed", "pods with the status NodeAffinity"),
            Sign("kubectl get events -A --field-selector reason=Killing", "definition changed, will be restarted"),
        ),
        versions=(
            "readiness is forgotten in every version before 1.35; the hash: 1.31, against containers of an older "
            "version; sidecars: 1.35.0, mended in a later 1.35; the label of a node: every version"
        ),
        controls=(
            Control(
                "as-shipped",
                "readiness is what the kubelet's probes say, as in most clusters",
                breaks="pods-stay-ready",
                because="not-ready",
                shipped=KnownBug("kubernetes/kubernetes#100277", since="1.10.0", mended_in=("1.35.0",)),
            ),
            Control(
                "label-gone",
                "the label that a running pod's node affinity asks for is taken from the node before the restart",
                breaks="no-pod-rejected",
                because="node-affinity",
                also_breaks=("pods-stay-ready", "containers-kept"),
            ),
            Control(
                "runtime-stopped",
                "containerd is stopped (SIGSTOP) before the containers crash",
                breaks="crashed-starts-again",
                because="not-started",
            ),
        ),
    ),
)
