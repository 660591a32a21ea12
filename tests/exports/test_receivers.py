"""What may be named as a receiver, and that no more than its beginning is ever told."""

import pytest

from chaos.errors import OrdealError
from chaos.exports.receivers import ENDPOINT, Receiver, is_url, of_metrics, of_traces
from tests.canaries import CANARY


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("http://host:4318", "http://host:4318/v1/traces"),
        ("http://host:4318/", "http://host:4318/v1/traces"),
        ("https://host/otlp/v1/traces", "https://host/otlp/v1/traces"),
        ("https://host/otlp?key=a", "https://host/otlp/v1/traces?key=a"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_the_path_of_traces_is_below_what_was_given(given: str, becomes: str) -> None:
    assert of_traces(given, {}).url == becomes
    assert of_traces(ENDPOINT, {ENDPOINT: given}).url == becomes


def test_the_environment_s_own_address_of_traces_is_taken_as_it_is() -> None:
    both = {ENDPOINT: "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/x"}
    assert of_traces(ENDPOINT, both).url == "http://b/x"
    assert of_traces("http://c", both).url == "http://c/v1/traces"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "--ordeal-otlp was given no URL, and the environment has no OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({ENDPOINT: "host:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT names no URL"),
        (
            {ENDPOINT: "http://host", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "wants traces sent by grpc, and only http/pr",
        ),
        ({ENDPOINT: "http://host", "OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED is true in the environment"),
    ],
)
def test_an_environment_that_names_none_is_one_sentence(environ: dict[str, str], says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        of_traces(ENDPOINT, environ)


@pytest.mark.parametrize(
    "given",
    ["suites/", "host:4318", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://[::1",
     "http://a b", "http://a\nb", "http://a\x1b[2J", "http://höst", f"https//user:{CANARY}@host"],
)  # fmt: skip
def test_what_is_no_url_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(OrdealError, match=r"^--ordeal-otlp names no URL such as http://host:4318") as refused:
        of_traces(given, {})
    assert CANARY not in str(refused.value)


def test_a_pushgateway_gets_our_group_unless_the_url_names_one() -> None:
    assert of_metrics("http://host:9091/sub/").url == "http://host:9091/sub/metrics/job/kube-ordeal"
    assert of_metrics("http://host/metrics/job/mine/team/a").url == "http://host/metrics/job/mine/team/a"
    assert [is_url(each) for each in ("http://a", "a.prom", "/a/b.prom")] == [True, False, False]


def test_only_its_beginning_is_told() -> None:
    secret = Receiver(f"https://user:{CANARY}@host:1/{CANARY}?a={CANARY}#{CANARY}")
    assert str(secret) == "https://host:1"
