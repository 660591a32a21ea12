"""What the API server's watch cache shows, against what etcd holds."""

from chaos.judge.catalogue import CONTROL_PLANE, CONTROL_PLANE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
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
        proofs=(Proof("watchers-see-edit-etcd-behind", ProvenBy.SABOTEUR, "apiserver-stalled"),),
    ),
)
