"""Signing in, retries and errors, without a server or in front of one that is hurt on purpose."""

from __future__ import annotations

import http.server
import logging
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from soc.config import StoreSettings
from soc.errors import NotAuthorisedError, StoreUnavailableError, UsageError
from soc.store.elastic import ElasticStore
from soc.store.elastic_connection import (
    Connection,
    RefusedError,
    check_address,
    credentials,
    error_of,
    missing_privilege,
    read_secret,
)
from tests.elastic_node import Node, certificate, free_port
from tests.fault_proxy import Fault, FaultProxy, Kind

SECRET = "hunter2-and-more"


def secret_file(folder: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    """A file with a secret."""
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return path


# addresses


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("https://search.example", "https://search.example:443"),
        ("https://search.example:9200/", "https://search.example:9200"),
        ("https://search.example:9200/es/", "https://search.example:9200/es"),
        ("http://127.0.0.1", "http://127.0.0.1:9200"),
        ("http://localhost:9201", "http://localhost:9201"),
        ("http://[::1]:9200", "http://[::1]:9200"),
    ],
)
def test_an_address_gets_its_usual_port(target: str, address: str) -> None:
    """The port is stated; a path before the API is kept."""
    assert check_address(target, {}) == address


@pytest.mark.parametrize(
    "target", ["http://search.example:9200", "http://192.0.2.7", "http://127.0.0.1.evil.example"]
)
def test_plain_http_leaves_this_machine_only_when_said(target: str) -> None:
    """Without TLS a password could be read on the way; one has to say that the network is trusted."""
    with pytest.raises(UsageError, match="without TLS") as caught:
        check_address(target, {})
    assert "SOC_STORE_PLAIN_HTTP=1" in caught.value.hint
    assert check_address(target, {"SOC_STORE_PLAIN_HTTP": "1"}).startswith(target)


@pytest.mark.parametrize("target", ["https://", "https://:9200", "https://host:port", "https://[::1"])
def test_an_address_that_cannot_be_read_is_refused(target: str) -> None:
    """No host, or a port that is no number."""
    with pytest.raises(UsageError, match="address"):
        check_address(target, {})


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    """It would end up in logs and process lists; the message must not be the next such place."""
    with pytest.raises(UsageError) as caught:
        check_address(f"https://elastic:{SECRET}@search.example", {})
    assert SECRET not in f"{caught.value}{caught.value.hint}"


# secrets


def test_a_secret_comes_from_a_file_of_its_owner_alone(tmp_path: Path) -> None:
    """The line end does not belong to it."""
    assert read_secret(str(secret_file(tmp_path, SECRET + "\n"))) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777, 0o610])
def test_a_secret_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """The hint is the command that mends it."""
    path = secret_file(tmp_path, mode=mode)
    with pytest.raises(UsageError, match="others can read") as caught:
        read_secret(str(path))
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "empty"), (b"\n \n", "empty"), (b"\xff\xfe\x00", "not text")]
)
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """Empty, blank, or binary."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match=said):
        read_secret(str(path))


def test_a_pipe_or_a_device_is_no_secret(tmp_path: Path) -> None:
    """Neither is waited for, nor read without end."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UsageError, match="no file with a secret"):
            read_secret(str(path))


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    """The place of the error is the file."""
    with pytest.raises(UsageError, match="no such file") as caught:
        read_secret(str(tmp_path / "nowhere"))
    assert str(caught.value.place) == str(tmp_path / "nowhere")


def test_an_api_key_goes_before_a_password(tmp_path: Path) -> None:
    """From the environment or a file."""
    settings = StoreSettings("https://x", user="lan", api_key_file=str(secret_file(tmp_path)))
    assert credentials(settings, {"SOC_STORE_PASSWORD": "p"}) == {"api_key": SECRET}
    assert credentials(settings, {"SOC_STORE_API_KEY": "k"}) == {"api_key": "k"}


def test_a_name_needs_a_password_and_the_reverse(tmp_path: Path) -> None:
    """Half a sign-in is an error before anything is sent."""
    assert credentials(StoreSettings("https://x"), {}) == {}
    assert credentials(
        StoreSettings("https://x", user="lan", password_file=str(secret_file(tmp_path))), {}
    ) == {"basic_auth": ("lan", SECRET)}
    with pytest.raises(UsageError, match="password is missing"):
        credentials(StoreSettings("https://x", user="lan"), {})
    with pytest.raises(UsageError, match="user is missing"):
        credentials(StoreSettings("https://x"), {"SOC_STORE_PASSWORD": SECRET})


