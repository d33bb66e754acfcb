"""A real Elasticsearch for the tests: fetched by Maven, unpacked once, started on a free loopback port.

The distribution `integ-test-zip` on Maven Central is the real server with few modules. It refuses to run
as root, so root starts it as `nobody`. A supervisor process (this file, run as a program) owns the node: it
ends the node and removes its data when it is told to, or when the test run that wanted it is gone.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
ARTIFACT = "org.elasticsearch.distribution.integ-test-zip:elasticsearch"
NOBODY = 65534
START_SECONDS = 240
"""How long a node may take to start; some seconds are usual, a loaded machine needs minutes."""
STOP_SECONDS = 20


class NoNodeError(Exception):
    """No server can be had here; the message is the reason."""


@dataclass(frozen=True)
class Release:
    """A version of the server and the Java it needs."""

    version: str
    java: int
    modules: tuple[str, ...] = ()


RELEASES = (Release("9.5.0", 21, ("jdk.incubator.vector",)), Release("8.19.21", 17))
"""Newest first; the first that a Java of this machine can run is taken."""


@dataclass(frozen=True)
class Plan:
    """What kind of node is wanted. `users` (name to (password, roles)) switch security and TLS on."""

    name: str
    heap: str = "1g"
    roles: Mapping[str, Any] = field(default_factory=dict)
    users: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def secure(self) -> bool:
        """Whether the node asks for a name and a password, and speaks TLS."""
        return bool(self.users)


@dataclass(frozen=True)
class Node:
    """A running node. `ca` is the file of its certificate ("" without TLS), `pid` that of its supervisor.

    `repository` is a folder that the node may use for snapshots ("" when the node is not ours).
    """

    url: str
    version: str = ""
    ca: str = ""
    user: str = ""
    password: str = ""
    folder: str = ""
    repository: str = ""
    pid: int = 0

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "",
        password: str = "",
        check: bool = True,
    ) -> Any:
        """One call of the REST API by a plain HTTP client, for what a test does behind the product's back."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)  # noqa: S310 - our own loopback node
        request.add_header("Content-Type", "application/json")
        name, word = (user, password) if user else (self.user, self.password)
        if name:
            token = base64.b64encode(f"{name}:{word}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as response:  # noqa: S310 - as above
                text = response.read()
        except urllib.error.HTTPError as error:
            text = error.read()
            if check:
                raise AssertionError(f"{method} {path}: {error.code} {text[:2000]!r}") from None
        return json.loads(text) if text else {}

    def pause(self) -> None:
        """Stop the node's processes where they are (SIGSTOP), as a hung machine would."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        os.killpg(int((Path(self.folder) / "server.pid").read_text()), number)

    def stop(self) -> None:
        """End the node and remove its data; returns when it is gone."""
        if not self.pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS + 10
        while Path(self.folder).exists() and time.monotonic() < until:
            time.sleep(0.1)


def javas() -> Iterator[tuple[int, set[str], Path]]:
    """Major version, modules and home of each Java on this machine, newest first."""
    homes = {Path(p) for p in (os.environ.get("ES_JAVA_HOME"), os.environ.get("JAVA_HOME")) if p}
    for folder in (Path("/usr/lib/jvm"), Path("/opt"), Path("/Library/Java/JavaVirtualMachines")):
        if folder.is_dir():
            homes.update(path.resolve() for path in folder.iterdir())
    found = []
    for home in homes:
        release = home / "release"
        if not release.is_file() or not (home / "bin" / "java").exists():
            continue
        text = release.read_text("utf-8", errors="replace")
        version = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', text)
        modules = re.search(r'MODULES="([^"]*)"', text)
        if version:
            found.append((int(version[1]), set(modules[1].split()) if modules else set(), home))
    yield from sorted(found, key=lambda item: (item[0], str(item[2])), reverse=True)


def choose() -> tuple[Release, Path]:
    """The newest release that a Java of this machine runs, and that Java's home."""
    wanted = os.environ.get("SOC_TEST_ELASTICSEARCH_VERSION", "")
    releases = [r for r in RELEASES if not wanted or r.version == wanted]
    for release in releases:
        for version, modules, home in javas():
            if version >= release.java and modules.issuperset(release.modules):
                return release, home
    needs = " or ".join(f"Java {r.java}+ for {r.version}" for r in releases) or f"known version, not {wanted}"
    raise NoNodeError(f"no Java here runs Elasticsearch ({needs})")


def fetch(version: str) -> Path:
    """The zip of a release, from the local Maven repository or by Maven."""
    repository = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".m2" / "repository"
    path = (
        repository / ARTIFACT.replace(".", "/").replace(":", "/") / version / f"elasticsearch-{version}.zip"
    )
    if path.is_file():
        return path
    maven = shutil.which("mvn")
    if maven is None:
        raise NoNodeError(f"Elasticsearch {version} is not in the local Maven repository and there is no mvn")
    command = [
        maven,
        "-B",
        "-q",
        "dependency:get",
        f"-Dartifact={ARTIFACT}:{version}:zip",
        "-Dtransitive=false",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode or not path.is_file():
        raise NoNodeError(
            f"mvn could not fetch Elasticsearch {version}: {(done.stdout + done.stderr)[-500:]}"
        )
    return path


def cache() -> Path:
    """Where unpacked servers are kept: in the checkout, or where `nobody` may read when root's is shut."""
    open_to_all = all(parent.stat().st_mode & 0o005 == 0o005 for parent in (CHECKOUT, *CHECKOUT.parents))
    if os.getuid() or open_to_all:
        return CHECKOUT / ".cache" / "elasticsearch"
    return Path("/var/tmp/soc-test-elasticsearch")


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a file lock, so that processes of one or several test runs take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def unpack(version: str) -> Path:
    """The unpacked server of a version; made once, readable by every user."""
    folder = cache()
    target = folder / f"server-{version}"
    with lock(folder / "unpack.lock"):
        if target.is_dir():
            return target
        source = fetch(version)
        work = Path(tempfile.mkdtemp(dir=folder, prefix="unpack-"))
        with zipfile.ZipFile(source) as archive:
            for item in archive.infolist():
                path = Path(archive.extract(item, work))
                mode = item.external_attr >> 16
                path.chmod((0o755 if path.is_dir() else 0o644) | (mode & 0o111))
        work.chmod(0o755)
        (work / f"elasticsearch-{version}").rename(target)
        work.rmdir()
    return target


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stored_password(password: str) -> str:
    """A salted hash as the server's file realm reads it (PBKDF2 with HMAC-SHA512, 32 bytes)."""
    salt = b"salt of the tests of this project"[:32]
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 1000, 32)
    return "{PBKDF2}1000$" + base64.b64encode(salt).decode() + "$" + base64.b64encode(digest).decode()


def certificate(folder: Path, name: str = "node") -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "30",
        "-subj",
        f"/CN={name}",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key), "-out", str(crt)]
    subprocess.run(command, check=True, capture_output=True)
    return crt, key


