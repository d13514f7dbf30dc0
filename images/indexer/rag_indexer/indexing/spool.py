"""A scratch database on local disk: listings and ledgers side by side, so that what differs is a join and nothing must fit in memory.

It knows nothing that could not be read again; it is thrown away with the process. Rows are ordered by document id, byte by byte.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from rag_indexer.sources.port import Entry
from rag_runtime.contracts import collections as names
from rag_runtime.milvus.rows import LEDGER_FIELDS, LedgerRow

# As the last read and the writes since left it, and, while it is read anew, as far as that is.
_LEDGERS = "\n".join(
    f"create table {name} (target text not null, document text not null, version text, content_hash text, chunks_digest text,"
    " chunk_count integer, state text, reason text, attempts integer, updated integer, recipe text, source text,"
    " primary key (target, document)) without rowid;"
    for name in ("ledger", "fresh")
)
_TABLES = f"""
create table listing (document text primary key, source text not null, path text, version text, uri text, size integer, start integer,
                      length integer, problem text, container text) without rowid;
{_LEDGERS}
create table todo (document text not null, target text not null, primary key (document, target)) without rowid;
create table written (target text not null, key text not null, document text not null, primary key (target, key)) without rowid;
create table containers (source text not null, path text not null, version text not null, primary key (source, path)) without rowid;
create table contained (source text not null, file text not null, path text not null, version text, uri text, size integer,
                        start integer, length integer, problem text, container text, primary key (source, path)) without rowid;
