"""One API can't be listed any more, and the controller manager is restarted while that is so."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import ControllerManagerSwitch
from chaos.clusters.base import Cluster
from chaos.clusters.way.client import raw_get, raw_merge
from chaos.errors import OrdealError
from chaos.harm.base import fault
from chaos.harm.control_plane import leader
from chaos.harm.uses import Uses

GROUP, PLURAL, KIND = "garbage.kube-ordeal", "relics", "Relic"
STORED, SERVED = "v1", "v2"  # the second is the preferred one: controllers list that, and each object is converted
CRD = f"{PLURAL}.{GROUP}"
AGGREGATED, AGGREGATED_VERSION = "aggregated.kube-ordeal", "v1"
API_SERVICE = f"{AGGREGATED_VERSION}.{AGGREGATED}"
CONVERSION_ERROR = "conversion webhook for "  # apiextensions-apiserver, conversion/webhook_converter.go
NOWHERE = {"namespace": "kube-system", "name": "kube-ordeal-nowhere"}  # a Service that is not there
CLIENT_WITHIN_S = 60.0
TO_NOWHERE: Mapping[str, object] = {
    "strategy": "Webhook",
    "webhook": {"clientConfig": {"service": NOWHERE}, "conversionReviewVersions": ["v1"]},
}


class _Switchable(Cluster, ControllerManagerSwitch, Protocol): ...


class BreakConversionPlan(msgspec.Struct, frozen=True):
    """Where the object is that must be converted, and who held the controller manager's lease."""

    namespace: str
    leader: str


class LoseApiPlan(msgspec.Struct, frozen=True):
    """Who held the controller manager's lease."""

    leader: str


@fault
@dataclass(frozen=True, slots=True)
class BreakConversion:
    """A custom resource has two versions and an object in `namespace`; its conversion webhook is a Service that is not
    there; and the controller manager is restarted. Undo sets the conversion to None, and deletes all of it.
    """

    kind: ClassVar[str] = "break-conversion"
    counterpart: ClassVar[str] = "mend_conversion"
    needs: ClassVar[tuple[type, ...]] = (ControllerManagerSwitch,)
    uses: ClassVar[Uses] = Uses()
    namespace: str = "default"

    def plan(self, cluster: _Switchable) -> BreakConversionPlan:
        if conversion(cluster) is not None:
            raise OrdealError(f"there is a {CRD} on {cluster.ref.name} already: run `kube-ordeal undo` first")
        return BreakConversionPlan(self.namespace, _running(cluster))

    def apply(self, cluster: _Switchable, saved: BreakConversionPlan) -> None:
        with cluster.api() as client:
            create: Any = k8s.ApiextensionsV1Api(client).create_custom_resource_definition
            create(_definition())
            body = {"apiVersion": f"{GROUP}/{STORED}", "kind": KIND, "metadata": {"name": "old"}}
            make: Any = k8s.CustomObjectsApi(client).create_namespaced_custom_object
            eventually(
                lambda: make(GROUP, STORED, saved.namespace, PLURAL, body),
                within_s=CLIENT_WITHIN_S,
                what=f"an object of {CRD} to be stored",
            )
            _convert_by(cluster, TO_NOWHERE)
            # What was stored before is served from what the API server had cached, until it goes by the new setting.
            eventually(
                lambda: _conversion_fails(cluster), within_s=CLIENT_WITHIN_S, what=f"the conversion of {CRD} to fail"
            )
        _restart(cluster)

    def landed(self, cluster: _Switchable, saved: BreakConversionPlan) -> bool:
        """Whoever lists it is told that the conversion failed, and another controller manager leads."""
        return _conversion_fails(cluster) and _another_leads(cluster, saved.leader)

    @staticmethod
    def lasts(cluster: _Switchable, saved: BreakConversionPlan) -> bool:
        return _conversion_fails(cluster)

    @staticmethod
    def undo(cluster: _Switchable, saved: BreakConversionPlan) -> None:
        cluster.start_controller_manager()
        if conversion(cluster) is None:
            return
        _convert_by(cluster, {"strategy": "None", "webhook": None})
        with cluster.api() as client:
            delete: Any = k8s.ApiextensionsV1Api(client).delete_custom_resource_definition
            delete(CRD)

    @staticmethod
    def undone(cluster: _Switchable, saved: BreakConversionPlan) -> bool:
        return cluster.controller_manager_running() and conversion(cluster) is None


