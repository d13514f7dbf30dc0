"""Watches that a server ends at once are begun further and further apart; others are never held up."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from rag_operator.shell.pace import Pace

WATCH = "/api/v1/configmaps?watch=true&resourceVersion=7"


class Server:
    """Answers at once; a watch lasts so many seconds. Time passes only while something waits or lasts."""

    def __init__(self, lasts: float = 0.0, status: int = 200) -> None:
        self.lasts, self.status = lasts, status
        self.now = 1_000.0
        self.waited: list[float] = []
        self.pace = Pace(lambda: self.now, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds

    async def ask(self, path: str = WATCH) -> Any:
        class Message:
            url, status = URL(f"https://server.example{path}"), self.status

        async def handler(_: Any) -> Any:
            return Message

        answer = await self.pace(Message, handler)  # type: ignore[arg-type]
        self.now += self.lasts
        return answer


async def waits(server: Server, *paths: str) -> list[float]:
    for path in paths:
        assert (await server.ask(path)).status == server.status
    return server.waited


async def test_watches_that_end_at_once_are_begun_further_and_further_apart() -> None:
    assert await waits(Server(), *[WATCH] * 9) == [0.0, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0]


async def test_a_watch_that_lasted_is_begun_again_at_once() -> None:
    assert await waits(Server(lasts=300.0), *[WATCH] * 3) == [0.0, 0.0, 0.0]


async def test_one_that_lasted_ends_the_waiting() -> None:
    server = Server()
    await waits(server, *[WATCH] * 4)
    server.lasts = 60.0
    await server.ask()
    assert (await waits(server, WATCH, WATCH))[-2:] == [0.0, 0.0]


async def test_kinds_do_not_wait_for_each_other() -> None:
    assert await waits(Server(), WATCH, "/apis/apps/v1/deployments?watch=true", WATCH) == [0.0, 0.0, 0.2]


@pytest.mark.parametrize("status", [410, 429, 500])
async def test_between_requests_that_fail_kopf_waits_by_itself(status: int) -> None:
    assert await waits(Server(status=status), *[WATCH] * 4) == [0.0] * 4


async def test_what_is_no_watch_never_waits() -> None:
    assert await waits(Server(), *["/api/v1/configmaps?limit=500"] * 5) == []
