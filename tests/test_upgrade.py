"""An upgrade in place: which versions it goes through, and what is done to the kubelets' configuration."""

import pytest
import yaml

from chaos.errors import OrdealError
from chaos.upgrade import path, with_settings

BUILT = ("1.34.4", "1.35.2", "1.35.10", "1.36.3")


@pytest.mark.parametrize(
    ("start", "to", "most", "expected"),
    [
        ("1.34.4", "", 1, ("1.35.10",)),
        ("1.34.4", "", 2, ("1.35.10", "1.36.3")),
        ("1.34.4", "", 5, ("1.35.10", "1.36.3")),
        ("1.34.4", "1.36.3", 1, ("1.35.10", "1.36.3")),
        ("1.34.4", "v1.35.2", 2, ("1.35.2",)),
        ("1.35.2", "1.35.10", 1, ("1.35.10",)),
        ("1.35.10", "", 2, ("1.36.3",)),
    ],
)
def test_it_goes_one_minor_version_at_a_time(start: str, to: str, most: int, expected: tuple[str, ...]) -> None:
    assert path(start, BUILT, to=to, most=most) == expected


@pytest.mark.parametrize(
    ("start", "built", "to", "says"),
    [
        ("1.36.3", BUILT, "", "from 1.36.3 goes to 1.37, and no node image of 1.37 is built here"),
        ("1.34.4", ("1.34.4", "1.36.3"), "", "image build --kubernetes 1.35.PATCH"),
        ("1.34.4", ("1.34.4", "1.36.3"), "1.36.3", "goes to 1.35, and no node image of 1.35"),
        ("1.34.4", BUILT, "1.36.1", "image build --kubernetes 1.36.1"),
        ("1.34.4", BUILT, "1.34.4", "is no upgrade: the cluster is made with 1.34.4"),
        ("1.34.4", BUILT, "1.33.6", "is no upgrade"),
        ("1.34.4", BUILT, "newest", "'newest' is not a version"),
    ],
)
def test_what_cannot_be_reached_is_a_sentence(start: str, built: tuple[str, ...], to: str, says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        path(start, built, to=to, most=2)


def test_settings_are_put_into_the_configuration_that_is_there() -> None:
    config = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 600\n"
    made = yaml.safe_load(with_settings(config, [{"apiVersion": "x", "kind": "y", "failCgroupV1": False}]))
    assert made == {**yaml.safe_load(config), "failCgroupV1": False}
