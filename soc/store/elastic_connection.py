"""The connection to Elasticsearch: how to sign in, what is tried again, and what an error means to people.

Secrets come from `SOC_STORE_PASSWORD`, `SOC_STORE_API_KEY` or a file that only its owner can read; they
never appear in a message. Certificates are always verified. Plain http is for this machine only, unless
`SOC_STORE_PLAIN_HTTP=1` says that the network is trusted.

A call that finds the server busy (429, 502, 503, 504) or loses its connection is made again, with growing
pauses, until `patience` is over. Everything that this package sends may be sent twice without harm.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from soc.errors import NotAuthorisedError, SocError, StoreUnavailableError, UsageError

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from soc.config import StoreSettings

PATIENCE = 30.0
"""Seconds for which a call is tried again while the server is busy or away."""

FIRST_PATIENCE = 3.0
"""The same for the first call: who has never reached the server learns soon that it is not there."""

TIMEOUT = 60.0
"""Seconds to wait for one answer."""

CONNECTIONS = 8
"""Most connections kept open to one node."""

BUSY = frozenset({429, 502, 503, 504})
"""Answers that mean: later."""

NDJSON = "application/x-ndjson"


class RefusedError(SocError):
    """The server understood and said no. `status` is of HTTP, `kind` and `reason` are the server's words."""

    def __init__(self, message: str, *, status: int, kind: str, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.reason = reason


class TransientError(StoreUnavailableError):
    """Busy or away; worth another try."""


MAX_SECRET = 64 << 10
"""Largest file that is taken for a password or key, in bytes."""


def read_secret(path: str) -> str:
    """The secret in a file that only its owner can read, without the line end.

    Raises `UsageError` when the file is not there, is empty, or when others may read it.
    """
    file = Path(path)
    try:
        mode = file.stat()
        if not stat.S_ISREG(mode.st_mode) or mode.st_size > MAX_SECRET:
            raise UsageError("this is no file with a secret of the store", place=path)
        text = file.read_text("utf-8").strip()
    except FileNotFoundError:
        raise UsageError("there is no such file for the store's secret", place=path) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"the store's secret cannot be read: {reason}", place=path) from None
    if stat.S_IMODE(mode.st_mode) & 0o077 or mode.st_uid not in {os.geteuid(), 0}:
        raise UsageError(
            "others can read this file with the store's secret", place=path, hint=f"chmod 600 {path}"
        )
    if not text:
        raise UsageError("the file for the store's secret is empty", place=path)
    return text


def check_ca(path: str) -> None:
    """Raise `UsageError` when a file holds no CA certificate."""
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise UsageError("this is not a CA certificate in PEM form", place=path) from None
    except OSError as error:
        raise UsageError(f"the store's CA certificate cannot be read: {error.strerror}", place=path) from None


