"""One value, many ways to write it: what is the same has one key, and what is not has another."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect.beyond import values


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://Evil.Example/a", "HTTP://evil.example:80/a"),
        ("https://evil.example", "https://EVIL.example:443/"),
        ("http://evil.example./x", "http://evil.example/x"),
        ("http://evil.example/%7ebob/%2f", "http://evil.example/~bob/%2F"),
        ("http://user:pw@evil.example/x#part", "http://evil.example/x"),
        ("http://evil.example/x?", "http://evil.example/x"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example/x"),
        ("http://[::ffff:203.0.113.7]/", "http://203.0.113.7/"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8:0::1]/x"),
    ],
)
def test_urls_that_are_the_same(one: str, other: str) -> None:
    """Scheme, host, default port, escapes, user, fragment: none of them makes another URL."""
    assert values.url(one) == values.url(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://evil.example/a", "http://evil.example/A"),
        ("http://evil.example/a", "https://evil.example/a"),
        ("http://evil.example:8080/a", "http://evil.example/a"),
        ("http://evil.example/a?x=1", "http://evil.example/a"),
        ("http://evil.example/a%2Fb", "http://evil.example/a/b"),
    ],
)
def test_urls_that_are_not_the_same(one: str, other: str) -> None:
    """Path, query, scheme and port do."""
    assert values.url(one) != values.url(other)


@pytest.mark.parametrize(
    "text", ["", "evil.example/x", "http:///x", "://x", "http://", "not a url", "http://a b/"]
)
def test_what_is_no_url(text: str) -> None:
    """No guess is made."""
    assert values.url(text) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Evil.Example.", "evil.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("a b", None),
        ("", None),
        ("...", None),
        ("x@evil.example", None),
    ],
)
def test_domains(text: str, name: str | None) -> None:
    """Case, trailing dots and Unicode make no other name."""
    assert values.domain(text) == name


def test_hostile_names_are_bounded() -> None:
    """A name of a thousand labels, or with parts that IDNA refuses, costs little and raises nothing."""
    assert len(list(values.domain_keys("a." * 450 + "example"))) < values.MAX_LABELS
    assert values.domain("ü" * 500 + ".example")
    assert values.domain("a." * 5_000) is None


def test_parents_of_a_name() -> None:
    """A name and its parents, but not the last label alone."""
    assert [p for _, p in values.domain_keys("a.b.evil.example")] == [
        "a.b.evil.example",
        "b.evil.example",
        "evil.example",
    ]
    assert [p for _, p in values.domain_keys("localhost")] == ["localhost"]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e"),
        ("abc", None),
        ("g" * 32, None),
    ],
)
def test_hashes(text: str, normal: str | None) -> None:
    """Upper case is lower case; what has no length of a hash is none."""
    assert values.file_hash(text) == normal


@pytest.mark.parametrize("text", ["203.0.113.7", "::ffff:203.0.113.7", "::FFFF:CB00:7107", " 203.0.113.7 "])
def test_mapped_addresses_are_ipv4(text: str) -> None:
    """An IPv4 address mapped into IPv6 is the IPv4 address."""
    assert values.packed(text) == bytes([203, 0, 113, 7])


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "01.2.3.4.", "x", "1.2.3.4\0", "::g"])
def test_what_is_no_address(text: str) -> None:
    """No guess is made."""
    assert values.packed(text) is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_keys_of_ipv4_networks_are_exact(address: int, prefix: int) -> None:
    """The key of a network is that of exactly the addresses in it."""
    net = ipaddress.IPv4Network((address, prefix), strict=False)
    key = values.network(address.to_bytes(4, "big"), prefix)
    assert key < values.HASHED
    assert (
        key
        == values.network(net.network_address.packed, prefix)
        == values.network(net.broadcast_address.packed, prefix)
    )
    if prefix:
        other = int(net.network_address) ^ (1 << (32 - prefix))
        assert key != values.network(other.to_bytes(4, "big"), prefix)


def test_networks() -> None:
    """Networks with their lengths; a mapped one is IPv4; nonsense is none."""
    assert values.network_of("192.0.2.0/24") == (bytes([192, 0, 2, 0]), 24)
    assert values.network_of("::ffff:192.0.2.0/120") == (bytes([192, 0, 2, 0]), 24)
    assert values.network_of("2001:db8::/32") is not None
    for text in ("192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/x", "x/8", "::ffff:192.0.2.0/20"):
        assert values.network_of(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    """Whatever a log holds."""
    values.url(text), values.domain(text), values.email(text), values.packed(text), values.file_hash(text)
    values.network_of(text), values.url(f"http://{text}")
