"""Windows events as JSON, whoever wrote them, in one shape.

Read are: the JSON of EVTX records (`{"Event": {"System": …, "EventData": …}}`, attributes under
`#attributes` or with `@`), Winlogbeat (nested or dotted), and flat forms such as NXLog's (`EventID`,
`Channel`, `Hostname` and the event's data beside them).

The shape: `time channel id provider provider_guid computer record_id level task opcode keywords version pid
tid sid activity_id message`, and `data`: every value of EventData or UserData as text, as Windows renders
it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from soc.collect.formats.jsonlines import parse

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")

_FLAT_SYSTEM = {
    "EventID": "id",
    "EventId": "id",
    "Channel": "channel",
    "LogName": "channel",
    "Hostname": "computer",
    "Computer": "computer",
    "ComputerName": "computer",
    "SourceName": "provider",
    "ProviderName": "provider",
    "Provider_Name": "provider",
    "ProviderGuid": "provider_guid",
    "RecordNumber": "record_id",
    "EventRecordID": "record_id",
    "RecordId": "record_id",
    "Task": "task",
    "Opcode": "opcode",
    "OpcodeValue": "opcode",
    "Keywords": "keywords",
    "Version": "version",
    "ExecutionProcessID": "pid",
    "ThreadID": "tid",
    "UserID": "sid",
    "ActivityID": "activity_id",
    "Message": "message",
    "SeverityValue": "severity",
    "Level": "level",
}
"""Names of the flat forms; whatever else such a document has is data of the event."""

_FLAT_TIMES = (
    "UtcTime",
    "SystemTime",
    "TimeCreated",
    "@timestamp",
    "EventTime",
    "EventReceivedTime",
    "timestamp",
)
_FLAT_NOISE = frozenset(
    {"SourceModuleName", "SourceModuleType", "EventReceivedTime", "EventType", "Severity", "SeverityValue",
    "@version",
     "host", "port", "tags", "Category", "OpcodeValue"}
)  # fmt: skip


def parse_line(line: str) -> dict[str, Any] | None:
    """A line of JSON as a record; None for the brackets of an array, ValueError where it is no Windows
    event."""
    document = parse(line)
    return None if document is None else record(document)


def record(document: Mapping[str, Any]) -> dict[str, Any]:
    """A Windows event of any of the known forms in the one shape. ValueError where it is none."""
    if isinstance(event := document.get("Event"), dict) and isinstance(event.get("System"), dict):
        return _from_xml(event)
    if isinstance(document.get("System"), dict):
        return _from_xml(document)
    if (
        isinstance(document.get("winlog"), dict)
        or "winlog.channel" in document
        or "winlog.event_id" in document
    ):
        return _from_winlogbeat(document)
    if "EventID" in document or "EventId" in document:
        return _from_flat(document)
    raise ValueError("not a Windows event: neither Event.System, winlog nor EventID is there")


def text(value: Any) -> str:
    """A value as Windows renders it in XML."""
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _attributes(value: Any) -> Mapping[str, Any]:
    """The attributes of an element, under `#attributes` or with `@`."""
    if not isinstance(value, dict):
        return {}
    inner = value.get("#attributes")
    if isinstance(inner, dict):
        return inner
    return {k.lstrip("@"): v for k, v in value.items() if isinstance(k, str)}


def _scalar(value: Any) -> str:
    """The text of an element that may carry attributes."""
    if type(value) is str:
        return value
    if isinstance(value, dict):
        value = value.get("#text", value.get("Value", value.get("text")))
    return text(value) if not isinstance(value, (dict, list)) else ""


def _guid(value: Any) -> str:
    """A GUID in braces, as Windows writes it."""
    name = text(value)
    return f"{{{name}}}" if _GUID.match(name) else name


def _from_xml(event: Mapping[str, Any]) -> dict[str, Any]:
    system = event["System"]
    provider = _attributes(system.get("Provider"))
    execution = _attributes(system.get("Execution"))
    created = _attributes(system.get("TimeCreated"))
    data: dict[str, Any] = {}
    for name in ("EventData", "UserData", "ProcessingErrorData"):
        if isinstance(part := event.get(name), (dict, list)):
            _data(data, part)
    return {
        "time": created.get("SystemTime"),
        "channel": _scalar(system.get("Channel")),
        "id": _scalar(system.get("EventID")),
        "provider": text(provider.get("Name")),
        "provider_guid": _guid(provider.get("Guid")),
        "computer": _scalar(system.get("Computer")),
        "record_id": _scalar(system.get("EventRecordID")),
        "level": _scalar(system.get("Level")),
        "task": _scalar(system.get("Task")),
        "opcode": _scalar(system.get("Opcode")),
        "keywords": _scalar(system.get("Keywords")),
        "version": _scalar(system.get("Version")),
        "pid": text(execution.get("ProcessID")),
        "tid": text(execution.get("ThreadID")),
        "sid": text(_attributes(system.get("Security")).get("UserID")),
        "activity_id": _guid(_attributes(system.get("Correlation")).get("ActivityID")),
        "data": data,
    }


def _data(out: dict[str, Any], part: Any) -> None:
    """The values of EventData or UserData, by name; values without a name are `param1`, … and together
    `Data`."""
    if isinstance(part, list):
        items = [i for i in part if isinstance(i, dict)]
        named = [(text(_attributes(i).get("Name")), _scalar(i)) for i in items]
        for name, value in named:
            if name and name not in out:
                out[name] = value
        _unnamed(out, [value for name, value in named if not name])
        return
    for name, value in part.items():
        if name.startswith(("#", "xmlns", "@")):
            continue
        if type(value) is str and name != "Data":  # what nearly all of them are
            if value and name not in out:
                out[name] = _guid(value) if name[-4:].lower() == "guid" else value
        elif name == "Data":
            inner = value.get("#text") if isinstance(value, dict) and "#text" in value else value
            if isinstance(inner, list) and any(isinstance(i, dict) for i in inner):
                _data(out, inner)
            else:
                _unnamed(out, [text(i) for i in inner] if isinstance(inner, list) else [text(inner)])
        elif isinstance(value, dict):
            if "#text" in value:
                inner = value["#text"]
                out.setdefault(name, [text(i) for i in inner] if isinstance(inner, list) else text(inner))
            else:
                _data(out, value)
        elif isinstance(value, list):
            out.setdefault(name, [text(i) for i in value if not isinstance(i, (dict, list))])
        else:
            rendered = text(value)
            if rendered:
                out.setdefault(name, _guid(rendered) if name[-4:].lower() == "guid" else rendered)


def _unnamed(out: dict[str, Any], values: list[str]) -> None:
    kept = [value for value in values if value]
    if kept:
        out["Data"] = kept if len(kept) > 1 else kept[0]
        out.update({f"param{i}": value for i, value in enumerate(values, start=1) if value})


def _from_winlogbeat(document: Mapping[str, Any]) -> dict[str, Any]:
    from soc.event import flatten

    flat = flatten(document)
    data: dict[str, Any] = {}
    for name, value in flat.items():
        for prefix in ("winlog.event_data.", "winlog.user_data."):
            if name.startswith(prefix) and not name.endswith(".xml_name"):
                data[name[len(prefix) :]] = (
                    [text(v) for v in value] if isinstance(value, list) else text(value)
                )
    params = [data[f"param{i}"] for i in range(1, 100) if f"param{i}" in data]
    if params and "Data" not in data:
        data["Data"] = params if len(params) > 1 else params[0]
    keywords = flat.get("winlog.keywords")
    return {
        "time": flat.get("@timestamp"),
        "channel": text(flat.get("winlog.channel")),
        "id": text(flat.get("winlog.event_id", flat.get("event.code"))),
        "provider": text(flat.get("winlog.provider_name", flat.get("event.provider"))),
        "provider_guid": text(flat.get("winlog.provider_guid")),
        "computer": text(flat.get("winlog.computer_name", flat.get("host.name"))),
        "record_id": text(flat.get("winlog.record_id")),
        "level_name": text(flat.get("log.level")),
        "task": text(flat.get("winlog.task")),
        "opcode": text(flat.get("winlog.opcode")),
        "keywords": keywords if isinstance(keywords, list) else text(keywords),
        "version": text(flat.get("winlog.version")),
        "pid": text(flat.get("winlog.process.pid")),
        "tid": text(flat.get("winlog.process.thread.id")),
        "sid": text(flat.get("winlog.user.identifier")),
        "activity_id": text(flat.get("winlog.activity_id")),
        "message": text(flat.get("message")),
        "data": data,
    }


def _from_flat(document: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for name, value in document.items():
        known = _FLAT_SYSTEM.get(name)
        if known is not None and not isinstance(value, (dict, list)):
            out.setdefault(known, text(value))
        if name in _FLAT_NOISE or isinstance(value, dict):
            continue
        if known in {None, "task", "level"} or name == "ProviderName":
            data[name] = [text(v) for v in value] if isinstance(value, list) else text(value)
    for name in ("EventData", "UserData"):
        if isinstance(part := document.get(name), dict):
            _data(data, part)
    out["time"] = next((document[n] for n in _FLAT_TIMES[1:] if document.get(n)), None)
    out["data"] = {
        k: v
        for k, v in data.items()
        if v and k not in {"@timestamp", "EventTime", "SystemTime", "TimeCreated"}
    }
    return out
