"""The hardened replays that are run with the saboteurs that break their promises."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sabotaged:
    """A hardened replay that is run with saboteurs: its suite below suites/, as pytest names it, on a kind of cluster.

    What they break is in the catalogue: each promise that a proof of theirs names, and that this replay is judged by.
    """

    incident: str
    test: str
    saboteurs: tuple[str, ...]
    cluster: str = "kind"


REPLAYS = (
    Sabotaged(
        "apiserver-node-loss",
        "control_plane/test_apiserver_node_loss.py::test_the_control_plane_comes_back_at_its_address",
        ("containers-killed",),
    ),
    Sabotaged(
        "bad-link",
        "network/test_bad_link_redis.py::test_redis_keeps_what_replicas_have_confirmed",
        ("stores-stalled",),
    ),
    Sabotaged(
        "hostname-change",
        "node/test_hostname_change.py::test_a_kubelet_may_register_no_name_but_its_own",
        ("fault-lies", "containers-killed", "pod-deleted", "kubelet-stopped"),
    ),
    Sabotaged("imagefs-full", "node/test_imagefs_full.py::test_a_full_kubelet_file_system", ("kubelet-stopped",)),
    Sabotaged(
        "kmem-leak",
        "preflight/test_kmem_leak.py::test_containers_leave_no_kernel_memory_behind",
        ("node-misconfigured",),
    ),
    Sabotaged(
        "mass-termination",
        "control_plane/test_mass_termination.py::test_nodes_that_lose_the_apiserver_keep_their_pods",
        ("containers-killed", "kubelet-stopped"),
    ),
    Sabotaged(
        "mysql-clock",
        "database/test_mysql_clock.py::test_a_server_outlives_its_clock_going_back",
        ("fault-lies", "rows-deleted"),
    ),
    Sabotaged(
        "new-control-plane",
        "control_plane/test_new_control_plane.py::test_a_control_plane_that_kubelets_cannot_reach_deletes_nothing",
        ("containers-killed", "kubelet-stopped"),
    ),
    Sabotaged(
        "nofile-exhausted",
        "node/test_nofile_exhausted.py::test_what_goes_on_while_a_daemon_has_no_handles",
        ("containers-killed", "kubelet-restarted", "logs-silent", "runtime-stalls", "kubelet-stopped"),
    ),
    Sabotaged(
        "rwo-volume-handover",
        "storage/test_rwo_volume_handover.py::test_a_lost_nodes_volume_waits_for_the_fence",
        ("kubelet-stopped",),
    ),
    Sabotaged(
        "stale-watch-cache",
        "control_plane/test_stale_watch_cache.py::test_watchers_see_an_object_that_was_edited_in_etcd",
        ("apiserver-stalled",),
        "simulated",
    ),
    Sabotaged(
        "storage-driver",
        "preflight/test_storage_driver.py::test_containers_leave_no_files_behind",
        ("node-misconfigured",),
    ),
)
