"""The register: which systems there are, at which level and whose, and which assets belong to them.

As YAML:

    systems:
      - {name: portal, title: Public service portal, level: 4, owner: Web team}
    assets:
      - {host: web01.example.org, addresses: [192.0.2.10, "2001:db8::/64"], system: portal, criticality: high}

or as CSV, one asset in a row, with the columns `host`, `addresses` (several separated by space or `;`),
`system`, `level`, `owner`, `criticality`. A system may stand in several rows, as long as they agree.

What is not listed is unknown: no level is ever assumed.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from soc import yamlio
from soc.errors import ContentError, Place, Problem
from soc.respond.severity import Severity

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Criticality(StrEnum):
    """How much depends on an asset."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class System:
    """An information system; `level` is its security level from 1 to 5, None while it is not determined."""

    name: str
    level: int | None = None
    owner: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Asset:
    """A machine, a service or a network that belongs to a system.

    `name` is its first host name, else its first address; `criticality` None means unknown.
    """

    name: str
    hosts: tuple[str, ...]
    addresses: tuple[Network, ...]
    system: System
    criticality: Criticality | None = None


@dataclass(slots=True)
class Register:
    """Systems and assets with the two ways to find one, and what they mean for the level of an alert.

    `problems` are warnings; errors are raised.
    """

    systems: dict[str, System] = field(default_factory=dict)
    assets: list[Asset] = field(default_factory=list)
    path: str = ""
    problems: list[Problem] = field(default_factory=list)
    severity: Severity = field(default_factory=Severity)
    _hosts: dict[str, Asset] = field(default_factory=dict)
    _short: dict[str, Asset | None] = field(default_factory=dict)
    _networks: dict[tuple[int, int], dict[int, Asset]] = field(default_factory=dict)
    _prefixes: dict[int, list[int]] = field(default_factory=dict)

    def add(self, asset: Asset) -> None:
        """Take an asset in; the reader has checked that its names and addresses are not taken."""
        self.assets.append(asset)
        for host in asset.hosts:
            self._hosts[host] = asset
            short = host.split(".", 1)[0]
            known = self._short.setdefault(short, asset)
            if known is not asset:
                self._short[short] = None  # two machines of one short name in two domains: not decidable
        for network in asset.addresses:
            key = (network.version, network.prefixlen)
            self._networks.setdefault(key, {})[int(network.network_address)] = asset
            if network.prefixlen not in (lengths := self._prefixes.setdefault(network.version, [])):
                lengths.append(network.prefixlen)
                lengths.sort(reverse=True)

    def asset_for(self, host: str = "", ip: str = "") -> Asset | None:
        """The asset of a host name or, failing that, of an address; None when neither is listed.

        A host name compares without regard to case; a name without a domain finds the one with it, and
        the other way round where the register lists it without. Of several networks the longest prefix
        wins.
        """
        return (self._by_host(host) if host else None) or (self._by_ip(ip) if ip else None)

    def assets_of(self, system: str) -> list[Asset]:
        """The assets of a system, in the order of the file."""
        return [asset for asset in self.assets if asset.system.name == system]

    def level_of(self, host: str = "", ip: str = "") -> int | None:
        """The level of the system that a host or address belongs to; None is unknown, never level 0."""
        asset = self.asset_for(host, ip)
        return asset.system.level if asset else None

    def _by_host(self, host: str) -> Asset | None:
        name = normal_host(host)
        if found := self._hosts.get(name):
            return found
        short, dot, _ = name.partition(".")
        if dot:  # an address in a host field, or a name that the register lists without its domain
            return self._hosts.get(short) or self._by_ip(name)
        return self._short.get(short) or (self._by_ip(name) if ":" in name else None)

    def _by_ip(self, ip: str) -> Asset | None:
        try:
            address = ipaddress.ip_address(ip.strip().partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        number, bits = int(address), address.max_prefixlen
        for length in self._prefixes.get(address.version, ()):
            start = number >> (bits - length) << (bits - length)
            if found := self._networks[address.version, length].get(start):
                return found
        return None


def normal_host(name: str) -> str:
    """A host name as it is compared: lower case, without white space and final dot."""
    return name.strip().rstrip(".").lower()


def load_register(path: Path | None, severity: Severity | None = None) -> Register:
    """The register in a YAML or CSV file; an empty one for None. Raises `ContentError` with all problems.

    `severity`: how it raises the level of alerts.
    """
    if path is None:
        return Register()
    if not path.is_file():
        problem = Problem("missing", "there is no such register", Place(str(path)))
        raise ContentError([problem], hint="create it, or correct `register:` in soc.yml")
    read = _read_csv if path.suffix.lower() == ".csv" else _read_yaml
    register, problems = read(path)
    if problems:
        raise ContentError(problems, hint="correct it, then: soc register list")
    register.severity = severity or register.severity
    return register


_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\Z")


@dataclass
class _Builder:
    """Makes systems and assets out of raw values and collects every problem."""

    register: Register
    problems: list[Problem] = field(default_factory=list)
    taken: dict[str, Place] = field(default_factory=dict)

    def problem(self, kind: str, message: str, place: Place, hint: str = "") -> None:
        self.problems.append(Problem(kind, message, place, hint=hint))

    def text(self, value: Any, what: str, place: Place) -> str:
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            self.problem("not_text", f"`{what}` must be text", place)
            return ""
        return str(value).strip()

    def texts(self, value: Any, what: str, place: Place) -> list[str]:
        items = value if isinstance(value, list) else [] if value is None else [value]
        return [t for t in (self.text(item, what, place) for item in items) if t]

    def level(self, value: Any, place: Place) -> int | None:
        if value is None or value == "" or value == "unknown":
            return None
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 5:
            message = f"`level` must be a whole number from 1 to 5, not {value!r}"
            self.problem("level", message, place, "leave it out while it is not determined")
            return None
        return value

    def criticality(self, value: Any, place: Place) -> Criticality | None:
        text = self.text(value, "criticality", place).lower()
        if not text:
            return None
        try:
            return Criticality(text)
        except ValueError:
            words = ", ".join(Criticality)
            self.problem("criticality", f"`criticality` must be one of {words}, not {text!r}", place)
            return None

    def hosts(self, values: Iterable[str], place: Place) -> list[str]:
        out = []
        for value in values:
            name = normal_host(value)
            if _HOST.match(name) and not _is_address(name):
                out.append(name)
            else:
                self.problem("host", f"{value!r} is not a host name", place, "addresses go under `addresses`")
        return out

    def networks(self, values: Iterable[str], place: Place) -> list[Network]:
        out = []
        for value in values:
            try:
                out.append(ipaddress.ip_network(value))
            except ValueError as error:
                hint = ""
                if "host bits set" in str(error):
                    hint = f"the network is {ipaddress.ip_network(value, strict=False)}"
                self.problem("address", f"{value!r} is not an address or network", place, hint)
        return out

    def claim(self, names: Iterable[str], place: Place) -> None:
        """Note that names and addresses belong to the asset at `place`; each may stand once."""
        for name in names:
            before = self.taken.setdefault(name, place)
            if before is not place:
                self.problem("twice", f"{name} belongs to another asset already, at {before}", place)

    def asset(
        self,
        hosts: list[str],
        networks: list[Network],
        system: System,
        criticality: Criticality | None,
        place: Place,
    ) -> None:
        if not hosts and not networks:
            if self.problems and self.problems[-1].kind in {"host", "address"}:
                return  # it has one, which was found wrong and said to be
            self.problem("nameless", "an asset needs a host name or an address", place)
            return
        hosts = list(dict.fromkeys(hosts))
        networks = list(dict.fromkeys(networks))
        self.claim([*hosts, *map(str, networks)], place)
        name = hosts[0] if hosts else _network_text(networks[0])
        self.register.add(Asset(name, tuple(hosts), tuple(networks), system, criticality))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _network_text(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


# YAML

_TOP = ("systems", "assets")
_SYSTEM = ("name", "level", "owner", "title")
_ASSET = ("host", "hosts", "addresses", "address", "system", "criticality")


def _read_yaml(path: Path) -> tuple[Register, list[Problem]]:
    document = yamlio.load(path)
    builder = _Builder(Register(path=str(path)))
    data = document.data
    if data is None:
        return builder.register, builder.problems
    if not isinstance(data, dict):
        builder.problem("shape", "a mapping with `systems` and `assets` is expected", document.place())
        return builder.register, builder.problems
    _known(builder, document, data, _TOP)
    for i, item in _items(builder, document, data, "systems"):
        _yaml_system(builder, document, item, ("systems", i))
    for i, item in _items(builder, document, data, "assets"):
        _yaml_asset(builder, document, item, ("assets", i))
    return builder.register, builder.problems


def _known(
    builder: _Builder,
    document: yamlio.YamlDocument,
    data: Mapping[str, Any],
    words: tuple[str, ...],
    at: yamlio.Path_ = (),
) -> None:
    for key in data:
        if key not in words:
            message = f"unknown key {key!r}; known here: {', '.join(words)}"
            builder.problem("unknown_key", message, document.place(*at, key))


def _items(
    builder: _Builder, document: yamlio.YamlDocument, data: Mapping[str, Any], name: str
) -> list[tuple[int, dict[str, Any]]]:
    value = data.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        builder.problem("shape", f"`{name}` must be a list", document.place(name))
        return []
    out = []
    for i, item in enumerate(value):
        if isinstance(item, dict):
            out.append((i, item))
        else:
            builder.problem("shape", f"each of `{name}` must be a mapping", document.place(name, i))
    return out


def _yaml_system(
    builder: _Builder, document: yamlio.YamlDocument, item: dict[str, Any], at: yamlio.Path_
) -> None:
    _known(builder, document, item, _SYSTEM, at)
    name = builder.text(item.get("name"), "name", document.place(*at, "name"))
    if not name:
        builder.problem("nameless", "a system needs a `name`", document.place(*at))
        return
    if name in builder.register.systems:
        builder.problem("twice", f"the system {name!r} stands twice", document.place(*at))
        return
    builder.register.systems[name] = System(
        name=name,
        level=builder.level(item.get("level"), document.place(*at, "level")),
        owner=builder.text(item.get("owner"), "owner", document.place(*at, "owner")),
        title=builder.text(item.get("title"), "title", document.place(*at, "title")),
    )


def _yaml_asset(
    builder: _Builder, document: yamlio.YamlDocument, item: dict[str, Any], at: yamlio.Path_
) -> None:
    def values(*names: str) -> list[str]:
        return [t for n in names for t in builder.texts(item.get(n), n, document.place(*at, n))]

    _known(builder, document, item, _ASSET, at)
    place = document.place(*at)
    name = builder.text(item.get("system"), "system", document.place(*at, "system"))
    system = builder.register.systems.get(name)
    if system is None:
        known = ", ".join(builder.register.systems) or "none"
        message = f"there is no system {name!r}; listed are: {known}" if name else "an asset needs a `system`"
        builder.problem("unknown_system", message, document.place(*at, "system"))
        return
    builder.asset(
        builder.hosts(values("host", "hosts"), document.place(*at, "hosts" if "hosts" in item else "host")),
        builder.networks(values("addresses", "address"), document.place(*at, "addresses")),
        system,
        builder.criticality(item.get("criticality"), document.place(*at, "criticality")),
        place,
    )


# CSV

_COLUMNS = ("host", "addresses", "system", "level", "owner", "criticality")


def _read_csv(path: Path) -> tuple[Register, list[Problem]]:
    text = yamlio.read_text(path)
    builder = _Builder(Register(path=str(path)))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if not _check_header(builder, header, path):
            return builder.register, builder.problems
        for row in reader:
            if any(cell.strip() for cell in row):
                _csv_row(builder, header, row, Place(str(path), reader.line_num))
    except csv.Error as error:
        builder.problem("csv", f"not well-formed CSV: {error}", Place(str(path), reader.line_num))
    return builder.register, builder.problems


def _check_header(builder: _Builder, header: list[str], path: Path) -> bool:
    place = Place(str(path), 1)
    unknown = [name for name in header if name not in _COLUMNS]
    if "system" not in header or not {"host", "addresses"} & set(header):
        message = "the first line must name the columns: `system`, and `host` or `addresses`"
        builder.problem("columns", message, place, f"known columns: {', '.join(_COLUMNS)}")
        return False
    for name in unknown:
        builder.problem("columns", f"unknown column {name!r}; known: {', '.join(_COLUMNS)}", place)
    if len(set(header)) != len(header):
        builder.problem("columns", "a column stands twice", place)
    return not builder.problems


def _csv_row(builder: _Builder, header: list[str], row: list[str], place: Place) -> None:
    if len(row) != len(header):
        builder.problem("columns", f"{len(row)} values where {len(header)} are expected", place)
        return
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    if not cells["system"]:
        builder.problem("unknown_system", "an asset needs a `system`", place)
        return
    system = _csv_system(builder, cells, place)
    builder.asset(
        builder.hosts(re.split(r"[\s;]+", cells.get("host", "")) if cells.get("host") else [], place),
        builder.networks([a for a in re.split(r"[\s;]+", cells.get("addresses", "")) if a], place),
        system,
        builder.criticality(cells.get("criticality"), place),
        place,
    )


def _csv_system(builder: _Builder, cells: Mapping[str, str], place: Place) -> System:
    name = cells["system"]
    new = System(name, builder.level(cells.get("level"), place), cells.get("owner", ""))
    old = builder.register.systems.setdefault(name, new)
    for what, before, now in (("level", old.level, new.level), ("owner", old.owner, new.owner)):
        if now and before != now:
            shown = before or "nothing"
            builder.problem("disagree", f"`{what}` of {name} is {now!r} here and {shown!r} above", place)
    return old
