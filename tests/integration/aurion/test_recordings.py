"""Where a recording is: each way it can come and go, and what may never come back."""

from collections.abc import Callable

import psycopg
import pytest
from aurion import calls, recordings
from aurion.database import tenant_transaction
from aurion.errors import CallClosed, RecordingNotFound, RecordingSettled, StaleEpoch
from aurion.storage import StoredObject

from tests.factories import Tenant
from tests.integration.aurion.desk_calls import State, start_call

WHOLE = StoredObject("tenants/t/recordings/c.ogg", 1234, "ab" * 32)
PART = StoredObject("tenants/t/recordings/c.ogg", 1000, "cd" * 32)

type Act = Callable[[psycopg.Connection, State], object]


def begin(conn: psycopg.Connection, state: State) -> bool:
    return recordings.begin(conn, call_id=state.call_id, epoch=state.epoch)


def store(conn: psycopg.Connection, state: State) -> None:
    recordings.stored(
        conn,
        call_id=state.call_id,
        stored_object=WHOLE,
        duration_ms=61_000,
        guarded_intervals=[(2_000, 9_500)],
    )


def salvage(conn: psycopg.Connection, state: State) -> None:
    recordings.salvaged(conn, call_id=state.call_id, stored_object=PART, duration_ms=40_000)


def lose(conn: psycopg.Connection, state: State) -> None:
    recordings.lost(conn, call_id=state.call_id)


def discard(conn: psycopg.Connection, state: State) -> str | None:
    return recordings.discarded(conn, call_id=state.call_id)


@pytest.fixture
def state(tenant: Tenant) -> State:
    return start_call(tenant)


@pytest.fixture
def run(state: State) -> Callable[[Act], object]:
    """Do one thing in a transaction of its own."""

    def run(act: Act) -> object:
        with tenant_transaction(state.tenant_id) as conn:
            return act(conn, state)

    return run


def status(run: Callable[[Act], object]) -> object:
    return run(lambda conn, state: recordings.get(conn, state.call_id).status)


def test_recording_is_made_and_stored(run: Callable[[Act], object]) -> None:
    assert run(begin) is True
    assert run(begin) is True, "an agent that takes over goes on with it"
    assert status(run) == "recording"
    run(store)
    run(store)
    kept = run(lambda conn, state: recordings.get(conn, state.call_id))
    assert isinstance(kept, recordings.Recording)
    assert (kept.status, kept.object_key, kept.size_bytes, kept.sha256, kept.duration_ms) == (
        "stored",
        WHOLE.object_key,
        1234,
        "ab" * 32,
        61_000,
    )
    assert kept.guarded_intervals == [[2_000, 9_500]]
    assert kept.stored_at is not None
    assert run(begin) is False, "what is stored is not begun again"


def test_call_that_must_not_be_recorded_has_none(run: Callable[[Act], object]) -> None:
    run(lambda conn, state: calls.stop_recording(conn, call_id=state.call_id, epoch=state.epoch))
    assert run(begin) is False
    with pytest.raises(RecordingNotFound):
        status(run)


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        (lose, salvage, "salvaged"),
        (lose, store, "stored"),
        (salvage, store, "stored"),
        (lose, lose, "lost"),
        (store, discard, "discarded"),
        (discard, discard, "discarded"),
    ],
)
def test_later_and_better_news_replace_earlier(
    run: Callable[[Act], object], before: Act, after: Act, left: str
) -> None:
    run(begin)
    run(before)
    run(after)
    assert status(run) == left


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (store, salvage),
        (store, lose),
        (salvage, lose),
        (discard, store),
        (discard, salvage),
        (discard, lose),
    ],
)
def test_what_is_settled_stays(run: Callable[[Act], object], before: Act, after: Act) -> None:
    run(begin)
    run(before)
    settled = status(run)
    with pytest.raises(RecordingSettled):
        run(after)
    assert status(run) == settled


def test_discarded_recording_is_listed_until_its_object_is_gone(
    run: Callable[[Act], object],
) -> None:
    run(begin)
    run(store)
    assert run(discard) == WHOLE.object_key
    unwanted = run(lambda conn, _: [r.object_key for r in recordings.list_unwanted(conn)])
    assert unwanted == [WHOLE.object_key]
    run(lambda conn, state: recordings.object_gone(conn, call_id=state.call_id))
    assert run(lambda conn, _: recordings.list_unwanted(conn)) == []
    kept = run(lambda conn, state: recordings.get(conn, state.call_id))
    assert isinstance(kept, recordings.Recording)
    assert (kept.object_key, kept.sha256) == (None, None)
    assert run(begin) is False


def test_object_of_a_wanted_recording_is_never_forgotten(run: Callable[[Act], object]) -> None:
    run(begin)
    run(store)
    with pytest.raises(RecordingSettled):
        run(lambda conn, state: recordings.object_gone(conn, call_id=state.call_id))


def test_recording_of_a_call_that_ended_is_an_orphan(run: Callable[[Act], object]) -> None:
    run(begin)
    assert run(lambda conn, _: recordings.list_orphans(conn)) == []
    run(
        lambda conn, state: calls.close(
            conn, call_id=state.call_id, epoch=state.epoch, outcome="interrupted"
        )
    )
    orphans = run(
        lambda conn, state: [r.call_id == state.call_id for r in recordings.list_orphans(conn)]
    )
    assert orphans == [True]
    run(salvage)
    assert run(lambda conn, _: recordings.list_orphans(conn)) == []
    with pytest.raises(CallClosed):
        run(begin)


def test_agent_that_was_replaced_begins_none(run: Callable[[Act], object]) -> None:
    run(lambda conn, state: calls.claim(conn, call_id=state.call_id))
    with pytest.raises(StaleEpoch):
        run(begin)


@pytest.mark.parametrize("act", [store, salvage, lose, discard])
def test_recording_of_another_company_is_not_there(
    run: Callable[[Act], object], other_tenant: Tenant, state: State, act: Act
) -> None:
    with pytest.raises(RecordingNotFound):
        run(act)
    run(begin)
    with (
        pytest.raises(RecordingNotFound),
        tenant_transaction(other_tenant.tenant_id) as conn,
    ):
        act(conn, state)
    assert status(run) == "recording"
