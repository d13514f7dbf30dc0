"""Log lines."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_runtime import logs

log = logging.getLogger("part")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("INFO", stream=stream, pipeline="handbook", component="")
    yield stream
    root.handlers[:], root.level = handlers, level


def test_a_line_is_one_json_object_with_static_bound_and_extra_members(lines: io.StringIO) -> None:
    with logs.bind(request_id="r1", revision=None):
        log.info("answered\nin two lines", extra={"seconds": 0.2})
    line = json.loads(lines.getvalue())
    assert lines.getvalue().count("\n") == 1
    assert (line["pipeline"], line["request_id"], line["seconds"], line["level"]) == ("handbook", "r1", 0.2, "info")
    assert "revision" not in line
    assert "component" not in line


async def test_tasks_running_side_by_side_do_not_see_each_others_members(lines: io.StringIO) -> None:
    async def work(name: str) -> None:
        with logs.bind(request_id=name):
            await asyncio.sleep(0)
            log.info(name)

    await asyncio.gather(work("a"), work("b"))
    parsed = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert all(line["message"] == line["request_id"] for line in parsed)
    assert logs.bound("request_id") is None


def test_an_exception_is_part_of_its_line(lines: io.StringIO) -> None:
    try:
        raise KeyError("missing")
    except KeyError:
        log.exception("failed to look")
    assert "KeyError: 'missing'" in json.loads(lines.getvalue())["exception"]


@pytest.mark.parametrize("odd", ["caf\udce9.md", 2**70], ids=["a file's name that is not UTF-8", "a number of more than 64 bits"])
def test_a_line_is_not_lost_for_a_member_that_json_in_utf8_cannot_hold(lines: io.StringIO, odd: object) -> None:
    log.info("failed to read", extra={"document": odd, "below": Path("docs")})
    line = json.loads(lines.getvalue())
    assert (line["document"], line["below"]) == (odd, "docs")


@pytest.mark.parametrize("offered", [None, "", "two words", "x" * 129, 'quote"', "line\nbreak"])
def test_a_request_id_that_is_not_harmless_is_replaced(offered: str | None) -> None:
    made = logs.request_id(offered)
    assert made != offered
    assert len(made) == 16


def test_a_harmless_request_id_is_kept() -> None:
    assert logs.request_id("trace-42/a.b") == "trace-42/a.b"