def _write_settings(plan: Plan, server: Path, folder: Path, port: int) -> None:
    config = folder / "config"
    shutil.copytree(server / "config", config)
    for name in ("data", "logs", "repository", "tmp"):
        (folder / name).mkdir()
    settings: dict[str, Any] = {
        "cluster.name": "soc-tests",
        "node.name": plan.name,
        "path.data": str(folder / "data"),
        "path.logs": str(folder / "logs"),
        "path.repo": str(folder / "repository"),
        "network.host": "127.0.0.1",
        "http.port": port,
        "transport.port": free_port(),
        "discovery.type": "single-node",
        "cluster.routing.allocation.disk.threshold_enabled": False,
        "xpack.security.enabled": plan.secure,
        **plan.settings,
    }
    if plan.secure:
        crt, key = certificate(config)
        settings["xpack.security.http.ssl.enabled"] = True
        settings["xpack.security.http.ssl.certificate"] = crt.name
        settings["xpack.security.http.ssl.key"] = key.name
        (config / "roles.yml").write_text("".join(f"{n}: {json.dumps(r)}\n" for n, r in plan.roles.items()))
        hashes = "".join(f"{name}:{_stored_password(word)}\n" for name, (word, _) in plan.users.items())
        (config / "users").write_text(hashes)
        roles = sorted({role for _, given in plan.users.values() for role in given})
        lines = (f"{r}:{','.join(u for u, (_, given) in plan.users.items() if r in given)}\n" for r in roles)
        (config / "users_roles").write_text("".join(lines))
    (config / "elasticsearch.yml").write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in settings.items()))


