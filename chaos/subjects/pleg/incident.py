"""The kubelet's pod lifecycle event generator under mass churn."""

from chaos.judge.catalogue import PLEG, PLEG_POSTMORTEM, Control, Incident, Sign

INCIDENTS = (
    Incident(
        id="pleg-churn",
        title="Hundreds of pods come and go at once, and the kubelet's PLEG never comes back",
        level="MUST",
        claim=(
            "When all of a node's hundreds of pods are deleted at once and replaced, again and again, with "
            "maxPods=600, the node MUST be Ready throughout or again soon, its PLEG MUST be active within its "
            "threshold and quick again afterwards, and every pod MUST converge."
        ),
        story=(
            "maxPods was raised from 110 to 600, and pods were created and deleted in bulk. All nodes went NotReady: "
            '"PLEG is not healthy: pleg was last seen active 58h29m ago". A goroutine dump showed relist waiting for '
            "room in its event channel, which the sync loop no longer drained, because PLEG was not healthy."
        ),
        postmortem=PLEG,
        source=PLEG_POSTMORTEM,
        remedy=(
            "Run Kubernetes 1.14 or newer (pull request 72709: a full channel drops the event and counts "
            "kubelet_pleg_discard_events). Watch kubelet_pleg_last_seen_seconds, and take the kubelet's goroutine "
            "dump before you restart it."
        ),
        recognise=(
            Sign("kubectl describe node NODE | grep PLEG", '"PLEG is not healthy: pleg was last seen active ... ago"'),
            Sign(
                "kubectl get --raw /api/v1/nodes/NODE/proxy/metrics | grep kubelet_pleg",
                "kubelet_pleg_last_seen_seconds that stands still, or no answer at all",
            ),
            Sign(
                "kubectl get --raw '/api/v1/nodes/NODE/proxy/debug/pprof/goroutine?debug=2' | grep -i -A12 relist",
                "a goroutine of relist in state [chan send]",
            ),
        ),
        versions="affected: before 1.14; mended in 1.14 (pull request 72709)",
        controls=(
            Control(
                "runtime-stalled",
                "containerd is stopped (SIGSTOP) for longer than the threshold of PLEG: 3 min with the shipped "
                "kubelet, 5 s with the twin of the mutant",
                breaks="pleg-last-seen",
                because="stalled",
            ),
            Control(
                "blocking-send",
                "the mutant pleg-blocking-send: a kubelet whose relist waits for room in the event channel, as before "
                "pull request 72709",
                breaks="pleg-recovers",
                because="deadlock",
                also_breaks=("node-stays-ready", "pods-converge"),
            ),
        ),
    ),
)
