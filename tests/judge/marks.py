"""What each promise is marked with, by its name: a mark that is lost changes what is asked of a promise, silently."""

from collections.abc import Iterator

from chaos.judge import load_all
from chaos.judge.base import Invariant, Recipe, bounded_figures, made_by, promises, stays_broken, unknown

FOR_GOOD = {
    "at_most_one_writer",
    "components_keep_running",
    "containers_kept",
    "cordoned_takes_none",
    "critical_pods_stay",
    "daemons_not_restarted",
    "does_not_end_itself",
    "existing_connections",
    "no_member_evicted",
    "no_pod_rejected",
    "nodes_admitted",
    "nodes_stay_ready",
    "nothing_terminated",
    "one_node_per_machine",
    "only_changed_pods_replaced",
    "only_endpoints_answer",
    "outage_at_most",
    "pods_stay_ready",
    "ready_throughout",
    "system_pods_admitted",
    "taints_within_rate",
    "terminations_within_rate",
    "udp_reaches_an_endpoint",
    "watched_service_answers",
    "way_out_stays",
}
BOUNDS = {
    "away_under_another_name": {"within_s": "after_s"},
    "changed_workload_follows": {"within_s": "took_s"},
    "changes_arrive_afterwards": {"within_s": "longest_s"},
    "clocks_agree": {"within_s": "spread_ms"},
    "containers_start": {"within_s": "slowest_s"},
    "crashed_starts_again": {"within_s": "longest_s"},
    "daemons_reached": {"within_s": "slowest_s"},
    "disk_does_not_grow": {"limit_bytes_per_200": "grown_bytes_per_200"},
    "disk_use_bounded": {"limit_bytes": "most_bytes"},
    "dns_answers": {"limit_s": "longest_outage_ms"},
    "drained_in_time": {"within_s": "drained_after_s"},
    "each_node_upgraded": {"within_s": "ready_s"},
    "endpoint_changes_arrive": {"within_s": "longest_s"},
    "endpoints_follow": {"within_s": "slowest_s"},
    "existing_connections": {"limit_s": "longest_outage_ms"},
    "goroutines_do_not_grow": {"limit_per_thousand": "per_thousand"},
    "health_says_so": {"within_s": "said_after_s"},
    "heap_does_not_grow": {"limit_kb_per_thousand": "kb_per_thousand"},
    "jobs_past_ttl_go": {"within_s": "done_after_s"},
    "kubelets_report_again": {"within_s": "report_s"},
    "namespace_ends": {"within_s": "done_after_s"},
    "new_pods_start": {"within_s": "slowest_s"},
    "node_stays_ready": {"back_within_s": "longest_not_ready_s"},
    "nodes_ready_again": {"within_s": "ready_s"},
    "nodes_upgraded": {"within_s": "ready_s"},
    "only_endpoints_answer": {"within_s": "last_answer_s"},
    "outage_at_most": {"limit_s": "longest_outage_ms"},
    "pleg_recovers": {"within_s": "recovered_s"},
    "pods_of_deleted_go": {"within_s": "done_after_s"},
    "pods_run_throughout": {"within_s": "slowest_s"},
    "pods_start": {"within_s": "slowest_s"},
    "pods_start_after_release": {"within_s": "slowest_s"},
    "pressure_clears": {"within_s": "cleared_s"},
    "pressure_reported": {"within_s": "pressure_s"},
    "quotas_counted": {"within_s": "done_after_s"},
    "reads_do_not_grow": {"limit_bytes_s_per_thousand": "bytes_s_per_thousand"},
    "ready_after_etcd": {"within_s": "ready_after_s"},
    "replaced_once_back": {"within_s": "replaced_after_s"},
    "running_again": {"within_s": "silence_s"},
    "runs_again": {"within_s": "ready_s"},
    "served_again_within": {"within_s": "longest_unserved_ms"},
    "slab_does_not_grow": {"limit_bytes_per_200": "grown_bytes_per_200"},
    "taints_taken_back": {"within_s": "taken_back_s"},
    "udp_reaches_an_endpoint": {"within_s": "longest_s"},
    "watched_service_answers": {"limit_s": "longest_outage_ms"},
    "watchers_see": {"within_s": "seen_after_s"},
    "webhook_comes_back": {"within_s": "back_after_s"},
    "whole_again_within": {"within_s": "longest_ms"},
}
JUDGES = {  # those that several subjects use, by the room that they are in
    "answered_throughout", "conforms_during", "disk_use_bounded", "existing_connections", "kubelets_report_again",
    "mutants_killed", "new_pods_start", "no_acknowledged_write_lost", "no_container_restarted", "no_member_evicted",
    "nodes_ready_again", "nothing_terminated", "outage_at_most", "ready_throughout", "same_pods",
    "served_again_within", "serves_before_harm", "still_conforms", "taints_taken_back", "taints_within_rate",
    "terminations_within_rate", "watched_service_answers",
}  # fmt: skip


def wrongly_marked(room: str) -> Iterator[str]:
    """What promises of a room of chaos are marked with that is not said here, or lack."""
    load_all()
    for name in promises():
        if not made_by(name).__module__.startswith(f"chaos.{room}."):
            continue
        if stays_broken(Invariant("", lambda _: unknown(""), Recipe(name, {}))) is not (name in FOR_GOOD):
            yield f"{name}: for good"
        if dict(bounded_figures(name)) != BOUNDS.get(name, {}):
            yield f"{name}: {dict(bounded_figures(name))}"
