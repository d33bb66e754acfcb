"""Indicators from outside: plain and CSV lists, MISP events, STIX 2.1 bundles, in one shape.

The shape: `type value` and by type one of `ip cidr domain url md5 sha1 sha256 email`, then `port name
description confidence tlp first last valid_until provider reference tags id time`. `confidence` runs from 0
to 100 (STIX 2.1, appendix A), `tlp` is one of CLEAR, GREEN, AMBER, AMBER+STRICT, RED (FIRST TLP 2.0). An
indicator that its source takes back is a record as well (`taken_back`), which takes the place of what was
said before.
"""

from __future__ import annotations

import csv
import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from soc.collect.formats import jsonfile
from soc.collect.formats.registry import Broken

Indicator = dict[str, Any]
Record = tuple[str, Indicator] | Broken

_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{1,62}\.?\Z"
)
_EMAIL = re.compile(r"[^@\s,;]{1,64}@[A-Za-z0-9.-]{1,253}\Z")
_URL = re.compile(r"(?:https?|ftp|tcp|udp)://[^\s]{1,4000}\Z", re.IGNORECASE)
_HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_HEX = re.compile(r"[0-9A-Fa-f]+\Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\Z")
_TLP = re.compile(r"(?i)(?:tlp:)?(clear|white|green|amber\+strict|amber|red)\Z")
_HEADER = frozenset(
    [
        "value",
        "indicator",
        "ioc",
        "ip",
        "address",
        "ip_address",
        "ipaddress",
        "domain",
        "host",
        "hostname",
        "url",
        "hash",
        "sha256",
        "md5",
        "sha1",
        "dst_ip",
        "dstip",
        "first_seen",
        "firstseen",
        "first_seen_utc",
        "type",
        "id",
        "date",
        "botnet_ip",
        "c2_ip",
    ]
)


_TYPE_WORDS = frozenset(
    {
        *("ip", "ipv4", "ipv6", "ipv4-addr", "ipv6-addr", "domain", "domain-name", "hostname", "url", "file"),
        *("hash", "md5", "sha1", "sha256", "email"),
    }
)
"""Cells that only say what kind of value stands beside them."""


def refang(value: str) -> str:
    """A value that was made harmless for mail (`hxxp://203.0.113[.]7`) as it was."""
    out = value.strip().replace("[.]", ".").replace("(.)", ".").replace("[:]", ":").replace("[@]", "@")
    return re.sub(r"(?i)\Ahxxp", "http", out)


def classify(value: str) -> Indicator | None:
    """What a value is: its type and parts; None when it is nothing that can be looked for."""
    text = refang(value)
    if not text or len(text) > 4096:
        return None
    if _URL.match(text):
        return {"type": "url", "value": text, "url": text, "host": _host(text)}
    address = _address(text)
    if address is not None:
        return address
    if (kind := _HASHES.get(len(text))) and _HEX.match(text):
        return {"type": "file", "value": text.lower(), kind: text.lower()}
    if _EMAIL.match(text):
        return {"type": "email-addr", "value": text, "email": text}
    host, _, port = text.partition(":")
    host = _ascii(host)
    if _DOMAIN.match(host) and (not port or port.isdigit()):
        name = host.rstrip(".").lower()
        return {"type": "domain-name", "value": name, "domain": name, "port": port or None}
    return None


