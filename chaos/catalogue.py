"""The incidents: what happened, what is claimed, which known-bad configurations must break the claim.

This is the one place that defines an incident; suites name it by id, `kube-ordeal list` prints it.
"""

from dataclasses import dataclass

from chaos.errors import OrdealError


@dataclass(frozen=True, slots=True)
class Control:
    """A known-bad configuration. The invariant `breaks` must be violated in it, with the reason code `because`."""

    id: str
    what: str
    breaks: str
    because: str


@dataclass(frozen=True, slots=True)
class Sign:
    """How the failure shows on a live cluster: a command, and what to look for in what it prints."""

    command: str
    look_for: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A published failure. `claim` is the promise in MUST words; `remedy` what a reader should do about it.

    `recognise`: what tells the failure on a live cluster, each a command and what to look for in what it prints.
    `versions`: which versions were affected and which have it mended. `postmortem`: the post-mortem that it is taken
    from, one of POSTMORTEMS; "" where it has another source.
    """

    id: str
    title: str
    level: str
    claim: str
    story: str
    source: str
    remedy: str
    controls: tuple[Control, ...]
    recognise: tuple["Sign", ...] = ()
    versions: str = ""
    postmortem: str = ""

    def control(self, control_id: str) -> Control:
        """The control of that id. Raises OrdealError that names those there are."""
        for control in self.controls:
            if control.id == control_id:
                return control
        known = ", ".join(c.id for c in self.controls) or "none"
        raise OrdealError(f"{self.id} has no control {control_id!r}; there are: {known}")


DATABASE, NODE, CONTROL_PLANE, PLEG, VOLUME = POSTMORTEMS = (
    "000_91f3449a640eb9ef",
    "001_212a703fcd7edcb3",
    "002_f6a8e22b632b599b",
    "003_48e4503f27ba239f",
    "004_41f5887823408c82",
)
CONTROL_PLANE_POSTMORTEM = (
    f"post-mortem {CONTROL_PLANE} (Kubernetes 1.3, later 1.5): the only control-plane machine died"
)
NODE_POSTMORTEM = f"post-mortem {NODE} (Kubernetes 1.9, Docker 1.12): nodes that ran out, filled up and were renamed"

DATABASE_POSTMORTEM = (
    f"post-mortem {DATABASE} (MySQL and Redis on Kubernetes): full disks, a clock that went back, a bad link"
)

INCIDENTS: tuple[Incident, ...] = (
    Incident(
        id="mass-termination",
        title="Every kubelet loses the API server, and the pods are terminated",
        level="MUST",
        claim=(
            "When kubelets lose the API server for longer than grace period and toleration, no pod of a disrupted zone "
            "MUST be deleted beyond the documented rates; when the network returns no container MUST restart and the "
            "Service MUST have answered throughout."
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
            ),
            Control(
                "rates-raised",
                "the controller manager runs with --node-eviction-rate=100 and --secondary-node-eviction-rate=100: "
                "nodes are tainted as fast as they go away",
                breaks="taints-within-rate-normal",
                because="beyond-rate",
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
    ),
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
            ),
            Control(
                "stale-connections",
                "a kubelet with the bug that pull request 95981 mended: a dead connection to the API server is used "
                "until the kernel gives it up, after 15 minutes (profile full)",
                breaks="kubelets-report-again",
                because="silent",
            ),
        ),
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
    ),
    Incident(
        id="stale-watch-cache",
        title="etcd is changed behind the API server, and watchers go on seeing what is gone",
        level="MUST",
        claim=(
            "When an object is edited in etcd, or etcd is restored from a snapshot, while the API server runs, "
            "watchers MUST see what is stored."
        ),
        story=(
            "To save the pods that were marked for deletion, their objects were set back in etcd by hand. It did not "
            "help: the API server's watch cache takes no object whose resourceVersion does not rise, so the kubelets "
            "still saw the deletion."
        ),
        source=CONTROL_PLANE_POSTMORTEM,
        postmortem=CONTROL_PLANE,
        remedy=(
            "Restore with `etcdutl snapshot restore --bump-revision N --mark-compacted`, or restart every API server "
            "and every controller after a restore."
        ),
        recognise=(
            Sign(
                "kubectl get pod POD -o jsonpath={.metadata.resourceVersion}",
                (
                    "a number above that of the restored etcd: etcdctl get / --prefix --limit=1 -w json shows its "
                    "revision in the header"
                ),
            ),
            Sign("kubectl get pods --watch", "nothing new, while etcdctl sees writes"),
        ),
        versions="every version of the API server; etcdutl has --bump-revision and --mark-compacted from etcd 3.6 on",
        controls=(
            Control(
                "no-bump",
                "the snapshot is restored without --bump-revision: revisions go back, and watches wait for a future "
                "that never says what was lost",
                breaks="watchers-see-restore-snapshot",
                because="stale",
            ),
        ),
    ),
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
        source=f"post-mortem {PLEG} (Kubernetes 1.12.10): maxPods=600 and pods churned in bulk",
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
            ),
        ),
    ),
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
            ),
            Control(
                "evict-critical-pods",
                "a kubelet with the bug that pull request 40655 mended: its eviction manager does not spare critical "
                "pods",
                breaks="critical-pods-stay",
                because="evicted",
            ),
        ),
    ),
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
            ),
            Control(
                "deaf-kube-proxy",
                "kube-proxy reaches its limit: its listeners for health and metrics end at the first accept that is "
                "refused (MultiListen in k8s.io/utils/net), and it has to be restarted to be reached again",
                breaks="daemons-not-restarted",
                because="restarted",
            ),
            Control(
                "dns-without-handles",
                "CoreDNS reaches its limit in every pod: it goes on answering over UDP, but takes no connection of the "
                "readiness probe, and after three of them the DNS Service has no endpoints",
                breaks="dns-answers",
                because="outage",
            ),
        ),
    ),
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
            ),
        ),
    ),
    Incident(
        id="node-preflight",
        title="What a node is made of, before any harm",
        level="SHOULD",
        claim=(
            "No node SHOULD be of a kernel, kubelet or runtime version that one of these incidents was due to; its "
            "daemons SHOULD be allowed the handles, and its kernel the inotify instances, that its pods will take; the "
            "nodes' clocks SHOULD agree."
        ),
        story=(
            "Several of the incidents needed nothing but an old version or a default limit, and could have been read "
            "off the nodes beforehand."
        ),
        source=NODE_POSTMORTEM,
        postmortem=NODE,
        remedy="Each finding names the incident that it would lead to: see that incident's remedy.",
        recognise=(
            Sign(
                "kubectl get nodes -o wide",
                "versions of kernel, kubelet and runtime against those that an incident names",
            ),
            Sign(
                "cat /proc/sys/fs/inotify/max_user_instances", "128, which is fewer than the pods that a node may have"
            ),
        ),
        versions="see the incident that a finding names",
        controls=(
            Control(
                "low-handle-limit",
                "containerd's soft limit of open files is lowered on one node",
                breaks="handle-limits",
                because="soft-limit",
            ),
        ),
    ),
    Incident(
        id="kmem-leak",
        title="Containers leave kernel memory behind",
        level="MUST",
        claim=(
            "Pods' kernel memory MUST NOT be limited on kernels that leak its accounting, and container starts MUST "
            "NOT leave kernel memory behind."
        ),
        story=(
            "Docker turned kernel memory accounting on for every container. Kernels before 4.9 leak it: after some "
            "weeks no container could be started, and the kernel said `SLUB: Unable to allocate memory on node -1`."
        ),
        source=NODE_POSTMORTEM,
        postmortem=NODE,
        remedy="Use Linux 4.9 or newer, and a runtime that does not set kernel memory limits (runc 1.0.0-rc94).",
        recognise=(
            Sign("dmesg | grep 'SLUB: Unable to allocate memory on node -1'", "one line is enough"),
            Sign(
                "grep -E 'Slab|SUnreclaim' /proc/meminfo",
                "unreclaimable slab that grows with each container start and never shrinks",
            ),
        ),
        versions="affected: Linux before 4.9 with kernel memory limits on (runc before 1.0.0-rc94)",
        controls=(
            Control(
                "leaking",
                "kernel memory is taken during the container starts and not given back, as by a leak",
                breaks="slab-does-not-grow",
                because="grows",
            ),
        ),
    ),
    Incident(
        id="storage-driver",
        title="A storage driver fills the disk",
        level="MUST",
        claim=(
            "The container runtime MUST NOT have fallen back to a loop-backed storage driver, and container starts "
            "MUST NOT leave files behind."
        ),
        story=(
            "A kernel upgrade took aufs away, and Docker fell back to devicemapper on loop-backed files without a "
            "word. It gave no space back, and the disk was full in two days."
        ),
        source=NODE_POSTMORTEM,
        postmortem=NODE,
        remedy="Name the storage driver (overlayfs) in the runtime's configuration, so that it fails instead.",
        recognise=(
            Sign(
                "docker info | grep -A1 'Storage Driver'; ctr plugins ls | grep snapshotter",
                "devicemapper with a loop file, where overlay was wanted",
            ),
            Sign("df -h", "the runtime's file system growing although no image was pulled"),
        ),
        versions=(
            "affected: Docker 1.12 after a kernel upgrade that took aufs away; runtimes that fall back without a word"
        ),
        controls=(
            Control(
                "leftovers",
                "files are left among the runtime's during the container starts, as by a driver that forgets layers",
                breaks="disk-does-not-grow",
                because="grows",
            ),
        ),
    ),
    Incident(
        id="mysql-binlog",
        title="Binary logs fill the node's disk, and the database's members are evicted",
        level="MUST",
        claim=(
            "When rows are written to a replicated MySQL for longer than it keeps binary logs, no member MUST be "
            "evicted or restarted, each one's use of its disk MUST stop growing, writers MUST be served, and every "
            "acknowledged row MUST be on every member."
        ),
        story=(
            "A replicated MySQL kept its data and its binary logs on the nodes' ephemeral storage, and no log expired. "
            'Under write load the disks filled up, the kubelets evicted members ("The node was low on resource: '
            'ephemeral-storage"), and when two of three were gone the group could not recover.'
        ),
        source=DATABASE_POSTMORTEM,
        postmortem=DATABASE,
        remedy=(
            "Give each member a volume (volumeClaimTemplates), so that its data outlives its pod and its use counts "
            "against nobody else's disk, and let binary logs expire: binlog_expire_logs_seconds=300, or what fits the "
            "volume at your rate of writes. Logs go at rotation only, so keep max_binlog_size well below the volume. "
            "A full volume is no way out: the server waits for room, and when a waiting commit is killed, as "
            "connectors "
            "do at their query timeout, binlog_error_action=ABORT_SERVER ends it, and again at each start."
        ),
        recognise=(
            Sign("kubectl get pods -A | grep Evicted", "members of the database among them"),
            Sign(
                "kubectl get events -A --field-selector reason=Evicted",
                '"The node was low on resource: ephemeral-storage", and how much the server used',
            ),
            Sign(
                "kubectl exec POD -- sh -c 'du -sh /var/lib/mysql; ls -l /var/lib/mysql/binlog.*'",
                "many binary logs of max_binlog_size, older than anybody needs",
            ),
            Sign(
                "mysql -e \"SHOW VARIABLES LIKE 'binlog_expire_logs_seconds'\"",
                "2592000, which is 30 days, or 0, which is for ever",
            ),
        ),
        versions=(
            "every version; binlog_expire_logs_seconds from MySQL 8.0.1 on (30 days by default from 8.0.11 on), "
            "before that expire_logs_days"
        ),
        controls=(
            Control(
                "ephemeral",
                "data on the ephemeral storage of a node whose disk is small, two of three members on it, and binary "
                "logs that are kept for ever",
                breaks="no-member-evicted",
                because="evicted",
            ),
            Control(
                "full-volume",
                "a volume that is too small for binary logs that are kept for ever, and clients that kill what takes "
                "too long: the server waits for room, ends when a commit is killed, and ends again at each start",
                breaks="no-container-restarted",
                because="restarted",
            ),
            Control(
                "rows-dropped",
                "a replica whose table's engine is BLACKHOLE: it acknowledges all that it is told, and keeps nothing",
                breaks="no-acknowledged-write-lost",
                because="lost",
            ),
        ),
    ),
    Incident(
        id="mysql-clock",
        title="A server's clock goes back, and the server ends",
        level="MUST",
        claim=(
            "When the clock of one server goes back by 1 s, 1 min or 1 h, and forward again, the server MUST stay up "
            "and serve, replication MUST go on, and no acknowledged row MUST be lost."
        ),
        story=(
            "A server's clock went back, and MySQL ended with the assertion `log0write.cc:1799: time_elapsed >= 0`: "
            "its log writer took the time of day for one that never goes back."
        ),
        source=DATABASE_POSTMORTEM,
        postmortem=DATABASE,
        remedy=(
            "Run MySQL 8.0.13 or newer. Let clocks be slewed, not stepped (chrony without makestep after the start). "
            "Write no liveness probe that compares clocks: it ends a server that is well."
        ),
        recognise=(
            Sign("kubectl logs POD --previous | grep 'time_elapsed >= 0'", "the assertion, just before the end"),
            Sign("kubectl get pods -A -o jsonpath='{..image}' | tr ' ' '\\n' | grep -E 'mysql.*:8.0.1[12]'", "a tag"),
            Sign("chronyc tracking; journalctl -u chrony | grep -i step", "a system clock that was stepped back"),
        ),
        versions="affected: MySQL 8.0.11 and 8.0.12; mended in 8.0.13",
        controls=(
            Control(
                "clock-probe",
                "a liveness probe that wants the server's clock to be its node's: the kubelet ends a server that is "
                "well",
                breaks="no-container-restarted",
                because="restarted",
            ),
            Control(
                "affected-version",
                "MySQL 8.0.11 or 8.0.12, where --ordeal-mysql-clock-image names such an image; without one it is not "
                "run",
                breaks="no-container-restarted",
                because="restarted",
            ),
            Control(
                "named-version",
                "a pod that names an image of MySQL 8.0.12, which is never pulled: the preflight must find it",
                breaks="server-version-not-affected",
                because="affected-version",
            ),
        ),
    ),
    Incident(
        id="rwo-volume-handover",
        title="A pod with a volume for one node moves, and the volume stays locked by the old node",
        level="MUST",
        claim=(
            "When a pod with an RWO volume has to move (update, drain, loss of its node), the new one MUST run with "
            "the same data within the stated time, or the old one MUST go on. There MUST never be two writers, and no "
            "lock and no VolumeAttachment MUST stay with a node that does not use the volume any more. While nobody "
            "has said that a lost node is out of service, nobody MUST take its volume over."
        ),
        story=(
            "A Deployment with one RWO Ceph RBD volume got a new image. The new pod landed on the other node and "
            'stayed in ContainerCreating: "rbd: image ... is locked by other nodes". The lock was that of the old '
            "node, which did not use the volume any more; a restart of its kubelet did not help."
        ),
        postmortem=VOLUME,
        source=(f"post-mortem {VOLUME} (in-tree RBD volumes): a Deployment's new pod never got the old one's volume"),
        remedy=(
            "Make sure that nobody writes any more, `rbd lock list IMAGE`, then `rbd lock remove IMAGE ID LOCKER`; the "
            "kubelet tries again within 2 min by itself. Give a workload with an RWO volume "
            "the strategy Recreate, or make it a StatefulSet: a RollingUpdate whose next pod lands on another node "
            "waits for ever, and one on the same node writes beside the old one (ReadWriteOncePod forbids that). Run a "
            "CSI driver that is attached (attachRequired), so that Kubernetes fences. When a node is lost: make sure "
            "that it is off, then `kubectl taint nodes NODE node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`, "
            "and take the taint away when it is back."
        ),
        recognise=(
            Sign(
                "kubectl get events -A --field-selector reason=FailedMount",
                "is locked by other nodes",
            ),
            Sign(
                "kubectl get events -A --field-selector reason=FailedAttachVolume",
                "Multi-Attach error: another node has the volume, as Kubernetes knows",
            ),
            Sign(
                "kubectl get volumeattachments; kubectl get pods -A -o wide",
                "a volume attached to a node on which no pod uses it",
            ),
            Sign("rbd lock list IMAGE", "kubelet_lock_magic_NODE of a node on which no pod uses the image"),
        ),
        versions=(
            "the lock: the in-tree RBD volumes, removed in Kubernetes 1.31, and any driver that locks; the "
            "out-of-service taint: from 1.24, stable from 1.28; without it a volume is detached from a lost node 6 min "
            "after its pod was deleted, with --disable-force-detach-on-timeout (1.30) never"
        ),
        controls=(
            Control(
                "lock-not-released",
                "a node keeps its lock when it gives the volume back: the new pods of a Deployment with Recreate and "
                "of a StatefulSet stay in ContainerCreating",
                breaks="running-again",
                because="locked",
            ),
            Control(
                "no-fence",
                "nothing locks the volume and nothing attaches it: a RollingUpdate across nodes has two writers",
                breaks="at-most-one-writer",
                because="two-writers",
            ),
        ),
    ),
    Incident(
        id="bad-link",
        title="One link between two nodes is bad, and a Redis cluster over it breaks",
        level="MUST",
        claim=(
            "No pair of nodes MUST stand out by throughput, loss or round-trip time, and one that does MUST be named "
            "before anything is trusted to it. When a link of a Redis cluster is slow and lossy, and when a node has "
            "none to the others for longer than cluster-node-timeout, no write that a replica has confirmed (WAIT 1) "
            "MUST be lost, and the cluster MUST be whole again soon after the link is."
        ),
        story=(
            "A Redis cluster under redis-benchmark broke again and again, and nothing was wrong with Redis: two of the "
            "virtual machines had a bad network between them, which only iperf3 between every pair of them showed."
        ),
        source=DATABASE_POSTMORTEM,
        postmortem=DATABASE,
        remedy=(
            "Measure every pair of nodes, not each node against one other, before you trust a cluster "
            "(suites/preflight), and move or replace the machine whose links stand out. Let Redis confirm what "
            "must not be lost: WAIT 1 "
            "after the writes, and min-replicas-to-write 1, so that a master that is cut off stops taking writes. A "
            "write that only the master has acknowledged is lost with it: Redis promises no more."
        ),
        recognise=(
            Sign(
                "iperf3 -c OTHER_NODE --length 150 --parallel 100 (from each node to each other)",
                "one pair far below all others, or with many retransmissions",
            ),
            Sign("redis-cli cluster nodes", "members marked fail? or fail, by some of the others only"),
            Sign(
                "redis-cli info replication", "master_link_status:down, or a replica whose lag or offset falls behind"
            ),
        ),
        versions="every version: the network was at fault",
        controls=(
            Control(
                "bad-pair",
                "one pair of nodes is throttled: the measurement must name it, and no other",
                breaks="links-alike",
                because="that-pair",
            ),
            Control(
                "loose-limit",
                "limits so loose that a throttled and lossy link is not found",
                breaks="bad-pair-found",
                because="missed",
            ),
            Control(
                "unconfirmed",
                "writes count as acknowledged without WAIT, and a master that is cut off goes on taking them until "
                "cluster-node-timeout (no min-replicas-to-write)",
                breaks="no-acknowledged-write-lost",
                because="lost",
            ),
        ),
    ),
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


def find(incident_id: str) -> Incident:
    """The incident of that id. Raises OrdealError that names those there are."""
    for incident in INCIDENTS:
        if incident.id == incident_id:
            return incident
    known = ", ".join(i.id for i in INCIDENTS)
    raise OrdealError(f"there is no incident {incident_id!r}; there are: {known}")
