"""Reports of scanners, finding by finding, in one shape.

The shape (all optional): `check name description solution evidence severity score vector cve cwe references
host ip fqdn port protocol service url file line package version fixed time scanner id`. `severity` is one of
critical, high, medium, low, info; `id` names a finding across reports: what was found, and where.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from soc.collect.filters import is_address
from soc.collect.formats import jsonfile
from soc.collect.formats.registry import Broken
from soc.collect.formats.xmlstream import elements, source_of, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Finding = dict[str, Any]
Record = tuple[str, Finding] | Broken

MAX_CELL = 16 << 20
"""Most characters of one cell of a CSV report."""

MAX_HEADING = 64 << 10
"""Most characters of the first line of a CSV report, which names its columns."""

_SEVERITIES = {
    "0": "info", "1": "low", "2": "medium", "3": "high", "4": "critical",
    "none": "info", "info": "info", "informational": "info", "information": "info", "log": "info",
    "note": "low",
    "unknown": "info", "undefined": "info", "low": "low", "moderate": "medium", "medium": "medium",
    "warning": "medium", "error": "high", "important": "high", "high": "high", "critical": "critical",
    "serious": "critical", "false positive": "info", "alarm": "high",
}  # fmt: skip
"""What scanners call a severity, and what we do."""


def severity(word: Any) -> str:
    """One of critical, high, medium, low, info, for a scanner's word or number."""
    return _SEVERITIES.get(str(word or "").strip().lower(), "info")


def by_score(score: Any) -> str:
    """The severity of a CVSS score (CVSS v3.1, section 5: qualitative severity rating scale)."""
    try:
        number = float(score)
    except (TypeError, ValueError):
        return "info"
    limits = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"))
    return next((name for limit, name in limits if number >= limit), "info")


def _cves(*values: Any) -> list[str]:
    found = re.findall(r"(?i)CVE-\d{4}-\d{4,7}", " ".join(str(v) for v in values if v))
    return list(dict.fromkeys(name.upper() for name in found))


def _cwes(*values: Any) -> list[str]:
    found = re.findall(r"(?i)CWE[-: ]?(\d{1,5})", " ".join(str(v) for v in values if v))
    return list(dict.fromkeys(f"CWE-{int(number)}" for number in found))


def _finding(scanner: str, **parts: Any) -> Finding:
    """A finding without what is empty, with its id."""
    host = parts.get("host") or parts.get("ip") or parts.get("fqdn")
    where = [
        host,
        parts.get("port"),
        parts.get("protocol"),
        parts.get("url"),
        parts.get("file"),
        parts.get("package"),
    ]
    key = "\0".join(str(part or "") for part in (scanner, parts.get("check"), *where))
    if host and is_address(str(host)):
        parts["ip"] = parts.get("ip") or host
        if parts.get("host") == parts["ip"]:
            parts["host"] = parts.get("fqdn")
    out = {name: value for name, value in parts.items() if value not in (None, "", [], "N/A", "n/a")}
    if out.get("port") in (0, "0"):
        del out["port"]
    out["scanner"] = scanner
    out["id"] = hashlib.blake2b(key.encode(), digest_size=10).hexdigest()
    return out


# -- Nessus


