"""What the API server's watch cache shows, against what etcd holds."""

from chaos.judge.catalogue import CONTROL_PLANE, CONTROL_PLANE_POSTMORTEM, Control, Incident, Proof, ProvenBy, Sign

INCIDENTS = (
    Incident(
        id="stale-watch-cache",
        title="etcd is changed behind the API server, and watchers go on seeing what is gone",
        level="MUST",
        claim=(
            "When an object is edited in etcd, or etcd is restored from a snapshot, while the API server runs, "
            "watchers MUST see what is stored; and the first page of a LIST MUST come from the watch cache where the "
            "whole does."
        ),
        story=(
            "To save the pods that were marked for deletion, their objects were set back in etcd by hand. It did not "
            "help: the API server's watch cache takes no object whose resourceVersion does not rise, so the kubelets "
            "still saw the deletion. The same cache keeps LISTs off etcd: with 1.33 those in pages, as most clients "
            "ask, went past it."
        ),
        source=f"{CONTROL_PLANE_POSTMORTEM}; kubernetes/kubernetes issue 132132 (LISTs in pages, 2025)",
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
            Sign(
                "kubectl get --raw /metrics | grep apiserver_cache_list_total",
                "a count that does not rise with `kubectl get`, which asks for pages of 500",
            ),
        ),
        versions=(
            "every version of the API server; etcdutl has --bump-revision and --mark-compacted from etcd 3.6 on; first "
            "pages are taken from etcd by 1.33.0 to 1.33.2 (issue 132132), and all LISTs without a resourceVersion up "
            "to 1.30"
        ),
        controls=(
            Control(
                "no-bump",
                "the snapshot is restored without --bump-revision: revisions go back, and watches wait for a future "
                "that never says what was lost",
                breaks="watchers-see-restore-snapshot",
                because="stale",
            ),
            Control(
                "pages-from-etcd",
                "an API server with the bug that pull request 132244 mended: the first page of a LIST is taken from "
                "etcd",
                breaks="pages-from-cache",
                because="from-etcd",
            ),
        ),
        proofs=(Proof("watchers-see-edit-etcd-behind", ProvenBy.SABOTEUR, "apiserver-stalled"),),
    ),
)
