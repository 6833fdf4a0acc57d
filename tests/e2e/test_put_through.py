"""Handing a telephone caller over, on a voice server that has no telephone side to do it."""

import pytest
from aurion import rooms
from aurion.errors import RoomsUnavailable

from tests.livekit_server import LiveKitServer
from tests.room_calls import PhoneCaller


@pytest.fixture
def voice_server(livekit: LiveKitServer, monkeypatch: pytest.MonkeyPatch) -> LiveKitServer:
    for name, value in livekit.environment().items():
        monkeypatch.setenv(name, value)
    return livekit


async def test_a_refused_hand_over_leaves_the_caller_where_they_are(
    voice_server: LiveKitServer,
) -> None:
    async with PhoneCaller(voice_server, token="put-through", tenant_id="none") as alice:
        for identity in ("sip_caller", "nobody"):
            with pytest.raises(RoomsUnavailable):
                await rooms.put_through(
                    "call-put-through", caller=identity, number="+33199000009", ringing_s=2.0
                )
        assert not alice.hung_up.is_set()
