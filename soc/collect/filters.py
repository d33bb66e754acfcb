"""Filters: small conversions that a collector names after a raw value, as in `target | path`.

A filter takes one value and gives another, or None for nothing. None raises: a value that a filter cannot
read gives None or passes unchanged, as its docstring says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

Filter = Callable[[Any], Any]


def _text(value: Any) -> str | None:
    if type(value) is str:
        return value
    return None if value is None or isinstance(value, (dict, list, bool)) else str(value)


def lower(value: Any) -> Any:
    """Text in small letters."""
    text = _text(value)
    return None if text is None else text.lower()


def upper(value: Any) -> Any:
    """Text in capitals."""
    text = _text(value)
    return None if text is None else text.upper()


def strip(value: Any) -> Any:
    """Text without white space around it."""
    text = _text(value)
    return None if text is None else text.strip()


def text(value: Any) -> Any:
    """A number as text."""
    return _text(value)


def number(value: Any) -> Any:
    """The digits at the beginning of a text, as a number: `15ms` is 15."""
    found = re.match(r"\s*(-?\d{1,18})", _text(value) or "")
    return int(found.group(1)) if found else None


_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?(/[^?#]*)?", re.ASCII)


def path(value: Any) -> Any:
    """The path of a request target or URL: what stands before `?` and `#`; None where there is none (`*`)."""
    if type(value) is not str:
        return None
    if value[:1] == "/":
        at = value.find("?")
        out = value if at < 0 else value[:at]
        return out.partition("#")[0] if "#" in out else out
    found = _URL.match(value)
    return found.group(1) if found else None


def query(value: Any) -> Any:
    """The query of a request target or URL: what stands after the first `?` and before `#`."""
    if type(value) is not str:
        return None
    at = value.find("?")
    return None if at < 0 else value[at + 1 :].partition("#")[0] or None


def extension(value: Any) -> Any:
    """The extension of a path's last part, in small letters and without the dot."""
    name = basename(value)
    if name is None or "." not in name[1:]:
        return None
    out = name.rpartition(".")[2].lower()
    return out if 0 < len(out) <= 16 else None


def basename(value: Any) -> Any:
    """The last part of a path with slashes or backslashes."""
    name = _text(value)
    return None if name is None else name.rpartition("/")[2].rpartition("\\")[2] or None


def folder(value: Any) -> Any:
    """The folder of a path with slashes or backslashes: all before the last part."""
    name = _text(value)
    if name is None:
        return None
    at = max(name.rfind("/"), name.rfind("\\"))
    return name[:at] or name[: at + 1] or None if at >= 0 else None


def unquote(value: Any) -> Any:
    """Percent escapes and `+` decoded."""
    return unquote_plus(value) if type(value) is str else None


_addresses: dict[str, bool] = {}


def is_address(value: str) -> bool:
    """Whether a text is an IP address (with or without brackets, zone or mapping)."""
    known = _addresses.get(value)
    if known is None:
        try:
            ipaddress.ip_address(value.partition("%")[0].strip("[]"))
            known = True
        except ValueError:
            known = False
        if len(_addresses) > 65536:
            _addresses.clear()
        _addresses[value] = known
    return known


def address(value: Any) -> Any:
    """The value if it is an IP address, else nothing.

    `192.0.2.1:80` and `[2001:db8::1]:80` lose their port.
    """
    if type(value) is not str:
        return None
    if is_address(value):
        return value
    host, _, port = value.rpartition(":")
    return host if port.isdigit() and is_address(host) and ("." in host or host[:1] == "[") else None


def domain(value: Any) -> Any:
    """The value if it can be a host name and is no IP address, else nothing; a port is taken off."""
    if type(value) is not str or is_address(value):
        return None
    host = value.partition(":")[0]
    return host.rstrip(".") if re.fullmatch(r"[\w.-]{1,253}", host) and not is_address(host) else None