def test_a_ca_file_must_be_one(tmp_path: Path) -> None:
    """A missing file and one that is no certificate are told apart."""
    with pytest.raises(UsageError, match="No such file"):
        Connection(StoreSettings("https://127.0.0.1:1", ca=str(tmp_path / "ca.crt")))
    bad = tmp_path / "bad.crt"
    bad.write_text("not a certificate")
    with pytest.raises(UsageError, match="PEM"):
        Connection(StoreSettings("https://127.0.0.1:1", ca=str(bad)))


# errors


def test_the_innermost_cause_is_told() -> None:
    """The outer reason alone does not say which value was wrong."""
    inner = {"type": "illegal_argument_exception", "reason": "not an IP string literal"}
    body = {"error": {"type": "document_parsing_exception", "reason": "failed to parse", "caused_by": inner}}
    assert error_of(body) == ("document_parsing_exception", "failed to parse: not an IP string literal")
    assert error_of("<html>gateway</html>") == ("", "<html>gateway</html>")
    assert error_of(None) == ("", "")


def test_a_missing_privilege_is_named_with_the_role_that_has_it() -> None:
    """What the server says in three lines becomes user, privilege, index, role."""
    reason = (
        "action [indices:data/write/bulk[s]] is unauthorized for user [lan] with effective roles [analyst] "
        "on indices [soc-events-1-standard-2026.03], this action is granted by the index privileges "
        "[create_doc,create,index,write,all]"
    )
    error = missing_privilege(reason)
    assert "'lan' lacks the index privilege 'create_doc' on soc-events-1-standard-2026.03" in error.message
    assert "soc_collector" in error.hint
    assert missing_privilege("something else").exit_code == 4


def test_a_server_that_is_not_there_is_said_within_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has never reached the server learns it soon, with the next step, and no log beside it."""
    store = ElasticStore.connect(StoreSettings(f"http://127.0.0.1:{free_port()}"))
    started = time.monotonic()
    with caplog.at_level(logging.ERROR), pytest.raises(StoreUnavailableError, match="refused") as caught:
        store.whoami()
    assert time.monotonic() - started < 10
    assert "curl" in caught.value.hint
    assert "soc doctor" in caught.value.hint
    assert not caplog.records


@pytest.mark.slow
def test_a_server_that_hangs_is_given_up() -> None:
    """Each answer has a limit, and so has patience."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = ElasticStore.connect(StoreSettings(url), timeout=0.5, patience=1)
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="did not answer within"):
            store.status()
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("body", [b"{}", b"[]", b'"x"', b"1", b"null", b'{"hits": null}', b"{", b"\xff"])
def test_an_answer_that_lacks_its_parts_is_said(body: bytes) -> None:
    """What calls itself Elasticsearch and answers otherwise, such as a proxy, is named."""

    class LookAlike(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the names of http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), LookAlike)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    store = ElasticStore.connect(StoreSettings(f"http://127.0.0.1:{server.server_address[1]}"))
    try:
        for act in (store.whoami, store.status, lambda: store.read("alert", "x")):
            with pytest.raises(StoreUnavailableError, match="gave an answer") as caught:
                act()
            assert caught.value.hint
    finally:
        store.close()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.elastic
def test_something_else_at_the_address_is_not_taken_for_elasticsearch(elastic_node: Node) -> None:
    """A web server that answers 200 to everything is refused."""
    with FaultProxy(elastic_node.url) as proxy:
        # the proxy says that it is the product; a rude one beside it does not

        class Rude(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"hi")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = http.server.HTTPServer(("127.0.0.1", 0), Rude)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with pytest.raises(StoreUnavailableError, match="not Elasticsearch"):
                ElasticStore.connect(StoreSettings(f"http://127.0.0.1:{server.server_address[1]}")).whoami()
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        assert proxy.count("/") == 0


@pytest.mark.elastic
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(elastic_node: Node, status: int) -> None:
    """Three times busy, then an answer: the caller sees only the answer."""
    with FaultProxy(elastic_node.url) as proxy:
        proxy.script(Fault(Kind.ANSWER, "/_cluster/health", times=2, status=status))
        connection = Connection(StoreSettings(proxy.url))
        assert connection.call("GET", "/_cluster/health")["status"] in {"green", "yellow"}
        assert proxy.count("/_cluster/health") == 3
        connection.close()


@pytest.mark.elastic
@pytest.mark.parametrize("kind", [Kind.CUT_RESPONSE, Kind.CUT_REQUEST])
def test_a_cut_connection_is_made_again(elastic_node: Node, kind: Kind) -> None:
    """In the middle of the request or of the answer."""
    with FaultProxy(elastic_node.url) as proxy:
        proxy.script(Fault(kind, "/_search", times=2))
        connection = Connection(StoreSettings(proxy.url))
        answer = connection.call("POST", "/soc-none-*/_search", body={"query": {"match_all": {}}})
        assert answer["hits"]["hits"] == []
        assert proxy.count("/_search", kind) == 2
        connection.close()