@fault
@dataclass(frozen=True, slots=True)
class LoseAggregatedApi:
    """An APIService names a Service that is not there, and the controller manager is restarted. Undo deletes it."""

    kind: ClassVar[str] = "lose-aggregated-api"
    counterpart: ClassVar[str] = "remove_aggregated_api"
    needs: ClassVar[tuple[type, ...]] = (ControllerManagerSwitch,)
    uses: ClassVar[Uses] = Uses()

    def plan(self, cluster: _Switchable) -> LoseApiPlan:
        if api_service(cluster):
            raise OrdealError(
                f"there is an APIService {API_SERVICE} on {cluster.ref.name}: run `kube-ordeal undo` first"
            )
        return LoseApiPlan(_running(cluster))

    def apply(self, cluster: _Switchable, saved: LoseApiPlan) -> None:
        body = {
            "metadata": {"name": API_SERVICE},
            "spec": {
                "group": AGGREGATED,
                "version": AGGREGATED_VERSION,
                "service": NOWHERE,
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 1000,
                "versionPriority": 10,
            },
        }
        with cluster.api() as client:
            create: Any = k8s.ApiregistrationV1Api(client).create_api_service
            create(body)
        eventually(lambda: _unavailable(cluster), within_s=CLIENT_WITHIN_S, what=f"{API_SERVICE} to be unavailable")
        _restart(cluster)

    def landed(self, cluster: _Switchable, saved: LoseApiPlan) -> bool:
        """Whoever asks for it is told that it is unavailable, and another controller manager leads."""
        return _unavailable(cluster) and _another_leads(cluster, saved.leader)

    @staticmethod
    def lasts(cluster: _Switchable, saved: LoseApiPlan) -> bool:
        return _unavailable(cluster)

    @staticmethod
    def undo(cluster: _Switchable, saved: LoseApiPlan) -> None:
        cluster.start_controller_manager()
        if api_service(cluster):
            with cluster.api() as client:
                delete: Any = k8s.ApiregistrationV1Api(client).delete_api_service
                delete(API_SERVICE)

    @staticmethod
    def undone(cluster: _Switchable, saved: LoseApiPlan) -> bool:
        return cluster.controller_manager_running() and not api_service(cluster)


# --- the controller manager


def _running(cluster: _Switchable) -> str:
    """Who leads, where one runs. Raises OrdealError where none does."""
    if not cluster.controller_manager_running():
        raise OrdealError(f"the controller manager of {cluster.ref.name} does not run: run `kube-ordeal undo` first")
    with cluster.api() as client:
        return leader(client)


def _restart(cluster: _Switchable) -> None:
    cluster.stop_controller_manager()
    cluster.start_controller_manager()


def _another_leads(cluster: _Switchable, before: str) -> bool:
    """The lease's holder has another name after each start: so it says that this process has begun."""
    if not cluster.controller_manager_running():
        return False
    with cluster.api() as client:
        return leader(client) not in {"", before}


# --- the custom resource


def _definition() -> Mapping[str, object]:
    schema = {"openAPIV3Schema": {"type": "object"}}
    versions = [
        {"name": name, "served": True, "storage": name == STORED, "schema": schema} for name in (STORED, SERVED)
    ]
    return {
        "metadata": {"name": CRD},
        "spec": {
            "group": GROUP,
            "names": {"plural": PLURAL, "singular": KIND.lower(), "kind": KIND, "listKind": f"{KIND}List"},
            "scope": "Namespaced",
            "versions": versions,
            "conversion": {"strategy": "None"},
        },
    }


def _convert_by(cluster: Cluster, conversion: Mapping[str, object]) -> None:
    with cluster.api() as client:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD}"
        raw_merge(client, path, {"spec": {"conversion": conversion}})


def conversion(cluster: Cluster) -> str | None:
    """The strategy of its conversion; None where there is no such custom resource."""
    with cluster.api() as client:
        read: Any = k8s.ApiextensionsV1Api(client).read_custom_resource_definition
        try:
            return str(read(CRD).spec.conversion.strategy)
        except ApiException as error:
            if error.status == 404:
                return None
            raise


def _conversion_fails(cluster: Cluster) -> bool:
    """Whether listing it is answered by the error of its conversion, as controllers get it.

    With 429, where the API server has to have a watch cache first (gate ResilientWatchCacheInitialization, KEP-4568).
    """
    with cluster.api() as client:
        status, said = answer(client, f"/apis/{GROUP}/{SERVED}/{PLURAL}")
    return status in {429, 500} and f"{CONVERSION_ERROR}{GROUP}/{STORED}" in said


# --- the aggregated API


def api_service(cluster: Cluster) -> bool:
    """Whether the APIService is there."""
    with cluster.api() as client:
        read: Any = k8s.ApiregistrationV1Api(client).read_api_service
        try:
            read(API_SERVICE)
        except ApiException as error:
            if error.status == 404:
                return False
            raise
    return True


def _unavailable(cluster: Cluster) -> bool:
    """Whether asking for what it serves is answered by 503: who proxies for it has nobody to ask."""
    with cluster.api() as client:
        return answer(client, f"/apis/{AGGREGATED}/{AGGREGATED_VERSION}")[0] == 503


def answer(client: ApiClient, path: str) -> tuple[int, str]:
    """The HTTP status of what is answered for a path, and what the API server says in it; "" where it is found."""
    try:
        raw_get(client, path)
    except ApiException as error:
        try:
            return int(error.status or 0), str(json.loads(error.body or "")["message"])
        except (ValueError, KeyError, TypeError):
            return int(error.status or 0), str(error.body)
    return 200, ""
