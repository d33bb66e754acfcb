"""The first minutes: a draft of `soc.yml` from what is found here, and the settings as a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import yamlio
from soc.errors import SocError, UsageError

if TYPE_CHECKING:
    from soc.collect.collector import Collectors
    from soc.config import Config
    from soc.store.contract import Store

USUAL_PLACES = (
    "/var/log/nginx/access.log",
    "/var/log/nginx/error.log",
    "/var/log/apache2/access.log",
    "/var/log/apache2/error.log",
    "/var/log/httpd/access_log",
    "/var/log/httpd/error_log",
    "/var/log/auth.log",
    "/var/log/secure",
    "/var/log/audit/audit.log",
    "/var/log/mail.log",
    "/var/log/maillog",
    "/var/log/kern.log",
    "/var/log/suricata/eve.json",
    "/var/log/syslog",
    "/var/log/messages",
)
"""Where Debian, Ubuntu and the Red Hat family keep the logs that a collector is shipped for."""

_HEAD = """\
# Settings of soc. Every line may be left out; `soc config show --origin` says what holds and why,
# `soc config check` finds mistakes. Passwords and keys do not belong here: they come from
# SOC_STORE_PASSWORD or SOC_STORE_API_KEY, or from a file that only its owner can read.

"""

_STORE = """\
# Where events and alerts are kept: a folder (an embedded store on this machine), or the address of
# Elasticsearch. --store and SOC_STORE override it.
store:
  target: {target}
  {user:40}# with password_file, or SOC_STORE_PASSWORD
  {password_file:40}# chmod 600
  {api_key_file:40}# chmod 600
  {ca:40}# the authority that signed the server's certificate

# The zone of log times that name none, where a source says nothing else.
timezone: {timezone}

# Own collectors, rules and playbooks; they extend or override the shipped ones.
# content:
#   collectors: [collectors]
#   rules: [rules]
#   playbooks: [playbooks]

# Sweep with the rules that `soc rule publish` wrote into the store, not with those in files here. Values of
# %name% in rules: see docs/beyond-sigma.md.
# detect:
#   rules: published
#   placeholders: {{administrators: [root, adm-*]}}

# Systems with level (1 to 5) and owner, and their assets: see `soc register --help`.
# register: register.yml

# How long events are kept, in days, by retention class; `soc store prune` applies it.
retention:
  standard: 365