def nessus(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:  # noqa: ARG001 - the signature of every file format
    """Nessus and Tenable: `.nessus` version 2 (XML), or any of their CSV exports."""
    yield from _nessus_xml(path) if _is_xml(path) else _rows(path, _nessus_row, ("plugin", "definition.id"))


def _is_xml(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _nessus_xml(path: Path) -> Iterator[Record]:
    if not _root_is(path, {"NessusClientData_v2"}):
        yield Broken("not a Nessus report: NessusClientData_v2 is expected")
        return
    host: dict[str, str] = {}

    def began(element: Element) -> None:
        if element.tag == "ReportHost":
            host.clear()
            host["name"] = element.get("name", "")

    for element in elements(path, frozenset({"tag", "ReportItem"}), began):
        if isinstance(element, Broken):
            yield element
            return
        if element.tag == "tag":
            host[element.get("name", "")] = (element.text or "").strip()
        else:
            yield source_of(element), _nessus_item(element, host)


def _root_is(path: Path, names: set[str]) -> bool:
    with path.open("rb") as stream:
        head = stream.read(65536).decode("utf-8", "replace")
    found = re.search(r"<([A-Za-z][\w.-]*)[\s>/]", re.sub(r"<\?.*?\?>|<!--.*?-->", "", head, flags=re.DOTALL))
    return found is not None and found.group(1) in names


def _nessus_item(item: Element, host: Mapping[str, str]) -> Finding:
    score = text_of(item, "cvss3_base_score") or text_of(item, "cvss_base_score")
    return _finding(
        "nessus",
        check=item.get("pluginID"),
        name=item.get("pluginName") or text_of(item, "plugin_name"),
        family=item.get("pluginFamily"),
        severity=severity(text_of(item, "risk_factor") or item.get("severity")),
        score=score,
        vector=text_of(item, "cvss3_vector") or text_of(item, "cvss_vector"),
        description=text_of(item, "description") or text_of(item, "synopsis"),
        solution=text_of(item, "solution"),
        evidence=text_of(item, "plugin_output"),
        cve=_cves(*[c.text for c in item.findall("cve")]),
        cwe=_cwes(*[f"CWE-{c.text}" for c in item.findall("cwe")]),
        references=text_of(item, "see_also").split(),
        exploit=text_of(item, "exploit_available"),
        host=host.get("name"),
        ip=host.get("host-ip"),
        fqdn=host.get("host-fqdn") or host.get("hostname") or host.get("netbios-name"),
        os=host.get("operating-system"),
        port=item.get("port"),
        protocol=item.get("protocol"),
        service=item.get("svc_name"),
        time=host.get("HOST_END_TIMESTAMP") or host.get("HOST_START_TIMESTAMP") or host.get("HOST_END"),
    )


def _pick(row: Mapping[str, str], *names: str) -> str:
    return next((row[name].strip() for name in names if (row.get(name) or "").strip()), "")


_SCORE_COLUMNS = (
    *("definition.cvss3.base_score", "cvss v3 base score", "cvss v3.0 base score", "cvssv3", "cvss"),
    *("definition.cvss2.base_score", "cvss v2 base score", "cvss v2.0 base score"),
)
"""Columns of a CVSS score, the newest version first."""


def _nessus_row(row: Mapping[str, str]) -> Finding:
    score = _pick(row, *_SCORE_COLUMNS)
    return _finding(
        "nessus",
        check=_pick(row, "plugin id", "plugin", "definition.id"),
        name=_pick(row, "name", "plugin name", "definition.name"),
        family=_pick(row, "family", "plugin family", "definition.family"),
        severity=severity(_pick(row, "risk", "severity", "risk factor", "definition.severity")),
        score=score,
        vector=_pick(row, "definition.cvss3.base_vector", "cvss v3 vector", "cvss v2 vector"),
        description=_pick(row, "description", "definition.description", "synopsis", "definition.synopsis"),
        solution=_pick(row, "solution", "definition.solution", "steps to remediate"),
        evidence=_pick(row, "plugin output", "output"),
        cve=_cves(row.get("cve"), row.get("definition.cve")),
        cwe=_cwes(row.get("cross references"), row.get("definition.references")),
        references=_pick(row, "see also", "definition.see_also").split(),
        host=_pick(row, "host", "asset.host_name", "asset.name", "dns name"),
        ip=_pick(row, "ip address", "asset.display_ipv4_address", "asset.display_ipv6_address"),
        fqdn=_pick(row, "fqdn", "dns name", "asset.display_fqdn", "netbios name"),
        port=_pick(row, "port"),
        protocol=_pick(row, "protocol"),
        time=_pick(row, "last observed", "last_observed", "last_seen", "host end"),
    )


class _LineTooLongError(Exception):
    """A line of a CSV report is longer than a cell may be."""


def _bounded(stream: IO[str]) -> Iterator[str]:
    """The lines of a CSV report; raises `_LineTooLongError` rather than hold a whole disk in one line."""
    while line := stream.readline(MAX_CELL):
        if len(line) == MAX_CELL:
            raise _LineTooLongError(f"a line has more than {MAX_CELL:,} characters")
        yield line


def _rows(path: Path, convert: Any, must: tuple[str, ...]) -> Iterator[Record]:
    """The rows of a CSV report; names of columns are compared in small letters.

    Blank rows are no findings.
    """
    csv.field_size_limit(MAX_CELL)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        first = stream.readline(MAX_HEADING)
        if not first.strip():
            return
        separator = max(",;\t|", key=first.count)
        names = [name.strip().lower() for name in next(csv.reader([first], delimiter=separator), [])]
        if len(first) == MAX_HEADING or not any(name.startswith(must) for name in names):
            yield Broken(
                f"not this scanner's CSV: no column {' or '.join(must)} in its first line", first[:1000]
            )
            return
        reader = csv.reader(_bounded(stream), delimiter=separator)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, _LineTooLongError) as error:
                yield Broken(f"CSV cannot be read: {error}")
                return
            if not any(cell.strip() for cell in cells):
                continue
            out = io.StringIO()
            csv.writer(out, delimiter=separator, lineterminator="").writerow(cells)
            yield out.getvalue(), convert(dict(zip(names, cells, strict=False)))


# -- OpenVAS


def openvas(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:  # noqa: ARG001 - the signature of every file format
    """OpenVAS (Greenbone): XML report, or its CSV."""
    if not _is_xml(path):
        yield from _rows(path, _openvas_row, ("nvt name", "nvt oid"))
        return
    if not _root_is(path, {"report", "get_reports_response", "get_results_response"}):
        yield Broken("not an OpenVAS report: its first element must be report")
        return
    for element in elements(path, frozenset({"result"})):
        if isinstance(element, Broken):
            yield element
            return
        if element.find("nvt") is not None:
            yield source_of(element), _openvas_result(element)


def _openvas_result(result: Element) -> Finding:
    port, _, protocol = text_of(result, "port").partition("/")
    nvt = result.find("nvt")
    tags = dict(part.partition("=")[::2] for part in text_of(nvt, "tags").split("|"))
    references = [(r.get("type", ""), r.get("id", "")) for r in result.iter("ref")]
    score = text_of(result, "severity") or text_of(nvt, "cvss_base")
    host = result.find("host")
    return _finding(
        "openvas",
        check=nvt.get("oid") if nvt is not None else "",
        name=text_of(nvt, "name") or text_of(result, "name"),
        family=text_of(nvt, "family"),
        severity=severity(text_of(result, "threat")) if text_of(result, "threat") else by_score(score),
        score=score,
        vector=tags.get("cvss_base_vector"),
        description=tags.get("summary") or text_of(result, "description"),
        solution=text_of(nvt, "solution") or tags.get("solution"),
        evidence=text_of(result, "description"),
        cve=_cves(*[name for kind, name in references if kind == "cve"], text_of(nvt, "cve")),
        references=[name for kind, name in references if kind == "url"],
        host=text_of(host),
        fqdn=text_of(host, "hostname"),
        port=port if port.isdigit() else "",
        protocol=protocol,
        time=text_of(result, "creation_time") or text_of(result, "modification_time"),
    )


def _openvas_row(row: Mapping[str, str]) -> Finding:
    return _finding(
        "openvas",
        check=_pick(row, "nvt oid"),
        name=_pick(row, "nvt name"),
        severity=severity(_pick(row, "severity")),
        score=_pick(row, "cvss"),
        description=_pick(row, "summary"),
        solution=_pick(row, "solution"),
        evidence=_pick(row, "specific result"),
        cve=_cves(row.get("cves")),
        host=_pick(row, "ip"),
        fqdn=_pick(row, "hostname"),
        port=_pick(row, "port"),
        protocol=_pick(row, "port protocol"),
        time=_pick(row, "timestamp"),
    )


# -- JSON reports


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def nuclei(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:  # noqa: ARG001 - the signature of every file format
    """Nuclei: a JSON list, one object, or one object on each line."""
    for found in jsonfile.items(path):
        yield found if isinstance(found, Broken) else _nuclei_record(*found)


def _nuclei_record(text: str, item: Any) -> Record:
    if not isinstance(item, dict) or not isinstance(item.get("info"), dict):
        return Broken("not a result of Nuclei: it has no info", text[:MAX_CELL])
    info, kind = item["info"], _mapping(item["info"].get("classification"))
    matched = str(item.get("matched-at") or item.get("matched") or item.get("url") or item.get("host") or "")
    host, port = _host_port(matched or str(item.get("host") or ""))
    reference = info.get("reference")
    return text, _finding(
        "nuclei",
        check=item.get("template-id") or item.get("templateID"),
        name=info.get("name"),
        family=item.get("type"),
        severity=severity(info.get("severity")),
        score=kind.get("cvss-score"),
        vector=kind.get("cvss-metrics"),
        description=info.get("description"),
        solution=info.get("remediation"),
        evidence=item.get("extracted-results") or item.get("matcher-name") or item.get("matcher_name"),
        cve=_cves(kind.get("cve-id"), item.get("template-id")),
        cwe=_cwes(kind.get("cwe-id")),
        references=reference if isinstance(reference, list) else [reference] if reference else [],
        host=host,
        ip=item.get("ip") if isinstance(item.get("ip"), str) and is_address(item["ip"]) else None,
        port=item.get("port") or port,
        url=matched if "://" in matched else None,
        matcher=item.get("matcher-name") or item.get("matcher_name"),
        time=item.get("timestamp"),
    )


def _host_port(target: str) -> tuple[str, str]:
    """Host and port of a URL or `host:port`."""
    rest = target.partition("://")[2] or target
    rest = rest.partition("/")[0].rpartition("@")[2]
    if rest.startswith("["):
        host, _, tail = rest[1:].partition("]")
        return host, tail.removeprefix(":")
    host, _, port = rest.partition(":")
    return (host, port) if port.isdigit() else (host if ":" not in rest else rest, "")


def zap(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:  # noqa: ARG001 - the signature of every file format
    """OWASP ZAP: the XML report, an event for each alert item."""
    if not _root_is(path, {"OWASPZAPReport"}):
        yield Broken("not a report of ZAP: OWASPZAPReport is expected")
        return
    site: dict[str, str] = {}

    def began(element: Element) -> None:
        if element.tag == "site":
            site.update(element.attrib)
        elif element.tag == "OWASPZAPReport":
            site["generated"] = element.get("generated", "")

    for element in elements(path, frozenset({"alertitem"}), began):
        if isinstance(element, Broken):
            yield element
            return
        yield source_of(element), _zap_item(element, site)


def _zap_item(item: Element, site: Mapping[str, str]) -> Finding:
    uris = [u.text.strip() for u in item.iter("uri") if u.text]
    return _finding(
        "zap",
        check=text_of(item, "alertRef") or text_of(item, "pluginid"),
        name=text_of(item, "name") or text_of(item, "alert"),
        severity=severity(text_of(item, "riskcode")),
        description=_plain(text_of(item, "desc")),
        solution=_plain(text_of(item, "solution")),
        evidence=list(
            dict.fromkeys(e.text.strip() for e in item.iter("evidence") if e.text and e.text.strip())
        )[:20],
        cwe=_cwes(f"CWE-{text_of(item, 'cweid')}" if text_of(item, "cweid").isdigit() else ""),
        references=re.findall(r"https?://[^\s<]+", text_of(item, "reference")),
        host=site.get("host"),
        port=site.get("port"),
        url=uris[0] if uris else site.get("name"),
        instances=len(uris),
        confidence=text_of(item, "confidencedesc"),
        time=site.get("generated"),
    )


def _plain(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]{0,200}>", " ", markup)).strip()


def trivy(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:  # noqa: ARG001 - the signature of every file format
    """Trivy: JSON of images, file systems, repositories and Kubernetes clusters, old and new form."""
    document = jsonfile.document(path)
    if isinstance(document, Broken):
        yield document
        return
    if document is None or document == []:
        return
    if isinstance(document, list):
        for result in document:
            yield from _trivy_result(_mapping(result), {}, "")
        return
    if not isinstance(document, dict) or not {
        "Results",
        "Resources",
        "SchemaVersion",
        "Vulnerabilities",
    } & set(document):
        yield Broken("not a report of Trivy: neither Results nor Resources is there")
        return
    created = str(document.get("CreatedAt") or "")
    for result in _listed(document.get("Results")):
        yield from _trivy_result(_mapping(result), document, created)
    # reports of a cluster: Resources, in earlier versions Vulnerabilities and Misconfigurations
    for part in ("Resources", "Vulnerabilities", "Misconfigurations"):
        for resource in _listed(document.get(part)):
            for result in _listed(_mapping(resource).get("Results")):
                yield from _trivy_result(_mapping(result), _mapping(resource), created)


def _trivy_result(result: Mapping[str, Any], owner: Mapping[str, Any], created: str) -> Iterator[Record]:
    names = [str(owner[k]) for k in ("Namespace", "Kind", "Name") if owner.get(k)]
    artifact = str(owner.get("ArtifactName") or "/".join(names) or result.get("Target") or "")
    where = {"target": result.get("Target"), "host": None, "artifact": artifact, "time": created}
    for item in map(_mapping, _listed(result.get("Vulnerabilities"))):
        cvss = [v for v in _mapping(item.get("CVSS")).values() if isinstance(v, dict)]
        scores = [s for v in cvss if isinstance(s := v.get("V3Score", v.get("V2Score")), (int, float))]
        yield (
            jsonfile.source(item),
            _finding(
                "trivy",
                **where,
                check=item.get("VulnerabilityID"),
                name=item.get("Title") or f"{item.get('VulnerabilityID')} in {item.get('PkgName')}",
                family=result.get("Type"),
                severity=severity(item.get("Severity")),
                score=max(scores, default=None),
                description=item.get("Description"),
                solution=f"update to {item['FixedVersion']}" if item.get("FixedVersion") else None,
                cve=_cves(item.get("VulnerabilityID")),
                cwe=_cwes(item.get("CweIDs")),
                references=_listed(item.get("References"))[:20],
                package=item.get("PkgName"),
                version=item.get("InstalledVersion"),
                fixed=item.get("FixedVersion"),
                file=f"{artifact} {result.get('Target')} {item.get('PkgPath') or ''}".strip(),
            ),
        )
    for item in map(_mapping, _listed(result.get("Misconfigurations"))):
        if item.get("Status", "FAIL") != "FAIL":
            continue
        cause = _mapping(item.get("CauseMetadata"))
        yield jsonfile.source(item), _finding(
            "trivy", **where, check=item.get("ID"), name=item.get("Title"), family="misconfiguration",
            severity=severity(item.get("Severity")), description=item.get("Description"),
            solution=item.get("Resolution"), evidence=item.get("Message"),
            references=_listed(item.get("References"))[:20], file=result.get("Target"),
            line=cause.get("StartLine"),
        )  # fmt: skip
    for item in map(_mapping, _listed(result.get("Secrets"))):
        yield jsonfile.source({**item, "Match": "(left out)", "Code": None}), _finding(
            "trivy", **where, check=item.get("RuleID"), name=item.get("Title"), family="secret",
            severity=severity(item.get("Severity")), file=result.get("Target"), line=item.get("StartLine"),
        )  # fmt: skip
    for item in map(_mapping, _listed(result.get("Licenses"))):
        yield jsonfile.source(item), _finding(
            "trivy", **where, check=item.get("Name"), name=f"licence {item.get('Name')}", family="license",
            severity=severity(item.get("Severity")), package=item.get("PkgName"),
            file=item.get("FilePath") or result.get("Target"),
        )  # fmt: skip


def sarif(path: Path, options: Mapping[str, Any]) -> Iterator[Record]:  # noqa: ARG001 - the signature of every file format
    """SARIF 2.1.0 (OASIS): the results of all runs."""
    document = jsonfile.document(path)
    if isinstance(document, Broken):
        yield document
        return
    if not isinstance(document, dict) or not isinstance(document.get("runs"), list):
        yield Broken("not SARIF: it has no runs")
        return
    for run in map(_mapping, document["runs"]):
        driver = _mapping(_mapping(run.get("tool")).get("driver"))
        rules = {str(r.get("id")): r for r in map(_mapping, _listed(driver.get("rules")))}
        ended = next((i.get("endTimeUtc") for i in map(_mapping, _listed(run.get("invocations")))), None)
        for result in map(_mapping, _listed(run.get("results"))):
            yield jsonfile.source(result), _sarif_result(result, driver, rules, ended)


def _sarif_result(
    result: Mapping[str, Any], driver: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]], ended: Any
) -> Finding:
    listed = list(rules.values())
    index = result.get("ruleIndex", _mapping(result.get("rule")).get("index"))
    name = str(result.get("ruleId") or _mapping(result.get("rule")).get("id") or "")
    rule = rules.get(name) or (listed[index] if isinstance(index, int) and 0 <= index < len(listed) else {})
    properties = {**_mapping(rule.get("properties")), **_mapping(result.get("properties"))}
    location = _mapping(next(iter(_listed(result.get("locations"))), None))
    physical = _mapping(location.get("physicalLocation"))
    message = _mapping(result.get("message"))
    text = message.get("text") or _mapping(
        _mapping(rule.get("messageStrings")).get(str(message.get("id")))
    ).get("text")
    score = properties.get("security-severity")
    level = result.get("level") or _mapping(rule.get("defaultConfiguration")).get("level") or "warning"
    tags = _listed(properties.get("tags"))
    return _finding(
        "sarif",
        tool=driver.get("name"),
        check=name or rule.get("id"),
        name=_mapping(rule.get("shortDescription")).get("text")
        or rule.get("name")
        or str(text or name)[:200],
        severity=by_score(score) if score else severity(level),
        score=score,
        description=text,
        solution=_mapping(rule.get("help")).get("text"),
        cve=_cves(name, text, tags),
        cwe=_cwes(tags, [r.get("target") for r in map(_mapping, _listed(rule.get("relationships")))]),
        references=[rule["helpUri"]] if rule.get("helpUri") else [],
        file=_mapping(physical.get("artifactLocation")).get("uri"),
        line=_mapping(physical.get("region")).get("startLine"),
        time=ended,
    )
