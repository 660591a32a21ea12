"""What is read of a node's rules, as iptables-save and nft print them."""

from chaos.subjects.stale_rules.asking import addresses

IPTABLES = """*nat
:KUBE-SEP-AAAA - [0:0]
-A KUBE-SEP-AAAA -s 10.244.1.3/32 -m comment --comment "ns/web" -j KUBE-MARK-MASQ
-A KUBE-SEP-AAAA -p tcp -m comment --comment "ns/web" -m tcp -j DNAT --to-destination 10.244.1.3:8080
-A KUBE-SEP-BBBB -p tcp -m comment --comment "ns/web:http" -m tcp -j DNAT --to-destination 10.244.1.4:8080
-A KUBE-SEP-CCCC -p tcp -m comment --comment "ns/web-other" -m tcp -j DNAT --to-destination 10.244.1.5:8080
-A KUBE-SVC-DDDD -m comment --comment "ns/web -> 10.244.1.6:8080" -j KUBE-SEP-AAAA
"""
NFT = """table ip kube-proxy {
	chain endpoint-7CSWNDYI-ns/web/tcp/__10.244.1.9/8080 {
	chain service-SS4AYUNT-ns/web/tcp/ {
		numgen random mod 2 vmap { 0 : goto endpoint-7CSWNDYI-ns/web/tcp/__10.244.1.3/8080, 1 : goto endpoint-M4UN-ns/web/tcp/http__10.244.2.2/8080 }
		goto endpoint-M4UN-ns/other/tcp/__10.244.2.4/8080
"""  # noqa: E501


def test_rules_lead_to_the_endpoints_of_the_service_and_of_no_other() -> None:
    assert addresses(IPTABLES, "ns", "web") == ("10.244.1.3", "10.244.1.4")
    assert addresses(NFT, "ns", "web") == ("10.244.1.3", "10.244.2.2")
    assert addresses("", "ns", "web") == ()