"""

_SOURCES = """\
# What to read. `soc collector try FILE` says which collector recognises a file. The name of a source is
# part of the identity of its events: do not change it later.
"""

_EXAMPLE = """\
# sources:
#   - name: portal-access
#     collector: nginx
#     paths: [/var/log/nginx/access.log]
#     timezone: Asia/Ho_Chi_Minh
"""


def draft(config: Config, sources: Sequence[Mapping[str, Any]], store: Store | None = None) -> str:
    """The text of a commented `soc.yml` with sources; with `store`, also what is in that store."""
    text = _HEAD + _STORE.format(
        target=_quoted(config.store.target), **_signing_in(config), timezone=_quoted(local_zone())
    )
    if store is not None:
        text += "".join(f"# {line}\n" for line in _seen_in(store)) + "\n"
    found = [dict(source) for source in sources]
    return text + _SOURCES + (yamlio.dump({"sources": found}) if found else _EXAMPLE)


def _signing_in(config: Config) -> dict[str, str]:
    """How to sign in to the store: what holds now, and what could be said as a comment."""
    examples = {
        "user": "soc-collector",
        "password_file": "/etc/soc/password",
        "api_key_file": "/etc/soc/api-key",
        "ca": "/etc/soc/ca.pem",
    }
    out = {}
    for name, example in examples.items():
        value = getattr(config.store, name)
        out[name] = f"{name}: {_quoted(value)} " if value else f"# {name}: {example} "
    return out


def find_sources(places: Iterable[str] | None = None) -> Iterator[dict[str, Any]]:
    """Logs in the usual places that can be read and that a shipped collector recognises, as sources.

    `places`: None means `USUAL_PLACES`.
    """
    from soc.collect.collector import load_collectors
    from soc.collect.recognise import recognise
    from soc.content import shipped

    collectors: Collectors = load_collectors([shipped("collectors")])
    names: set[str] = set()
    for place in USUAL_PLACES if places is None else places:
        path = Path(place)
        if not os.access(path, os.R_OK) or not path.is_file():
            continue
        collector = recognise(path, collectors)
        if collector is None:
            continue
        name = f"{collector.name}-{path.stem}"
        if name not in names:
            names.add(name)
            yield {"name": name, "collector": collector.name, "paths": [place]}


def _seen_in(store: Store) -> list[str]:
    """What is in the store now, as lines of a comment."""
    status = store.status()
    span = f", {status.oldest} to {status.newest}" if status.events else ""
    lines = [f"Seen in {status.name}: {status.events} events of this toolkit{span}."]
    found = store.foreign()
    if found:
        lines.append("Indices of others there (pattern: documents, newest):")
    lines += [f"  {one.pattern}: {one.documents}, {one.newest or 'no @timestamp'}" for one in found]
    return lines


def local_zone() -> str:
    """The name of this machine's time zone: TZ, else what /etc/localtime points at, else UTC."""
    named = os.environ.get("TZ", "")
    if "/" in named and not named.startswith((":", "/")):
        return named
    target = os.path.realpath("/etc/localtime")
    _, marker, name = target.partition("/zoneinfo/")
    return name.removeprefix("Etc/") if marker and not name.startswith("posix") else "UTC"


def _quoted(text: str) -> str:
    return yamlio.dump([text])[2:].rstrip("\n")


def write(path: Path, text: str, *, force: bool = False) -> None:
    """Write a new settings file; raises `UsageError` when one is there and `force` is not set."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError("there is a file already", place=path, hint="--force replaces it") from None
    except OSError as error:
        raise SocError(error.strerror or str(error), place=path) from None


def settings(config: Config) -> list[dict[str, Any]]:
    """The settings as rows of setting, value and origin; secrets only by the name of where they are."""
    origins = config.origins
    store = config.store
    rows: list[dict[str, Any]] = [
        {"setting": "config", "value": str(config.path or ""), "origin": origins.get("config", "")},
        {"setting": "store", "value": store.target, "origin": origins.get("store", "")},
    ]
    rows += [
        {"setting": f"store.{name}", "value": value, "origin": origins.get("store", "")}
        for name in ("user", "password_file", "api_key_file", "ca", "space")
        if (value := getattr(store, name))
    ]
    rows += [
        {
            "setting": name,
            "value": [str(p) for p in getattr(config, name)],
            "origin": origins.get("content", ""),
        }
        for name in ("collectors", "rules", "playbooks")
    ]
    rows.append(
        {
            "setting": "detect.rules",
            "value": "published" if config.published else "files",
            "origin": origins.get("detect", ""),
        }
    )
    for name in ("register", "timezone", "state"):
        value = getattr(config, name)
        rows.append({"setting": name, "value": str(value or ""), "origin": origins.get(name, "")})
    rows += [
        {"setting": f"retention.{name}", "value": days, "origin": origins.get("retention", "")}
        for name, days in config.retention.items()
    ]
    rows += [
        {
            "setting": f"source.{source.name}",
            "value": f"{source.collector}: {', '.join(source.paths)} ({source.timezone})",
            "origin": origins.get("sources", ""),
        }
        for source in config.sources
    ]
    return rows


def next_source(path: Path | None) -> str:
    """What to do where no source is configured: add one to the settings file, or begin one."""
    add = f"add `sources:` to {path} (soc collector try FILE helps)" if path else "soc init"
    return f"{add}, or name files: soc collect run FILE"
