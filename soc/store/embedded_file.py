"""The file of the embedded store: making and opening it safely, transactions, and what its errors mean.

SQLite in WAL mode. Every write is one `BEGIN IMMEDIATE` transaction with `synchronous=FULL`, so what was
committed is on disk; every read is one short transaction, so that the log can be folded back at any time.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soc.errors import NotAuthorisedError, SocError, StoreUnavailableError, UsageError
from soc.store.contract import SCHEMA_VERSION

APPLICATION_ID = 0x534F4353
"""`SOCS` in the header of the file (https://sqlite.org/pragma.html#pragma_application_id)."""

BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""

PAGE_BYTES = 16_384
"""Pages that hold about fifteen events: measured best for appending."""

WAL_BYTES = 64 * 1024 * 1024
"""The write-ahead log is folded back when it reaches about this size."""

VACUUM_PAGES = 2_000
"""Free pages given back to the file system in one transaction."""

CACHE_BYTES = 64 * 1024 * 1024

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "vboxsf",
        "fuse.ceph",
        "fuse.curlftpfs",
        "fuse.davfs",
        "fuse.davfs2",
    }
    | {"fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)
"""File systems whose locks and shared memory SQLite's WAL cannot trust (https://sqlite.org/wal.html)."""

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- AUTOINCREMENT: a number is never used again, also after pruning, so numbers go up in order of commits
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, time INTEGER NOT NULL, body NOT NULL
);
CREATE UNIQUE INDEX events_id ON events (id);
CREATE INDEX events_time ON events (time, id);

-- which writer began at which number: a file that was set back by a restore shows here
CREATE TABLE history (first INTEGER PRIMARY KEY, mark TEXT NOT NULL UNIQUE);

-- a deleted document keeps its row without a body, so that its version never comes back
CREATE TABLE documents (
  kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body,
  changed_by TEXT NOT NULL, changed_at TEXT NOT NULL, UNIQUE (kind, id)
);

CREATE TABLE audit (number INTEGER PRIMARY KEY CHECK (number > 0), body NOT NULL, user TEXT NOT NULL);
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append only'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append only'); END;
"""

_SPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def _nothing_here(path: Path) -> StoreUnavailableError:
    """That a store, or a space of it, was not made yet."""
    space = path.stem.partition("-")[2]
    if not space:
        return StoreUnavailableError(
            "there is no store here yet", place=path.parent, hint="soc store init creates it"
        )
    return StoreUnavailableError(
        f"there is no space {space} here yet",
        place=path.parent,
        hint=f"soc store init --space {space} creates it",
    )


def file_of(folder: Path, space: str) -> Path:
    """The database file of a space in a store's folder; raises `UsageError` for a name that is none."""
    if not space:
        return folder / "soc.db"
    if not _SPACE.fullmatch(space):
        raise UsageError(
            f"{space!r} is no name of a space",
            hint="use up to 63 small letters, digits, - and _, a letter or digit first",
        )
    return folder / f"soc-{space}.db"


