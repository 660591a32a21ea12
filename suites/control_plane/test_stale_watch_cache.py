"""stale-watch-cache: etcd is changed behind the API server's back, and watchers must see what is stored."""

import re
from collections.abc import Sequence

from kubernetes.client import CoreV1Api, V1ConfigMap, V1ObjectMeta
from kubernetes.client.exceptions import ApiException

from chaos.clusters.base import Cluster, EtcdBehind, Shape
from chaos.faults.etcd import FAR_AHEAD, EditEtcdBehind, RestoreSnapshot
from chaos.history import History, Observation
from chaos.incident import incident
from chaos.informer import ABSENT, STORED, ConfigMapInformer
from chaos.invariants.watch_cache import watchers_see
from chaos.lab import Lab

NAMESPACE = "default"
KEY = "said"
SEEN_WITHIN_S = 5.0
CHANGED, DELETED, MADE_LATER = "changed-after-the-snapshot", "deleted-after-the-snapshot", "made-after-the-snapshot"


@incident("stale-watch-cache", on=("simulated",), needs=(EtcdBehind,), variant="edited in place")
def test_watchers_see_an_object_that_was_edited_in_etcd(lab: Lab) -> None:
    """When an object's bytes are changed in etcd while the API server runs, watchers MUST see the new ones."""
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    assert isinstance(cluster, EtcdBehind)
    say(cluster, "edited", "value-as-written")
    edit = EditEtcdBehind(key("edited"), b"value-as-written", b"value-as-edited!")
    with lab.record() as history, ConfigMapInformer(history, cluster.api, NAMESPACE, KEY), lab.inject(edit):
        lab.hold(SEEN_WITHIN_S + 1, "until watchers must have seen it")
        ask_etcd(cluster, history, ["edited"])
    forget(cluster, ["edited"])
    lab.expect(history, watchers_see(EditEtcdBehind.kind, within_s=SEEN_WITHIN_S))


@incident("stale-watch-cache", on=("simulated",), needs=(EtcdBehind,), controls=("no-bump",), variant="restored")
def test_watchers_see_what_a_restored_snapshot_holds(lab: Lab) -> None:
    """When etcd is restored from a snapshot while the API server runs, watchers MUST see what the snapshot holds:
    the old value of what was changed, what was deleted, and nothing of what was made after it.
    """
    cluster = lab.cluster(Shape(workers=2, timers=lab.timers))
    assert isinstance(cluster, EtcdBehind)
    say(cluster, CHANGED, "in the snapshot")
    say(cluster, DELETED, "in the snapshot")
    with lab.record() as history, ConfigMapInformer(history, cluster.api, NAMESPACE, KEY):
        snapshot = cluster.etcd_snapshot("before-the-changes")
        say(cluster, CHANGED, "after the snapshot")
        forget(cluster, [DELETED])
        say(cluster, MADE_LATER, "after the snapshot")
        bump = 0 if lab.control == "no-bump" else FAR_AHEAD
        with lab.inject(RestoreSnapshot(snapshot, bump_revision=bump)):
            lab.hold(SEEN_WITHIN_S + 1, "until watchers must have seen it")
            ask_etcd(cluster, history, [CHANGED, DELETED, MADE_LATER])
        lab.recover(lab.nodes_ready, within_s=60, what="every node Ready")
    forget(cluster, [CHANGED, MADE_LATER])
    lab.expect(history, watchers_see(RestoreSnapshot.kind, within_s=SEEN_WITHIN_S))


def say(cluster: Cluster, name: str, value: str) -> None:
    """Make a ConfigMap that holds the value, or put the value into the one there is."""
    body = V1ConfigMap(metadata=V1ObjectMeta(name=name), data={KEY: value})
    with cluster.api() as client:
        try:
            CoreV1Api(client).replace_namespaced_config_map(name, NAMESPACE, body)
        except ApiException as error:
            if error.status != 404:
                raise
            CoreV1Api(client).create_namespaced_config_map(NAMESPACE, body)


def forget(cluster: Cluster, names: Sequence[str]) -> None:
    """Delete ConfigMaps."""
    with cluster.api() as client:
        for name in names:
            CoreV1Api(client).delete_namespaced_config_map(name, NAMESPACE)


def key(name: str) -> str:
    """Where etcd has a ConfigMap."""
    return f"/registry/configmaps/{NAMESPACE}/{name}"


def ask_etcd(cluster: EtcdBehind, history: History, names: Sequence[str]) -> None:
    """Write down what etcd itself holds, past the API server."""
    for name in names:
        stored = cluster.etcd_get(key(name))
        # The data map is the message's last field: key and value stand there as they are, with their lengths.
        found = re.search(KEY.encode() + rb"\x12.([ -~]+)", stored)
        value = found.group(1).decode() if found else ABSENT
        history.add(Observation(history.now(), STORED, f"{NAMESPACE}/{name}", value))
