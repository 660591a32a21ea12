"""A volume for one node at a time is handed over, or stays locked."""

from chaos.judge.catalogue import VOLUME, VOLUME_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
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
        source=VOLUME_POSTMORTEM,
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
                also_breaks=("no-stale-lock",),
            ),
            Control(
                "no-fence",
                "nothing locks the volume and nothing attaches it: a RollingUpdate across nodes has two writers",
                breaks="at-most-one-writer",
                because="two-writers",
                also_breaks=("same-data",),
            ),
            Control(
                "unfenced-loss",
                "nothing locks the volume and nothing attaches it: when a node is lost, another pod writes while "
                "nobody knows whether the old one still does",
                breaks="nobody-takes-over",
                because="took-over",
            ),
        ),
        proofs=(Proof("nodes-ready-again", ProvenBy.SABOTEUR, "kubelet-stopped"),),
    ),
)