def file_system_of(path: Path, mounts: str | None = None) -> str:
    """The type of the file system that holds a path; empty where the system does not say.

    `mounts`: the text of `/proc/self/mounts` (proc(5)), read when not given.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape")
        except OSError:
            return ""
    resolved = path.resolve()
    best, found = -1, ""
    for line in mounts.splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), parts[1]))
        # a later mount over the same point hides the earlier one
        if (resolved == point or point in resolved.parents) and len(point.parts) >= best:
            best, found = len(point.parts), parts[2]
    return found


class Database:
    """One open database file. Made on first use where it may be created; used from one thread."""

    def __init__(self, path: Path, *, create: bool, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._inode = (0, 0)
        self._closed = False
        refuse_network(path.parent)
        if path.exists() or not create:
            self._connect()

    def exists(self) -> bool:
        """Whether the file is there with its tables."""
        return self._connection is not None

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection; makes folder and file the first time."""
        if self._closed:
            raise RuntimeError("the store was closed")
        if self._connection is None:
            make_file(self.path)
            self._connect()
        if self._connection is None:  # pragma: no cover - _connect sets it or raises
            raise RuntimeError("no connection")
        return self._connection

    def _connect(self) -> None:
        if not self.path.exists():
            if self.path.parent.is_file():
                raise _not_a_folder(self.path.parent)
            raise _nothing_here(self.path)
        check_access(self.path)
        with self.guard():
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=self._busy_seconds,
                isolation_level=None,
                cached_statements=64,
            )
            try:
                prepare(connection, self.path, self._busy_seconds)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self._inode = _inode(self.path)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn SQLite's errors into the product's, with the next step."""
        try:
            yield
        except sqlite3.Error as error:
            raise translated(error, self.path, self._busy_seconds) from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock; on disk when it ends, undone when anything is raised."""
        connection = self.connection
        with self.guard():
            self._refuse_replaced()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # a full disk may have rolled back already
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of one statement; none for a parameter that UTF-8 cannot say, as nothing equals it."""
        connection = self.connection
        with self.guard():
            try:
                return connection.execute(sql, parameters).fetchall()
            except UnicodeEncodeError:
                return []

    def page(self, sql: str, parameters: Sequence[Any], budget: int) -> tuple[list[Any], bool]:
        """Rows until their last columns exceed `budget` in length (one at least), and whether all came."""
        connection = self.connection
        rows: list[Any] = []
        with self.guard():
            cursor = connection.execute(sql, parameters)
            try:
                for row in cursor:
                    rows.append(row)
                    budget -= len(row[-1])
                    if budget < 0:
                        return rows, False
            finally:
                cursor.close()  # ends the read transaction
        return rows, True

    def shrink(self) -> None:
        """Give free pages back to the file system, some at a time so that writers do not wait long."""
        connection = self.connection
        with self.guard():
            free, before = -1, 0
            while free != before:
                # one step of this statement frees one page, and only a script is stepped to its end
                connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
                before, (free,) = free, connection.execute("PRAGMA freelist_count").fetchone()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _refuse_replaced(self) -> None:
        """Writing into a file that was deleted or replaced would acknowledge what nobody finds again."""
        if _inode(self.path) != self._inode:
            raise StoreUnavailableError(
                "the store's file was moved, deleted or replaced while in use",
                place=self.path,
                hint="start the command again",
            )

    def close(self) -> None:
        """Close the file; the last one to do so folds the log back."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _inode(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def refuse_network(folder: Path) -> None:
    """Raise `UsageError` for a folder on a network file system."""
    kind = file_system_of(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UsageError(
            f"the embedded store cannot live on a network file system ({kind}): its locks do not hold there",
            place=folder,
            hint="choose a local folder with --store, or use Elasticsearch to share a store",
        )


def _not_a_folder(path: Path) -> UsageError:
    return UsageError("this is a file; a store is a folder", place=path, hint="choose another --store")


def make_file(path: Path) -> None:
    """Make the folder (0700) and an empty file (0600), where they are not there."""
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise _not_a_folder(folder) from None
    except NotADirectoryError:
        raise UsageError(
            "a part of this path is a file", place=folder, hint="choose another --store"
        ) from None
    except PermissionError:
        raise NotAuthorisedError(
            "this user may not create a store here", place=folder, hint="choose another folder with --store"
        ) from None
    except OSError as error:
        raise StoreUnavailableError(
            f"the store cannot be created: {error.strerror}", place=folder, hint="soc doctor looks closer"
        ) from None


def check_access(path: Path) -> None:
    """Raise `NotAuthorisedError` when this user cannot read and write the file and its folder."""
    if path.is_dir():
        raise UsageError(
            "a folder stands where the store's file should be", place=path, hint="choose another --store"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise NotAuthorisedError(
            "this user may not read and write the store",
            place=path,
            hint=f"its owner can allow it: ls -l {path}",
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise NotAuthorisedError(
            "the store's folder cannot be written, and SQLite keeps its log beside the file",
            place=path.parent,
            hint="make it writable, or copy the store to a folder of yours and name that with --store",
        )


def prepare(connection: sqlite3.Connection, path: Path, busy_seconds: float) -> None:
    """Settings of a connection, and the tables where the file is new; refuses files that are not ours."""
    connection.execute("PRAGMA foreign_keys = OFF")
    application, tables = _contents(connection)
    if application not in (0, APPLICATION_ID) or (application == 0 and tables):
        raise not_a_store(path)
    if application == 0:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if use_wal(connection, busy_seconds) != "wal":
        raise UsageError(
            "the file system under the store has no shared memory",
            place=path,
            hint="choose a local folder with --store",
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = {-CACHE_BYTES // 1024}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    connection.execute("PRAGMA temp_store = MEMORY")
    if application == 0:
        create_tables(connection)
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // page}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise SocError(
            f"a newer soc wrote this store (layout {version}; this one knows {SCHEMA_VERSION})",
            place=path,
            hint="use the newer soc; nothing was changed",
        )


def use_wal(connection: sqlite3.Connection, busy_seconds: float) -> str:
    """Switch to write-ahead logging; the mode that then holds.

    While another process switches the same new file, SQLite says "locked" at once instead of waiting.
    """
    until = time.monotonic() + busy_seconds
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return str(mode)


def _contents(connection: sqlite3.Connection) -> tuple[int, int]:
    """The mark in the header and the number of tables at one moment: another process may be creating them."""
    connection.execute("BEGIN")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    finally:
        connection.execute("COMMIT")
    return application, tables


def statements(script: str) -> Iterator[str]:
    """The statements of an SQL script, one by one (`executescript` would commit in between)."""
    so_far = ""
    for line in script.splitlines(keepends=True):
        so_far += line
        if sqlite3.complete_statement(so_far):
            yield so_far.strip()
            so_far = ""


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables in one transaction; another process may have done so first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application == 0:
            for statement in statements(SCHEMA):
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('uuid', ?), ('events', 0)", (secrets.token_hex(16),))
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def not_a_store(path: Path) -> SocError:
    """The error for a file that something else wrote."""
    return SocError("this is not a soc store", place=path, hint="choose another folder with --store")


def translated(error: sqlite3.Error, path: Path, busy_seconds: float) -> SocError:
    """What an error of SQLite means for a person."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailableError(
            f"another process has held the store for more than {busy_seconds:g} s",
            place=path,
            hint=f"see who has it open: fuser -v {path}; then try again",
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreUnavailableError(
            "the disk is full; nothing of this write was stored",
            place=path,
            hint=f"free some space (df -h {path.parent}), then try again; old events go with soc store prune",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return NotAuthorisedError(
            "the store is read-only for this user", place=path, hint=f"ls -l {path.parent}"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_store(path)
    if code == sqlite3.SQLITE_CORRUPT:
        return SocError(
            f"the store's file is damaged ({error})",
            place=path,
            hint="keep a copy, then restore a backup or recover it: sqlite3 FILE .recover",
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreUnavailableError("the store cannot be opened", place=path, hint=f"ls -l {path.parent}")
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailableError(
            f"reading or writing the store failed ({error}); nothing of this write was stored",
            place=path,
            hint="check the disk: dmesg, df -h; then try again",
        )
    return SocError(f"the store refused: {error}", place=path, hint="soc doctor looks closer")