def is_loopback(host: str) -> bool:
    """Whether an address stays on this machine."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(target: str, environ: Mapping[str, str]) -> str:
    """The address without a trailing slash. Raises `UsageError` for one that must not be used."""
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError("the address of the store cannot be read", hint="https://HOST:9200") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "a name or password does not belong in the store's address",
            hint="set SOC_STORE_USER and SOC_STORE_PASSWORD, or user and password_file in soc.yml",
        )
    if not host:
        raise UsageError(f"the address of the store has no host: {target}", hint="https://HOST:9200")
    if parts.scheme == "http" and not is_loopback(host) and environ.get("SOC_STORE_PLAIN_HTTP") != "1":
        raise UsageError(
            f"{target}: without TLS, everybody on the way could read and change events and passwords",
            hint=f"use https://{parts.netloc}, or SOC_STORE_PLAIN_HTTP=1 on a network that is trusted",
        )
    default = 443 if parts.scheme == "https" else 9200
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}:{port or default}{parts.path.rstrip('/')}"


def credentials(settings: StoreSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    """How to sign in, as arguments of the client: an API key, a name and password, or nothing."""
    key = environ.get("SOC_STORE_API_KEY", "") or (
        read_secret(settings.api_key_file) if settings.api_key_file else ""
    )
    if key:
        return {"api_key": key}
    password = environ.get("SOC_STORE_PASSWORD", "") or (
        read_secret(settings.password_file) if settings.password_file else ""
    )
    if settings.user and password:
        return {"basic_auth": (settings.user, password)}
    if settings.user or password:
        missing = "password" if settings.user else "user"
        raise UsageError(
            f"to sign in to the store, a {missing} is missing",
            hint="set SOC_STORE_USER and SOC_STORE_PASSWORD, or SOC_STORE_API_KEY",
        )
    return {}


class Answer(dict[str, Any]):
    """The body of an answer. A part that Elasticsearch always sends and that is missing is the server's fault
    (a proxy, a look-alike), so it raises `StoreUnavailableError` instead of `KeyError`."""

    def __init__(self, body: Mapping[str, Any], unreadable: Callable[[str], StoreUnavailableError]) -> None:
        super().__init__(body)
        self._unreadable = unreadable

    def __missing__(self, name: str) -> Any:
        raise self._unreadable(name)


class Connection:
    """Calls to one Elasticsearch address. Safe to use from several threads."""

    def __init__(
        self,
        settings: StoreSettings,
        *,
        patience: float = PATIENCE,
        timeout: float = TIMEOUT,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Check the settings; nothing is sent yet. Raises `UsageError`."""
        self.name = check_address(settings.target, environ)
        self.patience = patience
        self.timeout = timeout
        self._auth = credentials(settings, environ)
        self._ca = settings.ca
        self._reached = False
        if self._ca:
            check_ca(self._ca)

    @property
    def signed_in(self) -> bool:
        """Whether a name or key is sent."""
        return bool(self._auth)

    @cached_property
    def client(self) -> Elasticsearch:
        """The official client. It speaks the language of version 8, which servers 8 and 9 understand."""
        import warnings

        from elastic_transport import Urllib3HttpNode
        from elasticsearch import Elasticsearch, ElasticsearchWarning, OrjsonSerializer

        class Node(Urllib3HttpNode):
            """Client 9 asks for `compatible-with=9`, which an 8.x server refuses."""

            def perform_request(self, method: str, target: str, **kwargs: Any) -> Any:  # type: ignore[override] # passes everything on
                headers = kwargs.get("headers")
                if headers:
                    kwargs["headers"] = {
                        k: v.replace("compatible-with=9", "compatible-with=8") for k, v in headers.items()
                    }
                return super().perform_request(method, target, **kwargs)

        # hints to developers of clients (deprecations) that users of this program can do nothing about
        warnings.filterwarnings("ignore", category=ElasticsearchWarning)
        tls: dict[str, Any] = {}
        if self.name.startswith("https://"):
            tls = {"verify_certs": True} | ({"ca_certs": self._ca} if self._ca else {})
        return Elasticsearch(
            self.name,
            **self._auth,
            **tls,
            node_class=Node,
            serializer=OrjsonSerializer(),
            connections_per_node=CONNECTIONS,
            request_timeout=self.timeout,
            max_retries=0,
            retry_on_timeout=False,
            http_compress=not is_loopback(urlsplit(self.name).hostname or ""),
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        lines: bool = False,
    ) -> Any:
        """One call of the REST API; the decoded answer. `lines`: the body is NDJSON, as bytes.

        Raises `RefusedError`, `NotAuthorisedError`, and `StoreUnavailableError` when patience is over.
        """
        for attempt in self.attempts():
            with attempt:
                return self._once(method, path, params, body, lines)
        raise AssertionError("the last attempt returns or raises")

    def attempts(self) -> Iterator[Any]:
        """Attempts with growing pauses: contexts that swallow `TransientError` while patience lasts."""
        import stamina
        from stamina.instrumentation import set_on_retry_hooks

        set_on_retry_hooks(
            ()
        )  # by default each retry is logged, to standard output even; the end result is said
        patience = self.patience if self._reached else min(self.patience, FIRST_PATIENCE)
        yield from stamina.retry_context(
            on=TransientError,
            attempts=None,
            timeout=patience,
            wait_initial=0.1,
            wait_max=5.0,
            wait_jitter=0.5,
        )

    def _once(self, method: str, path: str, params: Mapping[str, Any] | None, body: Any, lines: bool) -> Any:
        import elasticsearch

        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = NDJSON if lines else "application/json"
        try:
            answer = self.client.perform_request(method, path, params=params, headers=headers, body=body)
        except elasticsearch.UnsupportedProductError:
            raise StoreUnavailableError(
                f"what answers at {self.name} is not Elasticsearch",
                hint="check the address: soc config show --origin",
            ) from None
        except elasticsearch.ApiError as error:
            self._reached = True
            raise self._meaning(error.status_code, error.body, path) from None
        except elasticsearch.TransportError as error:
            raise self._broken(error) from None
        self._reached = True
        if not isinstance(answer.body, dict):
            raise self._unreadable()
        return Answer(answer.body, self._unreadable)

    def _unreadable(self, lacks: str = "") -> StoreUnavailableError:
        """What an answer means that is not what Elasticsearch says."""
        what = f"an answer without {lacks!r}" if lacks else "an answer that cannot be read"
        return StoreUnavailableError(f"{self.name} gave {what}", hint=self.next_step)

    def _broken(self, error: Exception) -> SocError:
        """What a failed connection means."""
        import elasticsearch

        text = str(getattr(error, "message", error))
        if isinstance(error, elasticsearch.SSLError) or "CERTIFICATE_VERIFY_FAILED" in text:
            if "CERTIFICATE_VERIFY_FAILED" in text:
                return StoreUnavailableError(
                    f"{self.name}: the certificate is not one that "
                    + (
                        f"the CA in {self._ca} has signed for this host"
                        if self._ca
                        else "this machine trusts"
                    ),
                    hint="set store.ca in soc.yml, or SOC_STORE_CA, to the CA certificate of the cluster",
                )
            return StoreUnavailableError(
                f"{self.name}: no TLS connection could be made", hint="is the address http:// or https://?"
            )
        if isinstance(error, elasticsearch.ConnectionTimeout):
            return TransientError(
                f"{self.name} did not answer within {self.timeout:g} s", hint=self.next_step
            )
        if isinstance(error, elasticsearch.SerializationError):
            return self._unreadable()
        what = "refused the connection" if "refused" in text.lower() else "cannot be reached"
        return TransientError(f"{self.name} {what}", hint=self.next_step)

    @property
    def next_step(self) -> str:
        """What to do when the server is not there."""
        return f"is it running? curl {self.name}/_cluster/health; then: soc doctor"

    def _meaning(self, status: int, body: Any, path: str) -> SocError:
        """What an answer that is not a success means."""
        kind, reason = error_of(body)
        if status == 401:
            who = "the name or password, or the API key" if self._auth else "a caller without a name"
            return NotAuthorisedError(
                f"{self.name} refused {who}",
                hint="check SOC_STORE_USER and SOC_STORE_PASSWORD, or SOC_STORE_API_KEY",
            )
        if status == 403 and kind == "security_exception":
            return missing_privilege(reason, _index_of(path))
        if status in BUSY:
            return TransientError(f"{self.name} is busy: {reason or status}", hint=self.next_step)
        return RefusedError(
            f"{self.name}: {reason or f'HTTP status {status}'}", status=status, kind=kind, reason=reason
        )

    def close(self) -> None:
        """Close the connections, if any were made."""
        if "client" in self.__dict__:
            self.client.close()


