"""What has to be cleared away or counted: a Deployment is deleted, a Job is over, a quota is made, a namespace ends."""

from dataclasses import dataclass
from typing import Any

from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import eventually
from chaos.clusters.base import Cluster
from chaos.record.history import History
from chaos.subjects.garbage.records import Due, What
from chaos.workloads.base import RUN_LABEL, create_namespace, creating
from chaos.workloads.web import Deployed

JOB, QUOTA, KEPT = "over", "counted", "kept"
TTL_S = 1  # of the Job, once it is over
OVER_WITHIN_S = 120.0  # ends when it is seen


@dataclass(frozen=True, slots=True)
class Room:
    """A namespace with nothing but a ConfigMap in it."""

    name: str = "room"

    def deploy(self, cluster: Cluster, run: str, namespace: str) -> Deployed:
        """Create it. Raises OrdealError."""
        kept: Any = {"metadata": {"name": KEPT}}
        with cluster.api() as client, creating(self.name, cluster):
            core = k8s.CoreV1Api(client)
            create_namespace(core, namespace, {RUN_LABEL: run})
            core.create_namespaced_config_map(namespace, kept)
        return Deployed(self.name, namespace, "", 0, cluster)


def delete_deployment(web: Deployed, history: History) -> None:
    """Delete the workload's Deployment as `kubectl delete` does: what it owned is the collector's to delete."""
    with web.cluster.api() as client:
        k8s.AppsV1Api(client).delete_namespaced_deployment(web.name, web.namespace, propagation_policy="Background")
    history.add(Due(history.now(), What.PODS, f"{web.namespace}/{web.name}"))


def make_quota(web: Deployed, history: History) -> None:
    """Allow so many pods in the workload's namespace that nobody is refused: its use has to be counted."""
    body: Any = {"metadata": {"name": QUOTA}, "spec": {"hard": {"pods": "100"}}}
    with web.cluster.api() as client:
        k8s.CoreV1Api(client).create_namespaced_resource_quota(web.namespace, body)
    history.add(Due(history.now(), What.QUOTA, f"{web.namespace}/{QUOTA}"))


def end_namespace(room: Deployed, history: History) -> None:
    """Delete a namespace."""
    with room.cluster.api() as client:
        k8s.CoreV1Api(client).delete_namespace(room.namespace)
    history.add(Due(history.now(), What.NAMESPACE, f"/{room.namespace}"))


def run_job(web: Deployed, history: History) -> None:
    """Run a Job in the workload's namespace that is to be deleted a second after it is over, and wait until it is.

    Raises WaitedInVainError.
    """
    container = {"name": "job", "image": web.cluster.images.busybox, "command": ["true"]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    body: Any = {
        "metadata": {"name": JOB},
        "spec": {"ttlSecondsAfterFinished": TTL_S, "template": {"spec": pod}},
    }
    with web.cluster.api() as client:
        batch = k8s.BatchV1Api(client)
        batch.create_namespaced_job(web.namespace, body)

        def over() -> bool:
            try:
                job: Any = batch.read_namespaced_job(JOB, web.namespace)
            except ApiException as error:
                if error.status == 404:  # it is over, and gone
                    return True
                raise
            return any(c.type == "Complete" and c.status == "True" for c in job.status.conditions or ())

        eventually(over, within_s=OVER_WITHIN_S, what=f"the Job {JOB} to be over")
    history.add(Due(history.now(), What.JOB, f"{web.namespace}/{JOB}"))
