"""ConfigMaps that are written, deleted, and asked for in etcd itself: what a watcher's picture is compared with; and
PodTemplates, which nobody else lists.
"""

import re
from collections.abc import Sequence

from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.clusters.abilities import EtcdBehind
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_get
from chaos.record.history import History
from chaos.record.informer import ABSENT, STORED
from chaos.record.records import Observation
from chaos.subjects.watch_cache.records import ListsCounted

NAMESPACE = "default"
KEY = "said"
LISTED, PAGE = "podtemplates", 500  # a page is larger than what is there: there is no second one
_LISTS = f"/api/v1/namespaces/{NAMESPACE}/{LISTED}"
# What the API server counts of LISTs that came from its watch cache (apiserver/pkg/storage/cacher/metrics). Those
# from etcd say nothing: for a LIST from the cache etcd is asked for its revision, by a LIST too.
_FROM_CACHE = re.compile(
    rf'^apiserver_cache_list_total{{(?=[^}}]*resource="{LISTED}")[^}}]*}} ([0-9.e+]+)$', re.MULTILINE
)


def say(cluster: Cluster, name: str, value: str) -> None:
    """Make a ConfigMap that holds the value, or put the value into the one there is."""
    body = k8s.V1ConfigMap(metadata=k8s.V1ObjectMeta(name=name), data={KEY: value})
    with cluster.api() as client:
        try:
            k8s.CoreV1Api(client).replace_namespaced_config_map(name, NAMESPACE, body)
        except ApiException as error:
            if error.status != 404:
                raise
            k8s.CoreV1Api(client).create_namespaced_config_map(NAMESPACE, body)


def forget(cluster: Cluster, names: Sequence[str]) -> None:
    """Delete ConfigMaps."""
    with cluster.api() as client:
        for name in names:
            k8s.CoreV1Api(client).delete_namespaced_config_map(name, NAMESPACE)


def etcd_key(name: str) -> str:
    """Where etcd has a ConfigMap."""
    return f"/registry/configmaps/{NAMESPACE}/{name}"


def ask_etcd(cluster: EtcdBehind, history: History, names: Sequence[str]) -> None:
    """Write down what etcd itself holds, past the API server."""
    for name in names:
        stored = cluster.etcd_get(etcd_key(name))
        # The data map is the message's last field: key and value stand there as they are, with their lengths.
        found = re.search(KEY.encode() + rb"\x12.([ -~]+)", stored)
        value = found.group(1).decode() if found else ABSENT
        history.add(Observation(history.now(), STORED, f"{NAMESPACE}/{name}", value))


def count_lists(cluster: Cluster, history: History, *, asked: int) -> None:
    """List half as often the whole, then so many first pages, and the other half of the whole, and write down how many
    came from the watch cache. Raises ApiException where it refuses one, as one whose cache is not there yet does.
    """
    half = asked // 2
    with cluster.api() as client:
        at, counts = history.now(), [_from_cache(client)]
        for times, page in ((half, ""), (asked, f"?limit={PAGE}"), (asked - half, "")):
            for _ in range(times):
                raw_get(client, f"{_LISTS}{page}")
            counts.append(_from_cache(client))
    before, pages, between, after = counts
    whole = pages - before + after - between
    history.add(ListsCounted(at, history.now(), LISTED, asked, between - pages, whole))


def _from_cache(client: ApiClient) -> int:
    return sum(int(float(each)) for each in _FROM_CACHE.findall(raw_get(client, "/metrics").decode()))
