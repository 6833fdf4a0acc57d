"""An agent that takes a call over puts the ones before it out of the room, and nobody else."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from typing import Literal
from uuid import uuid4

import pytest
from aurion import rooms
from livekit import api, rtc

from agent_container.succession import Succession
from tests.livekit_server import API_KEY, API_SECRET, LiveKitServer, free_port

A_MOMENT_S = 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with LiveKitServer(tmp_path_factory.mktemp("succession") / "server.log") as running:
        yield running


class CallRoom:
    """A room that people and agents join; it ends with the test."""

    def __init__(self, server: LiveKitServer, ending: AsyncExitStack) -> None:
        self.name = f"call-{uuid4().hex}"
        self._server, self._ending = server, ending

    async def join(self, identity: str, kind: Literal["agent", "sip", "standard"]) -> rtc.Room:
        token = (
            api.AccessToken(API_KEY, API_SECRET)
            .with_identity(identity)
            .with_kind(kind)
            .with_grants(api.VideoGrants(room_join=True, room=self.name))
        )
        room = rtc.Room()
        await room.connect(self._server.url, token.to_jwt())
        self._ending.push_async_callback(room.disconnect)
        return room

    async def present(self) -> set[str]:
        """Ask the server, as nobody in the room would know better."""
        return {other.identity for other in await rooms.who_is_in(self.name)}

    async def becomes(self, expected: set[str]) -> None:
        async with asyncio.timeout(10):
            while await self.present() != expected:
                await asyncio.sleep(0.05)

    async def stays(self, expected: set[str]) -> None:
        await asyncio.sleep(A_MOMENT_S)
        assert await self.present() == expected


@pytest.fixture
async def room(server: LiveKitServer, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[CallRoom]:
    for variable, value in server.environment().items():
        monkeypatch.setenv(variable, value)
    async with AsyncExitStack() as ending:
        yield CallRoom(server, ending)


async def test_agents_before_this_one_leave_once_the_call_is_its_own(room: CallRoom) -> None:
    await room.join("caller", "sip")
    await room.join("listener", "standard")
    await room.join("dead", "agent")
    await room.join("thought dead", "agent")
    succession = Succession(await room.join("this", "agent"))
    succession.state("greeting")
    await room.becomes({"caller", "listener", "this"})
    await room.stays({"caller", "listener", "this"})


async def test_nobody_leaves_before_the_call_is_claimed(room: CallRoom) -> None:
    await room.join("caller", "sip")
    await room.join("alive", "agent")
    succession = Succession(await room.join("this", "agent"))
    succession.said("caller", "It still does not work.", 0.0, None)
    succession.tool("my_tickets", "done", 3)
    await room.stays({"caller", "alive", "this"})


async def test_an_agent_that_comes_afterwards_is_left_in_peace(room: CallRoom) -> None:
    await room.join("dead", "agent")
    this = await room.join("this", "agent")
    succession = Succession(this)
    succession.state("desk")
    await room.becomes({"this"})
    await room.join("next", "agent")
    async with asyncio.timeout(10):
        while "next" not in this.remote_participants:
            await asyncio.sleep(0.05)
    succession.state("over")
    await room.stays({"this", "next"})


async def test_a_voice_server_that_does_not_answer_ends_no_call(
    room: CallRoom, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await room.join("dead", "agent")
    await room.join("thought dead", "agent")
    succession = Succession(await room.join("this", "agent"))
    with monkeypatch.context() as away, caplog.at_level(logging.WARNING):
        away.setenv("LIVEKIT_URL", f"ws://127.0.0.1:{free_port()}")
        succession.state("greeting")
        async with asyncio.timeout(10):
            # The second is tried although the first could not be put out.
            while len(caplog.records) < 2:
                await asyncio.sleep(0.05)
    assert {record.getMessage() for record in caplog.records} == {
        "an agent before this one can't be taken out of the room"
    }
    await room.stays({"dead", "thought dead", "this"})