def port(value: Any) -> Any:
    """The port behind the last colon of `host:port`."""
    if type(value) is not str:
        return None
    tail = value.rpartition(":")[2]
    return tail if tail.isdigit() and ":" in value and not is_address(value) else None


def user(value: Any) -> Any:
    """The account of `DOMAIN\\user` or `user@domain`."""
    name = _text(value)
    return None if name is None else name.rpartition("\\")[2].partition("@")[0] or None


def user_domain(value: Any) -> Any:
    """The domain of `DOMAIN\\user` or `user@domain`."""
    name = _text(value)
    if name is None:
        return None
    return name.rpartition("\\")[0] or name.partition("@")[2] or None


def words(value: Any) -> Any:
    """A text split at white space, as a list."""
    name = _text(value)
    return None if name is None else name.split() or None


def commas(value: Any) -> Any:
    """A text split at commas, each part stripped, as a list; a list stays."""
    if isinstance(value, list):
        return value
    name = _text(value)
    return None if name is None else [part.strip() for part in name.split(",") if part.strip()] or None


def nanoseconds(value: Any) -> Any:
    """Seconds (`0.250`) as nanoseconds, the unit of `event.duration`."""
    try:
        return int(float(value) * 1_000_000_000)
    except (TypeError, ValueError, OverflowError):
        return None


def milliseconds(value: Any) -> Any:
    """Milliseconds as nanoseconds, the unit of `event.duration`."""
    try:
        return int(float(value) * 1_000_000)
    except (TypeError, ValueError, OverflowError):
        return None


def hexadecimal(value: Any) -> Any:
    """`0x1f` or `1f` as a number."""
    try:
        return int(str(value), 16)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _mac(name: str) -> str | None:
    digits = re.sub(r"[^0-9A-Fa-f]", "", name).upper()
    return "-".join(digits[i : i + 2] for i in range(0, 12, 2)) if len(digits) == 12 else None


def mac(value: Any) -> Any:
    """A MAC address as ECS writes it: `00-00-5E-00-53-23` (RFC 7042)."""
    name = _text(value)
    return None if name is None else _mac(name)


def source_mac(value: Any) -> Any:
    """The sender in the `MAC=` of netfilter: octets 7 to 12 of destination, source, type."""
    name = _text(value) or ""
    # each octet has two digits and a colon
    return _mac(name[18:35]) if name.count(":") >= 11 else None


def destination_mac(value: Any) -> Any:
    """The receiver in the `MAC=` of netfilter: octets 1 to 6."""
    name = _text(value) or ""
    return _mac(name[:17]) if name.count(":") >= 11 else None


def dotless(value: Any) -> Any:
    """A DNS name without the dot of the root at its end, in small letters."""
    name = _text(value)
    return None if name is None else name.rstrip(".").lower() or None


def first(value: Any) -> Any:
    """The first item of a list, or the value."""
    return (value[0] if value else None) if isinstance(value, list) else value


def last(value: Any) -> Any:
    """The last item of a list, or the value."""
    return (value[-1] if value else None) if isinstance(value, list) else value


def http_version(value: Any) -> Any:
    """`HTTP/1.1` as `1.1`."""
    name = _text(value)
    return None if name is None else name.rpartition("/")[2] or None


def facility(value: Any) -> Any:
    """The facility code in a syslog priority (RFC 5424, section 6.2.1)."""
    code = number(value)
    return None if code is None or code > 191 else code >> 3


def severity(value: Any) -> Any:
    """The severity code in a syslog priority (RFC 5424, section 6.2.1)."""
    code = number(value)
    return None if code is None or code > 191 else code & 7


def ranges(value: Any) -> Any:
    """Text between `<` and `>`, else the text: `<a@example.org>` is `a@example.org`."""
    name = _text(value)
    return None if name is None else name.strip().strip("<>") or None


def cve(value: Any) -> Any:
    """The CVE names in a text or list, upper case, without repetition."""
    texts = value if isinstance(value, list) else [value]
    found = [name.upper() for item in texts for name in re.findall(r"(?i)CVE-\d{4}-\d{4,7}", str(item or ""))]
    return list(dict.fromkeys(found)) or None


