"""What else is in a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.config import StoreSettings
from soc.store.contract import ForeignIndices
from soc.store.elastic_connection import Connection
from soc.store.elastic_survey import survey
from tests.harness import soc

pytestmark = pytest.mark.elastic


def test_indices_of_others_are_found_by_pattern(elastic_settings: StoreSettings, tmp_path: Path) -> None:
    """Daily indices are one pattern with their documents and newest time; `soc init` writes them down."""
    connection = Connection(elastic_settings)
    names = [f"winlogbeat-8.19.2-{elastic_settings.space}-2026.03.0{day}" for day in (1, 2)]
    try:
        for day, name in enumerate(names, 1):
            body = {"@timestamp": f"2026-03-0{day}T08:00:00.000Z"}
            connection.call(
                "PUT", f"/{name}", body={"mappings": {"properties": {"@timestamp": {"type": "date"}}}}
            )
            connection.call("POST", f"/{name}/_doc", params={"refresh": "true"}, body=body)
        pattern = names[0].removesuffix("-2026.03.01") + "-*"
        found = [one for one in survey(connection) if one.pattern == pattern]
        assert found == [ForeignIndices(pattern, 2, 2, "2026-03-02T08:00:00.000Z")]
        where = ["--store", elastic_settings.target, "--space", elastic_settings.space]
        text = soc("init", "--from-store", "--dry-run", *where, cwd=tmp_path).ok().out
        assert f"#   {pattern}: 2, 2026-03-02T08:00:00.000Z" in text
        assert f"target: '{elastic_settings.target}'" in text
    finally:
        for name in names:
            connection.call("DELETE", f"/{name}", params={"ignore_unavailable": "true"})
        connection.close()
