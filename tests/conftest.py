"""What all tests share: plugins, and a world of their own for configuration, data and cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.plugins.data", "tests.plugins.elastic"]

# drawn values are the same in each run, and a busy machine is no failure; SOC_TEST_SIZE asks for more of them
settings.register_profile(
    "soc",
    derandomize=True,
    deadline=None,
    max_examples=60 * int(os.environ.get("SOC_TEST_SIZE", "1")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("soc")


@pytest.fixture(autouse=True)
def own_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configuration, data and cache folders of this test alone; nothing of the developer's is read."""
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        folder = home if name == "HOME" else home / name.lower()
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(folder))
    for name in (
        "SOC_STORE",
        "SOC_CONFIG",
        "SOC_SPACE",
        "SOC_OUTPUT",
        "SOC_STORE_USER",
        "SOC_STORE_PASSWORD",
        "SOC_STORE_API_KEY",
        "SOC_STORE_CA",
        "NO_COLOR",
        "COLUMNS",
    ):
        monkeypatch.delenv(name, raising=False)
    return home
