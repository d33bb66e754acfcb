"""The real Elasticsearch node of the tests.

One node serves the whole run, also with several workers; a second one has security and TLS. Each test gets
a space of its own, so that tests do not meet. `SOC_TEST_ELASTICSEARCH_URL` names another cluster to use
instead of the first. Where no server can be had, its tests are skipped with the reason, and fail under
`CI=true`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from soc.config import StoreSettings
from tests import elastic_node as nodes

URL = "SOC_TEST_ELASTICSEARCH_URL"
_RUN = "SOC_TEST_RUN_FOLDER"
_OWNER = "SOC_TEST_RUN_OWNER"

ADMIN = "elastic_admin"
PASSWORD = "a test's own secret"


def _index(names: list[str], *privileges: str) -> dict[str, list[str]]:
    return {"names": names, "privileges": list(privileges)}


EVENTS, DOCUMENTS, AUDIT = ["soc-*events-*"], ["soc-*documents"], ["soc-*audit"]
ROLES = {
    "soc_admin": {"cluster": ["all"], "indices": [_index(["*"], "all")]},
    "soc_collector": {"indices": [_index(EVENTS, "create_index", "create_doc")]},
    "soc_sweeper": {
        "indices": [
            _index(EVENTS, "read", "monitor", "maintenance", "view_index_metadata"),
            _index(DOCUMENTS, "read", "write", "maintenance"),
            _index(AUDIT, "read", "create_doc", "maintenance"),
        ]
    },
    "soc_analyst": {
        "indices": [
            _index(EVENTS, "read", "maintenance"),
            _index(DOCUMENTS, "read", "write", "maintenance"),
            _index(AUDIT, "read", "create_doc", "maintenance"),
        ]
    },
    "beats_reader": {"indices": [_index(["winlogbeat-*"], "read")]},
}
SECURE = nodes.Plan(
    "secure",
    heap="768m",
    roles=ROLES,
    users={
        ADMIN: (PASSWORD, ("soc_admin",)),
        "collector": (PASSWORD, ("soc_collector",)),
        "sweeper": (PASSWORD, ("soc_sweeper",)),
        "lan": (PASSWORD, ("soc_analyst",)),
        "minh": (PASSWORD, ("soc_analyst",)),
        "guest": (PASSWORD, ("soc_analyst", "beats_reader")),
    },
)
PLAIN = nodes.Plan("plain")
SMALL = nodes.Plan("small", heap="512m")


def pytest_configure(config: pytest.Config) -> None:
    """Name the folder that all workers of this run share; the process that made it also clears it."""
    if not hasattr(config, "workerinput"):
        os.environ[_RUN] = tempfile.mkdtemp(prefix="soc-test-run-")
        os.environ[_OWNER] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the nodes of this run."""
    if hasattr(config, "workerinput") or os.environ.get(_OWNER) != str(os.getpid()):
        return
    folder = Path(os.environ.pop(_RUN))
    del os.environ[_OWNER]
    nodes.stop_all(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _node(plan: nodes.Plan) -> nodes.Node:
    try:
        return nodes.shared(Path(os.environ[_RUN]), plan, int(os.environ[_OWNER]))
    except nodes.NoNodeError as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"no Elasticsearch, and CI needs one: {error}", pytrace=False)
        pytest.skip(f"no Elasticsearch: {error}")


@pytest.fixture(scope="session")
def elastic_node() -> nodes.Node:
    """A node without security that every test shares."""
    given = os.environ.get(URL, "").rstrip("/")
    return nodes.Node(url=given) if given else _node(PLAIN)


@pytest.fixture(scope="session")
def secure_node() -> nodes.Node:
    """A node with users, roles and TLS from a self-signed certificate."""
    return _node(SECURE)


@pytest.fixture(scope="session")
def small_node() -> nodes.Node:
    """A node with little memory."""
    return _node(SMALL)


def _sweep_away(node: nodes.Node, space: str) -> None:
    """Remove what a test left in its space."""
    # the server deletes indices by their whole names only
    names = node.request(
        "GET", f"/soc-{space}-*/_settings?expand_wildcards=all&filter_path=*.settings.index.uuid"
    )
    for start in range(0, len(names), 50):
        node.request("DELETE", "/" + ",".join(sorted(names)[start : start + 50]))
    node.request("DELETE", f"/_index_template/soc-{space}-*", check=False)


@pytest.fixture
def space() -> str:
    """A name that no other test has."""
    return f"t{uuid4().hex[:10]}"


@pytest.fixture
def elastic_settings(elastic_node: nodes.Node, space: str) -> Iterator[StoreSettings]:
    """Settings of a store in a space of its own on the shared node."""
    yield StoreSettings(target=elastic_node.url, space=space)
    _sweep_away(elastic_node, space)


@pytest.fixture
def secure_settings(
    secure_node: nodes.Node, space: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StoreSettings]:
    """Settings of a store in a space of its own on the node with security, as its administrator."""
    monkeypatch.setenv("SOC_STORE_PASSWORD", PASSWORD)
    yield StoreSettings(target=secure_node.url, user=ADMIN, ca=secure_node.ca, space=space)
    _sweep_away(secure_node, space)
