"""Which proxy is on the way to a server: Go's rules (golang.org/x/net/http/httpproxy), as kubectl has them."""

import pytest

from chaos.clusters.way.proxies import of_environment
from chaos.errors import OrdealError

PROXY = {"HTTPS_PROXY": "http://proxy:3128"}


@pytest.mark.parametrize(
    "server",
    ["https://127.0.0.1:6443", "https://127.9.9.9", "https://localhost:6443", "https://[::1]:6443", "http://10.0.0.1"],
)
def test_a_loopback_address_and_another_scheme_are_reached_without_it(server: str) -> None:
    assert of_environment(server, PROXY) is None


@pytest.mark.parametrize(
    ("server", "no_proxy", "excluded"),
    [
        ("https://api.example.org", "", False),
        ("https://api.example.org", "*", True),
        ("https://api.example.org", "x, *", True),
        ("https://api.example.org", "example.org", True),
        ("https://api.example.org", ".example.org", True),
        ("https://api.example.org", "*.example.org", True),
        ("https://example.org", ".example.org", False),
        ("https://example.org", "*.example.org", False),
        ("https://example.org", "EXAMPLE.org", True),
        ("https://api.notexample.org", "example.org", False),
        ("https://api.example.org:6443", "example.org:6443", True),
        ("https://api.example.org:6443", "example.org:443", False),
        ("https://api.example.org", "example.org:443", True),
        ("https://10.1.2.3:6443", "10.1.2.3", True),
        ("https://10.1.2.3:6443", "10.1.2.3:6443", True),
        ("https://10.1.2.3:6443", "10.1.2.3:443", False),
        ("https://10.1.2.3:6443", "10.0.0.0/8", True),
        ("https://10.1.2.3:6443", "10.1.2.9/24", True),
        ("https://10.1.2.3:6443", "fd00::/8,192.168.0.0/16", False),
        ("https://10.1.2.3:6443", "10.1.2", False),
        ("https://10.1.2.3:6443", "2.3", False),
        ("https://[fd00::1]:6443", "fd00::1", True),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", True),
        ("https://[fd00::1]:6443", "[fd00::1]:443", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://api.example.org", "10.0.0.0/8", False),
        ("https://api.example.org", "300.0.0.0/99,:443,,", False),
    ],
)
def test_no_proxy_takes_it_out_of_the_way(server: str, no_proxy: str, excluded: bool) -> None:
    assert (of_environment(server, {**PROXY, "NO_PROXY": no_proxy}) is None) == excluded


def test_upper_case_goes_first_and_a_value_needs_no_scheme() -> None:
    both = {"HTTPS_PROXY": "one:1", "https_proxy": "two:2", "ALL_PROXY": "three:3"}
    assert str(of_environment("https://a", both)) == "http://one:1"
    assert str(of_environment("https://a", {"https_proxy": "two:2"})) == "http://two:2"
    assert str(of_environment("http://a", {"http_proxy": "socks5h://me:secret@two:2"})) == "socks5h://two:2"
    assert of_environment("https://a", {"ALL_PROXY": "three:3"}) is None
    assert of_environment("https://a", {**PROXY, "no_proxy": "a"}) is None


@pytest.mark.parametrize("value", ["ftp://x", "http://x:0", "http://[x", "http://x:y"])
def test_what_is_no_proxy_is_one_sentence(value: str) -> None:
    with pytest.raises(OrdealError, match="HTTPS_PROXY is no proxy that can be used"):
        of_environment("https://a", {"HTTPS_PROXY": value})
    assert of_environment("https://127.0.0.1", {"HTTPS_PROXY": value}) is None


def test_a_password_is_in_no_sentence() -> None:
    with pytest.raises(OrdealError) as error:
        of_environment("https://a", {"HTTPS_PROXY": "gopher://me:secret@x"})
    assert "secret" not in str(error.value)
