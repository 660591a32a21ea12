"""File handles of a node's daemons run out."""

from chaos.judge.catalogue import NODE, NODE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="nofile-exhausted",
        title="A daemon of a node runs out of file handles, and no new pod starts there",
        level="MUST",
        claim=(
            "A load of 1,100 more handles MUST NOT keep pods from starting. Where a daemon's limit is reached all the "
            "same, existing connections, new ones and DNS MUST go on, the failure MUST show in an event or a log, and "
            "after the release pods MUST start, and the daemon MUST be reached, without a restart."
        ),
        story=(
            "Docker ran with a limit of 1024 open files. Handles and sockets in TIME_WAIT used them up, and nothing "
            "new started on the nodes until the limits were raised to 102400."
        ),
        source=NODE_POSTMORTEM,
        postmortem=NODE,
        remedy=(
            "Give container runtime, kubelet and kube-proxy LimitNOFILE=102400 or more, and watch process_open_fds "
            "against process_max_fds of each."
        ),
        recognise=(
            Sign("kubectl get events -A | grep 'too many open files'", "sandboxes that can't be made"),
            Sign(
                "ls /proc/$(pidof containerd)/fd | wc -l; grep 'open files' /proc/$(pidof containerd)/limits",
                "a number near the soft limit; the same for kubelet and kube-proxy",
            ),
            Sign("ss -s", "tens of thousands of sockets in timewait"),
        ),
        versions="every version with a soft limit of 1024; containerd's and systemd's shipped units set more",
        controls=(
            Control(
                "limit-1024",
                "the container runtime runs with the post-mortem's soft limit of 1024",
                breaks="pods-start",
                because="too-many-open-files",
                also_breaks=("handle-limit-not-reached",),
            ),
            Control(
                "deaf-kube-proxy",
                "kube-proxy reaches its limit: its listeners for health and metrics end at the first accept that is "
                "refused (MultiListen in k8s.io/utils/net), and it is deaf when it has handles again",
                breaks="daemons-reached",
                because="deaf",
            ),
            Control(
                "dns-without-handles",
                "CoreDNS reaches its limit in every pod: it goes on answering over UDP, but takes no connection of the "
                "readiness probe, and after three of them the DNS Service has no endpoints",
                breaks="dns-answers",
                because="outage",
            ),
        ),
        proofs=(
            Proof("existing-connections", ProvenBy.SABOTEUR, "containers-killed"),
            Proof("outage-at-most-2s", ProvenBy.SABOTEUR, "containers-killed"),
            Proof("ready-throughout", ProvenBy.SABOTEUR, "kubelet-stopped"),
            Proof("failure-shows", ProvenBy.SABOTEUR, "logs-silent"),
            Proof("daemons-not-restarted", ProvenBy.SABOTEUR, "kubelet-restarted"),
            Proof("pods-start-after-release", ProvenBy.SABOTEUR, "runtime-stalls"),
            Proof("new-pods-start", ProvenBy.SABOTEUR, "kubelet-stopped"),
        ),
    ),
)
