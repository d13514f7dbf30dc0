"""Probing a server that fails in the middle of it."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from pymilvus.exceptions import MilvusException

from rag_runtime.milvus.capabilities import probe
from rag_runtime.milvus.errors import RefusedError
from rag_runtime.milvus.schema import Owner, Shape


def test_a_server_that_describes_no_collection_is_told_in_words_and_keeps_none() -> None:
    client = MagicMock()
    client.describe_collection.side_effect = MilvusException(65535, "no such metadata")
    with pytest.raises(RefusedError, match="failed to describe a scratch collection: no such metadata"):
        probe(client, Shape(dimensions=8), "rag_index", Owner("cluster", "team", "index"))
    client.drop_collection.assert_called()
