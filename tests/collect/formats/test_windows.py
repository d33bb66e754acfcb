"""Windows events in every form that programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soc.collect.collector import Context, load_collectors
from soc.collect.formats.evtx_file import records
from soc.collect.formats.registry import Broken
from soc.collect.formats.windows import record
from soc.content import shipped


def test_attributes_are_found_in_both_spellings() -> None:
    """`#attributes` of one library and `@Name` of another mean the same."""
    system: dict[str, Any] = {"EventID": {"#text": "7045"}, "Channel": "System", "Computer": "c"}
    one = record({"Event": {"System": {**system, "Provider": {"#attributes": {"Name": "P"}}}}})
    two = record({"Event": {"System": {**system, "Provider": {"@Name": "P"}}}})
    assert one == two
    assert (one["id"], one["provider"]) == ("7045", "P")


def test_values_without_names_are_numbered_and_kept_together() -> None:
    """`<Data>` without a name is `param1`, …, and `Data` has all of them."""
    data = record({"System": {"EventID": 800}, "EventData": {"Data": {"#text": ["a", "", "c"]}}})["data"]
    assert data == {"Data": ["a", "c"], "param1": "a", "param3": "c"}


def test_data_as_a_list_of_named_values() -> None:
    """The shape of XML-to-JSON converters."""
    event = {
        "System": {"EventID": 1},
        "EventData": {"Data": [{"@Name": "Image", "#text": "x"}, {"@Name": "N", "#text": 1}]},
    }
    assert record({"Event": event})["data"] == {"Image": "x", "N": "1"}


def test_user_data_is_flattened() -> None:
    """What stands below an element of its own is data of the event."""
    event = {
        "System": {"EventID": 1102},
        "UserData": {"LogFileCleared": {"#attributes": {"xmlns": "u"}, "SubjectUserName": "a"}},
    }
    assert record({"Event": event})["data"] == {"SubjectUserName": "a"}


def test_values_are_text_as_windows_renders_them() -> None:
    """Numbers, booleans and GUIDs; nothing for what is empty."""
    data = {
        "Pid": 12,
        "Signed": True,
        "LogonGuid": "DFAE8213-9310-5CE1-0000-0010EABA0A00",
        "Empty": None,
        "None": "",
    }
    assert record({"System": {"EventID": 1}, "EventData": data})["data"] == {
        "Pid": "12",
        "Signed": "true",
        "LogonGuid": "{DFAE8213-9310-5CE1-0000-0010EABA0A00}",
    }


@pytest.mark.parametrize("document", [{}, {"a": 1}, {"Event": {}}, {"Event": {"System": 1}}, {"System": []}])
def test_what_is_no_windows_event_is_an_error(document: dict[str, Any]) -> None:
    """The reason is said."""
    with pytest.raises(ValueError, match="not a Windows event"):
        record(document)


def test_a_file_that_is_no_event_log_is_broken(tmp_path: Path) -> None:
    """One finding, no exception."""
    file = tmp_path / "x.evtx"
    for raw in (b"", b"text", b"ElfFile\0", b"ElfFile\0" + b"\0" * 5000):
        file.write_bytes(raw)
        found = list(records(file, {}))
        assert found
        assert all(isinstance(item, Broken) for item in found)


@pytest.mark.data
def test_half_an_event_log_gives_its_half_and_says_so(data_folder: Path, tmp_path: Path) -> None:
    """The records that are there are read; the end is reported."""
    whole = max((data_folder / "evtx").rglob("*.evtx"), key=lambda p: p.stat().st_size)
    raw = whole.read_bytes()
    half = tmp_path / "half.evtx"
    half.write_bytes(raw[: 4096 + 65536 + 30000])
    found = list(records(half, {}))
    assert isinstance(found[-1], Broken)
    assert "ends early" in found[-1].reason
    assert 1 < len(found) < len(list(records(whole, {})))


@pytest.mark.data
@pytest.mark.slow
def test_every_real_event_log_is_read(data_folder: Path) -> None:
    """No record of the outside data is unreadable, and each has its channel's or provider's name and a
    code."""
    collector = load_collectors([shipped("collectors")])["windows-evtx"]
    for file in sorted((data_folder / "evtx").rglob("*.evtx")):
        for _, event in collector.decoder(Context()).file(file):
            assert event["event.kind"] != "pipeline_error", (file, event["error.message"])
            assert event["event.code"]
            assert event["winlog.provider_name"]
