"""Which error an answer of the API server is."""

from __future__ import annotations

import pytest

from rag_operator import errors


@pytest.mark.parametrize(
    ("status", "causes", "kind"),
    [
        (403, ["NamespaceTerminating"], errors.Terminating),
        (403, [], errors.Forbidden),
        (409, ["NamespaceTerminating"], errors.Conflict),
        (503, [], errors.Unavailable),
        (418, [], errors.ApiError),
    ],
)
def test_an_answer_is_told_by_its_status_and_a_terminating_namespace_by_its_cause(
    status: int, causes: list[str], kind: type[errors.ApiError]
) -> None:
    assert type(errors.from_status(status, "failed", causes=causes)) is kind
