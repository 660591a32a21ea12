"""A second API server, of a simulated cluster, that says it had another cluster's nodes: names, machines, providers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes.client import CoreV1Api

from chaos.clusters.base import SIMULATED, Cluster
from chaos.clusters.shape import Shape, Zone
from chaos.run.pool import Pool


@contextmanager
def impostor_of(cluster: Cluster, pool: Pool) -> Iterator[Cluster]:
    """It is taken down at the block's end; its pool is one of its own."""
    apart = pool.apart("impostor")
    try:
        made = apart.acquire(SIMULATED, Shape(zones=(Zone("a", 1),)))
        with cluster.api() as theirs, made.api() as ours:
            wanted: Any = CoreV1Api(theirs).list_node()
            api: Any = CoreV1Api(ours)
            for each in api.list_node().items:
                api.delete_node(each.metadata.name)
            for each in wanted.items:
                said = {"metadata": {"name": each.metadata.name}, "spec": {"providerID": each.spec.provider_id}}
                api.create_node(said)
                info = {"machineID": each.status.node_info.machine_id}
                api.patch_node_status(each.metadata.name, {"status": {"nodeInfo": info}})
        yield made
    finally:
        apart.close()