_HASHES = re.compile(r"(?i)\b(MD5|SHA1|SHA256|IMPHASH)=([0-9a-f]{32,64})\b")


def _hash(value: Any, name: str) -> Any:
    for kind, digits in _HASHES.findall(_text(value) or ""):
        if kind.upper() == name and digits.strip("0"):
            return digits.lower()
    return None


def md5(value: Any) -> Any:
    """The MD5 in Sysmon's `MD5=…,SHA256=…`."""
    return _hash(value, "MD5")


def sha1(value: Any) -> Any:
    """The SHA-1 in Sysmon's `MD5=…,SHA1=…`."""
    return _hash(value, "SHA1")


def sha256(value: Any) -> Any:
    """The SHA-256 in Sysmon's `MD5=…,SHA256=…`."""
    return _hash(value, "SHA256")


def imphash(value: Any) -> Any:
    """The import hash in Sysmon's `MD5=…,IMPHASH=…`."""
    return _hash(value, "IMPHASH")


def hex_or_number(value: Any) -> Any:
    """A process id of the Security log: `0x1a4` or `420`."""
    name = _text(value) or ""
    try:
        return int(name, 16 if name[:2].lower() == "0x" else 10)
    except ValueError:
        return None


LOGON_TYPES: Mapping[str, str] = {
    "2": "Interactive", "3": "Network", "4": "Batch", "5": "Service", "7": "Unlock", "8": "NetworkCleartext",
    "9": "NewCredentials", "10": "RemoteInteractive", "11": "CachedInteractive",
}  # fmt: skip
"""Logon types of Windows and the names Winlogbeat writes for them."""


def logon_type(value: Any) -> Any:
    """The name of a Windows logon type."""
    name = _text(value)
    return None if name is None else LOGON_TYPES.get(name, name)


_HIVES: Mapping[str, str] = {
    "HKEY_LOCAL_MACHINE": "HKLM", "HKEY_USERS": "HKU", "HKEY_CURRENT_USER": "HKCU",
    "HKEY_CLASSES_ROOT": "HKCR",
    "HKLM": "HKLM", "HKU": "HKU", "HKCU": "HKCU", "HKCR": "HKCR",
}  # fmt: skip


def registry_hive(value: Any) -> Any:
    """The hive of a registry path, abbreviated: `HKLM`."""
    return _HIVES.get((_text(value) or "").partition("\\")[0].upper())


def registry_key(value: Any) -> Any:
    """The key of a registry path: what stands behind the hive."""
    return (_text(value) or "").partition("\\")[2] or None


def addresses(value: Any) -> Any:
    """The IP addresses in a list such as Sysmon's `type: 5 a.example.org;::ffff:192.0.2.1;`."""
    found = [part for part in re.split(r"[;,\s]+", _text(value) or "") if part and is_address(part)]
    return found or None


def defender_path(value: Any) -> Any:
    """The file of Defender's `file:_C:\\a.exe;process:_…`."""
    name = (_text(value) or "").split(";")[0]
    return name.partition(":_")[2] or name or None


PROTOCOLS: Mapping[str, str] = {
    "1": "icmp", "2": "igmp", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "51": "ah",
    "58": "ipv6-icmp",
    "89": "ospf", "132": "sctp", "icmpv6": "ipv6-icmp", "ipv6-icmp": "ipv6-icmp",
}  # fmt: skip
"""Numbers and names of protocols (IANA) as ECS writes them."""


def transport(value: Any) -> Any:
    """A protocol's number or name as `network.transport` has it: `TCP` and `6` are `tcp`."""
    name = (_text(value) or "").strip().lower()
    return PROTOCOLS.get(name, name) or None


def bare(value: Any) -> Any:
    """What stands before the first blank or comma, if it is an address."""
    name = re.split(r"[\s,]", _text(value) or "", maxsplit=1)[0]
    return address(name)