def error_of(body: Any) -> tuple[str, str]:
    """Type and reason of an Elasticsearch error, with its innermost cause; texts from the server, bounded."""
    if not isinstance(body, Mapping):
        return "", str(body or "")[:300]
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        return "", str(error)[:300]
    kind, reason = str(error.get("type", "")), str(error.get("reason", ""))
    cause = error.get("caused_by")
    while isinstance(cause, Mapping):
        inner = str(cause.get("reason", ""))
        if inner and inner not in reason:
            reason = f"{reason}: {inner}"
        cause = cause.get("caused_by")
    return kind, reason[:600]


_UNAUTHORISED = re.compile(
    r"action \[(?P<action>.+?)\] is unauthorized for (?:user|API key id) \[(?P<user>[^\]]*)\]"
)
_GRANTED = re.compile(r"granted by the (?P<scope>\w+) privileges? \[(?P<names>[^\]]+)\]")
_INDICES = re.compile(r"on (?:restricted )?indices \[(?P<names>[^\]]+)\]")

_SHIPPED_ROLES = (
    ("soc_collector", ("data/write/bulk", "data/write/index", "admin/create", "mapping")),
    ("soc_engineer", ("cluster:admin", "admin/delete", "admin/index_template", "admin/settings")),
    ("soc_sweeper", ("data/read", "monitor", "refresh", "admin/get")),
)


def _index_of(path: str) -> str:
    """The index pattern that a path of the REST API begins with, or ""."""
    first = path.split("/")[1].partition("?")[0]
    return "" if first.startswith("_") else first


def missing_privilege(reason: str, index: str = "") -> NotAuthorisedError:
    """The error for a user who lacks a privilege: which one, where, and the role that has it.

    `index` is what was asked for, where the server's `reason` does not name it.
    """
    found = _UNAUTHORISED.search(reason)
    if found is None:
        return NotAuthorisedError(
            "the store refused this user", hint="ask for a role: soc store init --dry-run lists them"
        )
    granted, indices = _GRANTED.search(reason), _INDICES.search(reason)
    privilege = granted["names"].split(",")[0] if granted else found["action"]
    scope = f"{granted['scope']} privilege" if granted else "right to"
    where = indices["names"] if indices else index
    return NotAuthorisedError(
        f"the store's user {found['user']!r} lacks the {scope} {privilege!r}"
        + (f" on {where}" if where else ""),
        hint=f"ask for the role {_role_for(found['action'], where)}: soc store init --dry-run lists them",
    )


def _role_for(action: str, where: str) -> str:
    """The role of ours (`elastic_schema.roles`) that may do an action there."""
    if re.search(r"documents|audit", where):
        return "soc_analyst"
    fitting = (role for role, words in _SHIPPED_ROLES if any(word in action for word in words))
    return next(fitting, "soc_engineer")
