"""What a node must be made of, and what containers leave behind on it."""

from chaos.judge.catalogue import NODE, NODE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
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
            Control(
                "too-many-pods",
                "one kubelet takes sixty thousand pods (maxPods), and its node has inotify instances for some thousand",
                breaks="inotify-instances",
                because="too-few",
            ),
            Control(
                "strict-limits",
                "limits that nobody keeps: a kubelet of any version is affected, and clocks may differ by nothing",
                breaks="versions-not-affected",
                because="affected",
                also_breaks=("clocks-agree",),
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
        proofs=(Proof("no-kernel-memory-limit", ProvenBy.SABOTEUR, "node-misconfigured"),),
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
        proofs=(Proof("storage-driver-sound", ProvenBy.SABOTEUR, "node-misconfigured"),),
    ),
)