create index by_file on contained (source, file);
create index by_source on listing (source);
"""
_COLUMNS = ", ".join(LEDGER_FIELDS)
_ENTRY = "path, version, uri, size, start, length, problem, container"
_SAME = "path = excluded.path and container = excluded.container"
_CLASH = f"""on conflict (document) do update set
    problem = iif({_SAME}, problem, 'two paths have this id: ' || path || ' and ' || excluded.path),
    version = iif({_SAME} and size < 1, excluded.version, version),
    size = iif({_SAME} and size < 1, excluded.size, size)"""
# A failed document is tried again after 30 s, then after twice as long each time, at most after an hour.
_RETRY_AT = "g.updated + min(30 * (1 << min(max(g.attempts - 1, 0), 7)), 3600)"

# SQLite's own limit of parameters in one statement is higher everywhere.
_PARAMETERS = 500


class Spool:
    """Safe to be used by several threads, one call at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.unlink(missing_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.executescript("pragma journal_mode=off; pragma synchronous=off;" + _TABLES)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Listings.

    def clear_listing(self, source: str) -> None:
        """Forget a source's listing."""
        self._run("delete from listing where source = ?", source)

    def add_listed(self, source: str, entries: Iterable[tuple[str, Entry]]) -> None:
        """Add (document id, entry). Of two paths with one id the first stays, marked as a problem.

        A path may come twice: a bucket's `reports` and after it `reports/`. What is read by that path is the first, if it is not empty.
        """
        rows = [(document, source, *astuple(entry)) for document, entry in entries]
        self._many(f"insert into listing values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) {_CLASH}", rows)

    def listed(self, source: str) -> int:
        """How many documents a source's listing has."""
        return int(self._one("select count(*) from listing where source = ?", source)[0])

    def container(self, source: str, file: Entry) -> list[Entry] | None:
        """The documents of a file, if they are known for this version of it."""
        known = self._all("select 1 from containers where source = ? and path = ? and version = ?", source, file.path, file.version)
        if not known:
            return None
        return [Entry(*row) for row in self._all(f"select {_ENTRY} from contained where source = ? and file = ?", source, file.path)]

    def remember_container(self, source: str, file: Entry, entries: Iterable[Entry]) -> None:
        """Keep the documents of a file."""
        self._run("delete from contained where source = ? and file = ?", source, file.path)
        self._many(
            "insert or replace into contained values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [(source, file.path, *astuple(e)) for e in entries]
        )
        self._run("insert or replace into containers values (?, ?, ?)", source, file.path, file.version)

    # Ledgers.

    def clear_ledger(self, target: str) -> None:
        """Forget an index's ledger."""
        self._run("delete from ledger where target = ?", target)
        self._run("delete from fresh where target = ?", target)

    def replace_ledger(self, target: str, pages: Iterable[Sequence[LedgerRow]]) -> None:
        """Take over a ledger as a whole. When `pages` raises, what was known stays: half a ledger looks like documents that are new."""
        self._run("delete from fresh where target = ?", target)
        for page in pages:
            self._put("fresh", target, page)
        with self._lock:
            self._db.execute("begin")
            self._db.execute("delete from ledger where target = ?", (target,))
            self._db.execute("insert into ledger select * from fresh where target = ?", (target,))
            self._db.execute("delete from fresh where target = ?", (target,))
            self._db.execute("commit")

    def put_ledger(self, target: str, rows: Sequence[LedgerRow]) -> None:
        """Take over ledger rows as written."""
        self._put("ledger", target, rows)

    def _put(self, table: str, target: str, rows: Sequence[LedgerRow]) -> None:
        values = [(target, *(getattr(row, name) for name in LEDGER_FIELDS), row.document.partition("/")[0]) for row in rows]
        self._many(f"insert or replace into {table} (target, {_COLUMNS}, source) values ({', '.join('?' * 12)})", values)

    def delete_ledger(self, target: str, documents: Sequence[str]) -> None:
        """Take over removals."""
        self._many("delete from ledger where target = ? and document = ?", [(target, document) for document in documents])

    def ledger_of(self, target: str, documents: Sequence[str]) -> dict[str, LedgerRow]:
        """What the ledger says of some documents."""
        rows = []
        for start in range(0, len(documents), _PARAMETERS):
            part = documents[start : start + _PARAMETERS]
            marks = ", ".join("?" * len(part))
            rows += self._all(f"select {_COLUMNS} from ledger where target = ? and document in ({marks})", target, *part)
        return {row[0]: LedgerRow(**dict(zip(LEDGER_FIELDS, row, strict=True))) for row in rows}

    def tally(self, target: str, source: str | None = None) -> tuple[int, int, int, int]:
        """Documents in the index, documents known, chunks and failed documents; of one source, or of all."""
        found: tuple[int, int, int, int] = self._one(
            "select count(*) filter (where state in ('done', 'empty') or chunk_count > 0), count(*), coalesce(sum(chunk_count), 0),"
            " count(*) filter (where state = 'failed') from ledger where target = ? and (? is null or source = ?)",
            target,
            source,
            source,
        )
        return found

    def failed(self, target: str, limit: int) -> list[LedgerRow]:
        """Failed documents, in order."""
        sql = f"select {_COLUMNS} from ledger where target = ? and state = 'failed' order by document limit ?"
        return [LedgerRow(**dict(zip(LEDGER_FIELDS, row, strict=True))) for row in self._all(sql, target, limit)]

    # What differs.

    def plan_changes(self, target: str, source: str, recipe: str, now: float) -> None:
        """Put down every document of a source whose ledger row is not what its listing asks for."""
        self._run(
            "insert or ignore into todo select l.document, ? from listing l left join ledger g on g.target = ? and g.document = l.document"
            " where l.source = ? and (g.document is null or g.version != l.version or g.recipe != ? or"
            f" g.state not in ('done', 'empty', 'failed') or (g.state = 'failed' and {_RETRY_AT} <= ?))",
            target,
            target,
            source,
            recipe,
            now,
        )

    def plan_again(self, target: str, documents: Iterable[str]) -> None:
        """Put down documents that must be done again."""
        self._many("insert or ignore into todo values (?, ?)", [(document, target) for document in documents])

    def clear_plan(self, target: str | None = None) -> None:
        """Nothing is to be done, for one index or for all."""
        if target is None:
            self._run("delete from todo")
        else:
            self._run("delete from todo where target = ?", target)

    def planned(self, target: str) -> int:
        """How many documents are put down for an index."""
        return int(self._one("select count(*) from todo where target = ?", target)[0])

    def changes(self, source: str, page: int = 256) -> Iterator[tuple[str, Entry, frozenset[str]]]:
        """(document id, entry, indexes that want it), in order."""
        last = ""
        while rows := self._all(
            f"select l.document, group_concat(t.target, ' '), {_ENTRY} from todo t join listing l on l.document = t.document"
            " where t.document > ? and l.source = ? group by t.document order by t.document limit ?",
            last,
            source,
            page,
        ):
            for document, targets, *entry in rows:
                yield document, Entry(*entry), frozenset(targets.split(" "))
            last = rows[-1][0]

    def gone(self, target: str, source: str) -> list[str]:
        """Documents of a source that the ledger knows and the listing lacks."""
        sql = (
            "select g.document from ledger g left join listing l on l.document = g.document"
            " where g.target = ? and g.source = ? and l.document is null order by g.document"
        )
        return [row[0] for row in self._all(sql, target, source)]

    def sources_of(self, target: str) -> set[str]:
        """The sources whose documents an index holds."""
        return {row[0] for row in self._all("select distinct source from ledger where target = ?", target)}

    # What was written in this run.

    def remember_written(self, target: str, keys: Iterable[tuple[str, str]]) -> None:
        """Keep (key, document) until they were seen again."""
        self._many("insert or replace into written values (?, ?, ?)", [(target, key, document) for key, document in keys])

    def forget_written(self, target: str, keys: Iterable[str]) -> None:
        """Those that are gone for good."""
        self._many("delete from written where target = ? and key = ?", [(target, key) for key in keys])

    def written(self, target: str, page: int = 2_048) -> Iterator[list[tuple[str, str]]]:
        """(key, document) of everything written, in pages."""
        last = ""
        while rows := self._all("select key, document from written where target = ? and key > ? order by key limit ?", target, last, page):
            yield [(key, document) for key, document in rows]
            last = rows[-1][0]

    def clear_written(self, target: str) -> None:
        """Everything was seen again."""
        self._run("delete from written where target = ?", target)

    def _run(self, sql: str, *values: Any) -> None:
        with self._lock:
            self._db.execute(sql, values)

    def _many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._lock:
            self._db.execute("begin")
            self._db.executemany(sql, rows)
            self._db.execute("commit")

    def _all(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: Any) -> Any:
        with self._lock:
            return self._db.execute(sql, values).fetchone()


def is_mine(document: str, low: int, high: int) -> bool:
    """Whether a document's bucket is in the share `low` to `high` - 1."""
    return low <= names.bucket(document) < high