@pytest.mark.elastic
@pytest.mark.slow
def test_patience_ends(elastic_node: Node) -> None:
    """A server that stays busy is an error that can be tried again later, in bounded time."""
    with FaultProxy(elastic_node.url) as proxy:
        connection = Connection(StoreSettings(proxy.url), patience=2)
        connection.call("GET", "/_cluster/health")
        proxy.script(Fault(Kind.ANSWER, "/_search", times=1000, status=429))
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="busy"):
            connection.call("POST", "/_search", body={})
        assert time.monotonic() - started < 8
        connection.close()


@pytest.mark.elastic
def test_a_refusal_is_not_tried_again(elastic_node: Node) -> None:
    """A wrong request stays wrong; the server's words are kept."""
    with FaultProxy(elastic_node.url) as proxy:
        connection = Connection(StoreSettings(proxy.url))
        with pytest.raises(RefusedError) as caught:
            connection.call("POST", "/_search", body={"query": {"no_such_query": {}}})
        assert caught.value.status == 400
        assert "no_such_query" in caught.value.reason
        assert proxy.count("/_search") == 1
        connection.close()


# security and TLS


@pytest.mark.elastic
def test_the_server_says_who_i_am(secure_settings: StoreSettings) -> None:
    """The authenticated name, over TLS that was verified."""
    with ElasticStore.connect(secure_settings) as store:
        assert store.whoami() == secure_settings.user


@pytest.mark.elastic
def test_a_wrong_password_is_said_at_once_and_never_shown(
    secure_node: Node, secure_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not authorised, exit code 4; nothing is tried again, for it could lock the account."""
    monkeypatch.setenv("SOC_STORE_PASSWORD", SECRET)
    store = ElasticStore.connect(secure_settings)
    started = time.monotonic()
    with pytest.raises(NotAuthorisedError, match="refused the name or password") as caught:
        store.status()
    assert time.monotonic() - started < 5
    assert SECRET not in f"{caught.value}{caught.value.hint}{store.name}"
    assert caught.value.exit_code == 4
    monkeypatch.delenv("SOC_STORE_PASSWORD")
    with pytest.raises(NotAuthorisedError, match="without a name"):
        ElasticStore.connect(StoreSettings(secure_node.url, ca=secure_node.ca)).status()


@pytest.mark.elastic
def test_a_certificate_that_the_ca_did_not_sign_is_refused(
    secure_settings: StoreSettings, tmp_path: Path
) -> None:
    """Another CA, and none at all: there is no way to go on without verifying."""
    other, _ = certificate(tmp_path, "other")
    for ca in (str(other), ""):
        settings = StoreSettings(secure_settings.target, user=secure_settings.user, ca=ca)
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="certificate") as caught:
            ElasticStore.connect(settings).whoami()
        assert "SOC_STORE_CA" in caught.value.hint
        assert time.monotonic() - started < 10


@pytest.mark.elastic
def test_http_and_https_confused_is_said(secure_node: Node, elastic_node: Node) -> None:
    """TLS to a plain port, and plain text to a TLS port."""
    if elastic_node.url.startswith("http://"):
        with pytest.raises(StoreUnavailableError, match=r"TLS|reached"):
            ElasticStore.connect(
                StoreSettings(elastic_node.url.replace("http://", "https://")), patience=1
            ).whoami()
    with pytest.raises(StoreUnavailableError):
        ElasticStore.connect(
            StoreSettings(secure_node.url.replace("https://", "http://")), patience=1
        ).whoami()


@pytest.mark.elastic
@pytest.mark.slow
def test_a_server_that_goes_away_is_given_up_in_time(elastic_settings: StoreSettings) -> None:
    """Reached once, then gone: an error with the next step; the same store works when it is back."""
    with FaultProxy(elastic_settings.target) as proxy:
        settings = StoreSettings(proxy.url, space=elastic_settings.space)
        store = ElasticStore.connect(settings, patience=2)
        store.put("k", "1", {"n": 1}, expect=0)
        proxy.script(Fault(Kind.CUT_REQUEST, "/", times=10_000))
        started = time.monotonic()
        for act in (lambda: store.read("k", "1"), lambda: list(store.search()), store.head):
            with pytest.raises(StoreUnavailableError, match="cannot be reached") as caught:
                act()
            assert "curl" in caught.value.hint
        assert time.monotonic() - started < 20
        proxy.heal()
        found = store.read("k", "1")
        assert found is not None
        store.close()
