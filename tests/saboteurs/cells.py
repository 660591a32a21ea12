"""Which replays each saboteur of a part is tried with, and where it has no part in one, and why."""

from dataclasses import dataclass

SIMULATED, KIND = "simulated", "kind"


@dataclass(frozen=True, slots=True)
class Column:
    """A hardened replay: its name in the table, its test below suites/, and the kind of cluster that it runs on."""

    name: str
    test: str
    cluster: str = SIMULATED

    @property
    def id(self) -> str:
        """As pytest names it."""
        return f"suites/{self.test}[{self.cluster}-hardened]"


_SMALL = "control_plane/test_mass_termination_simulated.py::test_a_small_cluster_keeps_its_pods"
_ZONES = "control_plane/test_mass_termination_simulated.py::test_zones_are_terminated_no_faster_than_documented"
_NEW = "control_plane/test_new_control_plane.py::test_a_control_plane_that_kubelets_cannot_reach_deletes_nothing"
_EDITED = "control_plane/test_stale_watch_cache.py::test_watchers_see_an_object_that_was_edited_in_etcd"
_RESTORED = "control_plane/test_stale_watch_cache.py::test_watchers_see_what_a_restored_snapshot_holds"
_CUT = "control_plane/test_mass_termination.py::test_nodes_that_lose_the_apiserver_keep_their_pods"

COLUMNS = (
    Column("small", _SMALL),
    Column("new-control-plane", _NEW),
    Column("edited", _EDITED),
    Column("restored", _RESTORED),
    Column("protections", "control_plane/test_protections.py::test_what_protects_a_small_cluster"),
    Column("zones", _ZONES),
    Column("cut-off", _CUT, KIND),
    Column("hostname", "node/test_hostname_change.py::test_a_kubelet_may_register_no_name_but_its_own", KIND),
    Column("new-control-plane-kind", _NEW, KIND),
    Column(
        "apiserver-node-loss",
        "control_plane/test_apiserver_node_loss.py::test_the_control_plane_comes_back_at_its_address",
        KIND,
    ),
)

_OF_SIMULATED = tuple(each.name for each in COLUMNS if each.cluster == SIMULATED)
_OF_NO_NODE = dict.fromkeys(
    ("new-control-plane", "edited", "restored", "new-control-plane-kind"), "its harm is meant for no node"
)
_NO_RECORDS = dict.fromkeys(("edited", "restored"), "no promise of it is about nodes, pods or events")
_NOT_SAMPLED = dict.fromkeys(
    ("small", "new-control-plane", "protections", "zones", "new-control-plane-kind"), "nothing is sampled in it"
)
_NOT_JUDGED = dict.fromkeys(("cut-off",), "no promise of it is about what is sampled")
_ALIKE = dict.fromkeys(("hostname",), "what is sampled stays the same in it, where it is held")

# By the saboteur and the replay's name. Where one is named it must end with the findings that it has undisturbed.
NO_PART = {
    "fault-hits-wrong-node": _OF_NO_NODE,
    "fault-harms-half-its-nodes": {**_OF_NO_NODE, **dict.fromkeys(("hostname", "apiserver-node-loss"), "one node")},
    "fault-half-done": dict.fromkeys(("small", "edited", "protections", "apiserver-node-loss"), "it is a single step"),
    "recorder-drops": _NO_RECORDS,
    "recorder-loses-lines": _NO_RECORDS,
    "prober-always-answers": {
        **dict.fromkeys(_OF_SIMULATED, "its nodes run no container, so nothing is probed"),
        "new-control-plane-kind": "nothing is probed in it",
    },
    "sampler-stops": {**_NOT_SAMPLED, **_NOT_JUDGED},
    "sampler-repeats": {
        **_NOT_SAMPLED,
        **_NOT_JUDGED,
        **_ALIKE,
        **dict.fromkeys(("edited", "restored"), "it is watched, not sampled"),
    },
}


def no_part(saboteur: str, column: str) -> str:
    """Why it has no part in a replay; empty where it has one."""
    return NO_PART.get(saboteur, {}).get(column, "")