def start(plan: Plan, *, owner: int | None = None) -> Node:
    """Start a node and wait until it answers. `owner` is the process it must not outlive (default: this).

    Raises `NoNodeError` when no server can be had, with the end of its log when it does not start.
    """
    release, java = choose()
    server = unpack(release.version)
    folder = Path(tempfile.mkdtemp(prefix="soc-elastic-"))
    port = free_port()
    _write_settings(plan, server, folder, port)
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    folder.chmod(0o755)
    job = {"server": str(server), "java": str(java), "folder": str(folder), "heap": plan.heap}
    command = [sys.executable, __file__, str(owner or os.getpid()), json.dumps(job)]
    with (folder / "logs" / "supervisor.log").open("wb") as log:
        supervisor = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    scheme = "https" if plan.secure else "http"
    user, (password, _) = next(iter(plan.users.items()), ("", ("", ())))
    node = Node(
        url=f"{scheme}://127.0.0.1:{port}",
        version=release.version,
        ca=str(folder / "config" / "node.crt") if plan.secure else "",
        user=user,
        password=password,
        folder=str(folder),
        repository=str(folder / "repository"),
        pid=supervisor.pid,
    )
    try:
        _wait(node, supervisor)
    finally:
        supervisor.returncode = 0  # the supervisor outlives this handle on purpose; it ends with the test run
    return node


def _wait(node: Node, supervisor: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if supervisor.poll() is not None:
            raise NoNodeError(f"Elasticsearch {node.version} did not start: {_log(node)}")
        try:
            health = node.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s", check=False)
        except OSError:
            time.sleep(0.3)
            continue
        if health.get("status") in {"green", "yellow"}:
            return
        if health.get("status") == 401:
            break
        time.sleep(0.3)
    log = _log(node)
    node.stop()
    raise NoNodeError(f"Elasticsearch {node.version} did not answer within {START_SECONDS} s: {log}")


def _log(node: Node) -> str:
    """The end of what the node wrote, kept after its folder is gone."""
    kept = CHECKOUT / ".cache" / "elasticsearch" / "last-failure.log"
    text = ""
    for name in ("soc-tests.log", "supervisor.log"):
        with contextlib.suppress(OSError):
            text += (Path(node.folder) / "logs" / name).read_text("utf-8", errors="replace")
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(text)
    return f"{text[-1500:]} (whole log: {kept})"


def supervise(owner: int, job: Mapping[str, str]) -> None:
    """Run the server until a signal comes, it ends, or `owner` is gone; then remove its folder."""
    folder = Path(job["folder"])
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "ES_JAVA_HOME": job["java"],
        "ES_PATH_CONF": str(folder / "config"),
        "ES_JAVA_OPTS": f"-Xms{job['heap']} -Xmx{job['heap']}",
        "ES_TMPDIR": str(folder / "tmp"),
        "HOME": str(folder),
    }
    as_nobody: dict[str, Any] = (
        {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    )
    command = [f"{job['server']}/bin/elasticsearch"]
    process = subprocess.Popen(command, env=environment, cwd=folder, start_new_session=True, **as_nobody)
    (folder / "server.pid").write_text(str(process.pid))
    wanted = [True]
    signal.signal(signal.SIGTERM, lambda *_: wanted.clear())
    while wanted and process.poll() is None and _alive(owner):
        time.sleep(0.2)
    _end(process)
    if not wanted or not _alive(owner):
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the launcher and the server, which share a process group, also when they are paused."""
    for number, patience in ((signal.SIGCONT, 0.0), (signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def shared(run_folder: Path, plan: Plan, owner: int) -> Node:
    """The node of this plan that all processes of a test run share; the first one starts it."""
    record = run_folder / f"node-{plan.name}.json"
    with lock(run_folder / f"node-{plan.name}.lock"):
        if record.is_file():
            found = json.loads(record.read_text())
            if "reason" in found:
                raise NoNodeError(found["reason"])
            return Node(**found)
        try:
            node = start(plan, owner=owner)
        except NoNodeError as error:
            record.write_text(json.dumps({"reason": str(error)}))
            raise
        record.write_text(json.dumps(asdict(node)))
    return node


def stop_all(run_folder: Path) -> None:
    """Stop every node that a test run has started."""
    for record in run_folder.glob("node-*.json"):
        found = json.loads(record.read_text())
        if "reason" not in found:
            Node(**found).stop()


if __name__ == "__main__":
    supervise(int(sys.argv[1]), json.loads(sys.argv[2]))