def _ascii(host: str) -> str:
    """A name in its ASCII form (IDNA); as it is where it has none."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _address(text: str) -> Indicator | None:
    """An address, a network, or an address with a port."""
    port = ""
    candidate = text
    if text.startswith("["):
        candidate, _, tail = text[1:].partition("]")
        port = tail.removeprefix(":")
    elif text.count(":") == 1 and "." in text:
        candidate, _, port = text.partition(":")
    try:
        if "/" in candidate:
            network = ipaddress.ip_network(candidate, strict=False)
            return {"type": f"ipv{network.version}-addr", "value": str(network), "cidr": str(network)}
        parsed = ipaddress.ip_address(candidate)
    except ValueError:
        return None
    if port and not port.isdigit():
        return None
    return {
        "type": f"ipv{parsed.version}-addr",
        "value": str(parsed),
        "ip": str(parsed),
        "port": port or None,
    }


def _host(url: str) -> str | None:
    found = re.match(r"[A-Za-z]+://(?:[^/@?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^/:?#]+)", url)
    return found.group(1).strip("[]").lower() if found else None


def tlp(word: Any) -> str | None:
    """A marking of the Traffic Light Protocol 2.0; `WHITE` of 1.0 is `CLEAR`."""
    found = _TLP.match(str(word or "").strip())
    return None if found is None else found.group(1).upper().replace("WHITE", "CLEAR")


def parse_line(line: str) -> Indicator | None:
    """A line of a list: a value alone, or cells of which one is the value; None for a comment or a header.

    The cells are told by what they hold, so columns may stand in any order: the first value that can be
    looked for, dates (first seen or valid from, then valid until), a number up to 100 (confidence), a TLP
    marking, a URL behind the value (reference), a port; what is left is the description. ValueError where no
    cell is a value.
    """
    text = line.strip()
    if text.startswith(("#", ";", "//")):
        return None
    separator = next((s for s in ("\t", ";", "|", ",") if s in text), ",")
    try:
        cells = [
            cell.strip() for cell in next(csv.reader([text], delimiter=separator, skipinitialspace=True))
        ]
    except (csv.Error, StopIteration) as error:
        raise ValueError(f"not a line of a list: {error}") from None
    if len(cells) == 1:
        cells = [text.partition(" #")[0].strip()]
    found: Indicator | None = None
    rest: list[str] = []
    for cell in cells:
        if found is None and cell and not _DATE.match(cell) and (found := classify(cell)) is not None:
            continue
        rest.append(cell)
    if found is None:
        if any(cell.lower().strip('"') in _HEADER for cell in cells):
            return None
        raise ValueError("no address, domain, URL, hash or mail address on this line")
    _describe(found, rest)
    return found


def is_plain(line: str) -> bool:
    """Whether a line is nothing but a value: rows with more cells may be those of any log with an address."""
    return classify(line.partition(" #")[0]) is not None


def _describe(indicator: Indicator, cells: list[str]) -> None:
    words: list[str] = []
    dates: list[str] = []
    for cell in cells:
        if not cell:
            continue
        if _DATE.match(cell):
            dates.append(cell)
        elif marking := tlp(cell):
            indicator["tlp"] = marking
        elif cell.isdigit() and len(cell) <= 5:
            if int(cell) <= 100 and "confidence" not in indicator:
                indicator["confidence"] = int(cell)
            elif "ip" in indicator and not indicator.get("port"):
                indicator["port"] = cell
        elif _URL.match(cell):
            indicator["reference"] = cell
        elif cell.lower() not in _TYPE_WORDS:
            words.append(cell)
    if dates:
        indicator["first"] = dates[0]
        indicator["valid_until"] = dates[1] if len(dates) > 1 else None
    if words:
        indicator["description"] = "; ".join(words)


_OF_VALUE = ("type", "value", "ip", "cidr", "domain", "host", "url", "port", "email", *_HASHES.values())


def taken_back(indicator: Indicator) -> Indicator:
    """An indicator that its source no longer stands by: its value is where no rule looks for one to find."""
    left = {name: value for name, value in indicator.items() if name not in _OF_VALUE}
    return {**left, "revoked": True, "revoked_type": indicator["type"], "revoked_value": indicator["value"]}


# -- MISP


_MISP_TYPES = frozenset(
    {
        *(
            "ip-src",
            "ip-dst",
            "ip-src|port",
            "ip-dst|port",
            "domain",
            "hostname",
            "domain|ip",
            "hostname|port",
        ),
        *("url", "uri", "link", "md5", "sha1", "sha256", "sha512", "filename|md5", "filename|sha1"),
        *("filename|sha256", "email", "email-src", "email-dst", "malware-sample", "ja3-fingerprint-md5"),
    }
)
"""Types of attributes whose value can be looked for."""


def misp(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:  # noqa: ARG001 - the signature of every file format
    """A MISP export: one event, a list of events, or the answer of its search; an indicator for each
    attribute."""
    document = jsonfile.document(path)
    if isinstance(document, Broken):
        yield document
        return
    events = list(_misp_events(document))
    if not events:
        yield Broken("not a MISP export: there is no Event with Attribute")
    for event in events:
        marks = [str(t.get("name", "")) for t in event.get("Tag") or [] if isinstance(t, dict)]
        attributes = list(event.get("Attribute") or [])
        for thing in event.get("Object") or []:
            if isinstance(thing, dict):
                attributes += thing.get("Attribute") or []
        for attribute in attributes:
            if not isinstance(attribute, dict) or attribute.get("type") not in _MISP_TYPES:
                continue
            record = _misp_attribute(attribute, event, marks)
            # one that was deleted without ever saying what it is takes nothing back
            if not (attribute.get("deleted") and isinstance(record, Broken)):
                yield record


def _misp_events(document: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, dict) and isinstance(document.get("response"), (list, dict)):
        document = document["response"]
    if isinstance(document, dict) and isinstance(document.get("Attribute"), list) and "Event" not in document:
        yield {"Attribute": document["Attribute"]}
        return
    for item in document if isinstance(document, list) else [document]:
        event = item.get("Event", item) if isinstance(item, dict) else None
        if isinstance(event, dict) and ("Attribute" in event or "Object" in event):
            yield event


def _misp_attribute(attribute: Mapping[str, Any], event: Mapping[str, Any], marks: list[str]) -> Record:
    kind, value = str(attribute["type"]), str(attribute.get("value") or "")
    source = jsonfile.source(attribute)
    port = ""
    if "|" in kind and "|" in value:
        left, _, right = value.partition("|")
        if kind.startswith("filename|"):
            name, value = left, right
        else:
            name, value, port = "", left, right if kind.endswith("|port") else ""
    else:
        name = ""
    found = classify(value)
    if found is None:
        return Broken(f"the value of this attribute is no {kind}", source)
    tags = [str(t.get("name", "")) for t in attribute.get("Tag") or [] if isinstance(t, dict)]
    organisation = event.get("Orgc") or event.get("Org")
    found.update(
        port=port or found.get("port"),
        name=event.get("info"),
        filename=name or None,
        description=attribute.get("comment") or event.get("info"),
        tlp=next(
            (mark for tag in [*tags, *marks] if tag.lower().startswith("tlp:") and (mark := tlp(tag))), None
        ),
        tags=[*dict.fromkeys([*marks, *tags])],
        provider=organisation.get("name") if isinstance(organisation, dict) else "MISP",
        category=attribute.get("category"),
        first=attribute.get("first_seen"),
        last=attribute.get("last_seen"),
        detects=attribute.get("to_ids"),
        id=attribute.get("uuid"),
        event=event.get("uuid"),
        time=attribute.get("timestamp") or event.get("timestamp"),
    )
    return source, taken_back(found) if attribute.get("deleted") else found


# -- STIX

_PATTERN = re.compile(
    r"\[?\s*\(?\s*(ipv4-addr|ipv6-addr|domain-name|url|file|email-addr|email-message|network-traffic)\s*:\s*([\w.'\"-]+)\s*"
    r"(?:=|IN|ISSUBSET)\s*'((?:[^'\\]|\\.)*)'"
)
_MARKINGS = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "CLEAR",
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": "CLEAR",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "GREEN",
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "GREEN",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "AMBER",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": "AMBER",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": "AMBER+STRICT",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "RED",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": "RED",
}
"""Ids of the TLP markings, 1.0 (STIX 2.1, section 7.2.1.4) and 2.0 (its extension)."""


def stix(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:  # noqa: ARG001 - the signature of every file format
    """A STIX 2.0 or 2.1 bundle: an indicator for each value that a pattern of an indicator object compares
    with."""
    document = jsonfile.document(path)
    if isinstance(document, Broken):
        yield document
        return
    objects = document.get("objects") if isinstance(document, dict) else None
    if not isinstance(objects, list):
        yield Broken("not a STIX bundle: it has no objects")
        return
    names = {
        o.get("id"): o.get("name") for o in objects if isinstance(o, dict) and o.get("type") == "identity"
    }
    for item in objects:
        if isinstance(item, dict) and item.get("type") == "indicator":
            yield from _stix_indicator(item, names)


def _stix_indicator(item: Mapping[str, Any], names: Mapping[Any, Any]) -> Iterator[Record]:
    source = jsonfile.source(item)
    revoked = bool(item.get("revoked"))
    if item.get("pattern_type", "stix") != "stix":
        if not revoked:
            yield Broken(f"a pattern of type {item['pattern_type']} is not read", source)
        return
    compared = _PATTERN.findall(str(item.get("pattern") or ""))
    values = [
        re.sub(r"\\(.)", r"\1", value)
        for kind, name, value in compared
        if kind == "domain-name" or name != "name"
    ]
    found = [one for value in dict.fromkeys(values) if (one := classify(value)) is not None]
    if not found:
        if not revoked:
            yield Broken("the pattern compares nothing that can be looked for", source)
        return
    references = item.get("external_references") or []
    marking = next((_MARKINGS[m] for m in item.get("object_marking_refs") or [] if m in _MARKINGS), None)
    for one in found:
        one.update(
            name=item.get("name"),
            description=item.get("description") or item.get("name"),
            confidence=item.get("confidence"),
            tlp=marking,
            tags=[*(item.get("indicator_types") or []), *(item.get("labels") or [])],
            provider=names.get(item.get("created_by_ref")),
            reference=next((r["url"] for r in references if isinstance(r, dict) and r.get("url")), None),
            first=item.get("valid_from"),
            valid_from=item.get("valid_from"),
            valid_until=item.get("valid_until"),
            modified=item.get("modified"),
            id=item.get("id"),
            time=item.get("modified") or item.get("created"),
        )
        yield source, taken_back(one) if revoked else one
