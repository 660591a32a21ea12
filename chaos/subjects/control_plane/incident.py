"""The control plane's machine dies, or another takes its place."""

from chaos.judge.catalogue import CONTROL_PLANE, CONTROL_PLANE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="apiserver-node-loss",
        title="The control-plane node loses power and comes back",
        level="MUST",
        claim=(
            "When the control-plane node is killed, stays away past the eviction deadline and comes back, also with "
            "another IP address, workloads MUST serve all the time, nothing MUST be deleted or restarted, every node "
            "MUST be Ready again and a new pod MUST be able to start."
        ),
        story="The one machine with API server, controller manager and scheduler died, and was built anew elsewhere.",
        source=CONTROL_PLANE_POSTMORTEM,
        postmortem=CONTROL_PLANE,
        remedy="Let kubelets know the API server by a name or a load balancer's address that outlives the machine.",
        recognise=(
            Sign(
                "kubectl get leases -n kube-node-lease -o custom-columns=NODE:.metadata.name,RENEWED:.spec.renewTime",
                "leases that no kubelet renews although its machine is up",
            ),
            Sign(
                "journalctl -u kubelet | grep -E 'connection refused|no route to host|i/o timeout'",
                "the address of the API server that this kubelet knows",
            ),
            Sign(
                "grep server: /etc/kubernetes/kubelet.conf",
                "an IP address where a name or a load balancer's address should be",
            ),
        ),
        versions="every version",
        controls=(
            Control(
                "pinned-address",
                "the kubelets know the API server by its IP address, and it comes back with another one",
                breaks="kubelets-report-again",
                because="silent",
                also_breaks=("nothing-terminated", "outage-at-most-2s", "nodes-ready-again", "new-pods-start"),
            ),
            Control(
                "stale-connections",
                "a kubelet with the bug that pull request 95981 mended: a dead connection to the API server is used "
                "until the kernel gives it up, after 15 minutes (profile full)",
                breaks="kubelets-report-again",
                because="silent",
                also_breaks=("nothing-terminated", "nodes-ready-again", "new-pods-start"),
            ),
        ),
        proofs=(Proof("no-container-restarted", ProvenBy.SABOTEUR, "containers-killed"),),
    ),
    Incident(
        id="new-control-plane",
        title="A new control plane is built on the old etcd, and the kubelets do not know it",
        level="MUST",
        claim=(
            "When a second control plane is started on the same etcd, where the kubelets can't reach it, it MUST NOT "
            "mark their pods for deletion."
        ),
        story=(
            "The control-plane machine was gone, so a new one was built on its etcd. The kubelets knew only the old "
            "address: to the new controller manager every node was dead, and after the timeout it deleted all pods. "
            "Nothing happened, until the old network came back and the kubelets obeyed."
        ),
        source=CONTROL_PLANE_POSTMORTEM,
        postmortem=CONTROL_PLANE,
        remedy=(
            "Start the new controller manager with --controllers=*,-node-lifecycle-controller,"
            "-taint-eviction-controller (or not at all) until every kubelet reports to the new API server."
        ),
        recognise=(
            Sign("kubectl get nodes", "on the new control plane every node NotReady, on the old one Ready"),
            Sign("kubectl get pods -A | grep -c Terminating", "a number that rises while the containers still run"),
        ),
        versions=(
            "every version; before 1.29 taint eviction is part of node-lifecycle-controller and has no "
            "switch of its own (KEP-3902)"
        ),
        controls=(
            Control(
                "short-timers",
                "the second controller manager runs with node lifecycle and taint eviction, and its timers run out "
                "before the kubelets are pointed at it",
                breaks="nothing-terminated",
                because="taint-eviction",
            ),
        ),
        proofs=(
            Proof("nodes-ready-again", ProvenBy.SABOTEUR, "kubelet-stopped"),
            Proof("no-container-restarted", ProvenBy.SABOTEUR, "containers-killed"),
        ),
    ),
)