def known(value: Any) -> Any:
    """A host name, unless it is `unknown`."""
    return None if value == "unknown" else domain(value)


def queue(value: Any) -> Any:
    """A queue id of Postfix, unless the message never got one."""
    return None if value == "NOQUEUE" else _text(value)


def first_word(value: Any) -> Any:
    """The text before the first blank."""
    return (_text(value) or "").strip().partition(" ")[0] or None


def reason(value: Any) -> Any:
    """The reasons that sudo puts before its fields, without the semicolons between them."""
    return "; ".join(part.strip() for part in (_text(value) or "").split(";") if part.strip()) or None


def cve_names(value: Any) -> Any:
    """The CVE names in a list such as Suricata's `["CVE_2021_41773"]`."""
    texts = value if isinstance(value, list) else [value]
    return cve([str(item or "").replace("_", "-") for item in texts])


def _of_each(value: Any, key: str) -> list[Any]:
    items = value if isinstance(value, list) else [value]
    return [item[key] for item in items if isinstance(item, dict) and item.get(key) not in (None, "")]


def rdata(value: Any) -> Any:
    """`rdata` of each answer of a DNS reply."""
    return [_text(v) for v in _of_each(value, "rdata") if _text(v)] or None


def resolved(value: Any) -> Any:
    """Those `rdata` of the answers of a DNS reply that are addresses."""
    return [v for v in _of_each(value, "rdata") if isinstance(v, str) and is_address(v)] or None


def rrname(value: Any) -> Any:
    """`rrname` of the first query."""
    return next(iter(_of_each(value, "rrname")), None)


def rrtype(value: Any) -> Any:
    """`rrtype` of the first query."""
    return next(iter(_of_each(value, "rrtype")), None)


def only_addresses(value: Any) -> Any:
    """Those items of a list that are IP addresses."""
    items = value if isinstance(value, list) else [value]
    return [v for v in items if isinstance(v, str) and is_address(v)] or None


def angles(value: Any) -> Any:
    """A list of mail addresses without the angle brackets around each."""
    items = value if isinstance(value, list) else [value]
    return [v for v in (ranges(item) for item in items) if v] or None


def cvss(value: Any) -> Any:
    """`CVSS`, where there is a vector of it."""
    return "CVSS" if _text(value) else None


def url_host(value: Any) -> Any:
    """The host of a URL."""
    found = re.match(
        r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^/:?#]+)", _text(value) or ""
    )
    return found.group(1).strip("[]") if found else None


FILTERS: Mapping[str, Filter] = {
    "cvss": cvss,
    "url_host": url_host,
    "cve_names": cve_names,
    "rdata": rdata,
    "resolved": resolved,
    "rrname": rrname,
    "rrtype": rrtype,
    "only_addresses": only_addresses,
    "angles": angles,
    "known": known,
    "queue": queue,
    "first_word": first_word,
    "reason": reason,
    "transport": transport,
    "bare": bare,
    "lower": lower,
    "upper": upper,
    "strip": strip,
    "text": text,
    "number": number,
    "path": path,
    "query": query,
    "extension": extension,
    "basename": basename,
    "folder": folder,
    "unquote": unquote,
    "address": address,
    "domain": domain,
    "port": port,
    "user": user,
    "user_domain": user_domain,
    "words": words,
    "commas": commas,
    "seconds": nanoseconds,
    "milliseconds": milliseconds,
    "hex": hexadecimal,
    "mac": mac,
    "source_mac": source_mac,
    "destination_mac": destination_mac,
    "dotless": dotless,
    "first": first,
    "last": last,
    "http_version": http_version,
    "facility": facility,
    "severity": severity,
    "angle": ranges,
    "cve": cve,
    "md5": md5,
    "sha1": sha1,
    "sha256": sha256,
    "imphash": imphash,
    "hex_or_number": hex_or_number,
    "logon_type": logon_type,
    "registry_hive": registry_hive,
    "registry_key": registry_key,
    "addresses": addresses,
    "defender_path": defender_path,
}
"""Filter names of collector files."""
