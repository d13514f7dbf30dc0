from __future__ import annotations

import sqlite3

import pytest

from rag_indexer.errors import SourceError
from rag_indexer.work.unexpected import told
from rag_runtime.milvus.errors import UnavailableError


@pytest.mark.parametrize("error", [SourceError("no such bucket"), UnavailableError("no answer")])
def test_what_can_be_expected_is_told_in_its_own_words(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    assert told(error) == str(error)
    assert caplog.records == []


def test_what_nobody_expected_is_told_with_its_kind_and_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    assert told(TypeError("no such thing"), source="docs") == "TypeError: no such thing"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.__dict__["source"] == "docs"


def test_scratch_space_that_fails_is_nothing_to_go_on_with() -> None:
    with pytest.raises(sqlite3.OperationalError):
        told(sqlite3.OperationalError("database or disk is full"))
