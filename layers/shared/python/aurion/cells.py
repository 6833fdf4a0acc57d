"""Companies' own agents: which companies should have some, and the rounds that see to it.

A round compares what is wanted with what is there and takes one step for each company. All it
knows is read anew, from the rows, from CloudFormation and from the database's roles, so a round
that dies is made good by the next, and two at once do no harm.
"""

import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, LiteralString
from uuid import UUID

from psycopg import Connection

from aurion import cell_stacks, database, tenants
from aurion.aws import AwsRefused
from aurion.cell_stacks import Release, Stack
from aurion.database.rows import rows_of

logger = logging.getLogger(__name__)

type State = Literal[
    "waiting", "creating", "running", "updating", "draining", "deleting", "failed", "gone"
]

AT_ONCE = 10
"""How many stacks may be changing at a time: a bad release must not reach everybody."""

_RINGING_S = 180
# Fargate protects a task in a call for as long.
_LONGEST_CALL_S = 7800
_RETRY_S = 120
_LONGEST_RETRY_S = 6 * 3600


@dataclass(frozen=True, slots=True)
class Cell:
    """A company's own agents; `taking_calls` says whether its calls are sent to them.

    `stack_status` is CloudFormation's word, `tried_release` what the stack was last to become.
    """

    tenant_id: UUID
    wanted: bool
    min_tasks: int
    max_tasks: int
    state: State
    taking_calls: bool
    taking_since: datetime
    stack_status: str | None
    tried_release: str | None
    attempts: int
    next_attempt_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Round:
    """What a round found, by state, and how many stacks it began to change."""

    states: dict[State, int]
    begun: int


def want(conn: Connection, *, min_tasks: int = 1, max_tasks: int = 4) -> Cell:
    """Have the acting tenant get agents of its own, or other numbers of them."""
    cell = _one(
        conn,
        """
        INSERT INTO aurion.tenant_cells AS c (min_tasks, max_tasks) VALUES (%(least)s, %(most)s)
        ON CONFLICT (tenant_id) DO UPDATE
        SET wanted = true, min_tasks = EXCLUDED.min_tasks, max_tasks = EXCLUDED.max_tasks,
            next_attempt_at = now(), updated_at = now()
        RETURNING *
        """,
        {"least": min_tasks, "most": max_tasks},
    )
    assert cell is not None
    return cell


def give_up(conn: Connection) -> Cell | None:
    """Have the acting tenant be served by the shared agents again; None if it always was."""
    return _one(
        conn,
        "UPDATE aurion.tenant_cells SET wanted = false, updated_at = now() RETURNING *",
        {},
    )


def get(conn: Connection) -> Cell | None:
    """Read the acting tenant's cell, if it has or had one."""
    return _one(conn, "SELECT * FROM aurion.tenant_cells", {})


def agent_name(conn: Connection, *, shared: str) -> str:
    """Name the agents the acting tenant's calls go to: its own, once they run, or `shared`."""
    row = conn.execute("SELECT tenant_id FROM aurion.tenant_cells WHERE taking_calls").fetchone()
    return shared if row is None else cell_stacks.agent_name_of(row[0])


def anybody_has_some() -> bool:
    """Say whether any company has, had or wants agents of its own.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    for tenant_id in tenants.ids():
        with database.tenant_transaction(tenant_id) as conn:
            if get(conn) is not None:
                return True
    return False


def reconcile(*, at_once: int = AT_ONCE) -> Round:
    """Take one step for each company towards what is wanted.

    Raises:
        ReleaseNotFound: No release of the agents has been deployed here.
        DatabaseUnavailable: The database does not answer.
        AwsRefused: The release or the stacks can't be read.
    """
    release = cell_stacks.read_release()
    stacks = cell_stacks.list_all()
    with database.provisioner_transaction() as conn:
        logins = {row[0] for row in conn.execute("SELECT aurion.cell_logins()").fetchall()}
    changing = sum(stack.is_changing for stack in stacks.values())
    begun = 0
    states: Counter[State] = Counter()
    for tenant_id in sorted(logins.union(stacks, tenants.ids())):
        step = _Step(
            tenant_id,
            release,
            stacks.get(tenant_id),
            has_login=tenant_id in logins,
            may_begin=changing + begun < at_once,
        )
        try:
            state = step.take(_read(tenant_id))
        except AwsRefused as refusal:
            logger.warning(
                "a company's stack can't be changed",
                extra={"tenant_id": str(tenant_id), "code": refusal.code},
            )
            state = "failed"
        begun += step.began
        if state is not None:
            states[state] += 1
    return Round(dict(states), begun)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says of a company; `settled_s` is how long its calls have gone one way."""

    cell: Cell | None = None
    wanted: bool = False
    calls: int = 0
    is_due: bool = True
    settled_s: float = 0.0


class _Step:
    """One company's next step."""

    def __init__(
        self,
        tenant_id: UUID,
        release: Release,
        stack: Stack | None,
        *,
        has_login: bool,
        may_begin: bool,
    ) -> None:
        self._tenant_id = tenant_id
        self._release = release
        self._stack = stack
        self._has_login = has_login
        self._may_begin = may_begin
        self.began = False

    def take(self, known: _Known) -> State | None:
        """Take it and note how far the company is; None when it has and wants nothing."""
        if known.cell is None:
            return self._clear_away() if self._stack or self._has_login else None
        if known.wanted:
            return self._provide(known.cell, is_due=known.is_due)
        return self._remove(known.cell, known)

    def _provide(self, cell: Cell, *, is_due: bool) -> State:
        stack, release = self._stack, self._release.of_cell(cell.min_tasks, cell.max_tasks)
        if stack is None:
            return self._begin(cell, "creating", release) if is_due else self._note(cell, "failed")
        if stack.has_agents:
            return self._keep(cell, stack, release, is_due=is_due)
        if stack.is_changing:
            changes: dict[str, State] = {"CREATE": "creating", "UPDATE": "updating"}
            return self._note(cell, changes.get(stack.status.partition("_")[0], "deleting"))
        if not is_due:
            return self._note(cell, "failed")
        going_on = stack.status == "UPDATE_ROLLBACK_FAILED"
        return self._begin(cell, "failed" if going_on else "deleting", release)

    def _keep(self, cell: Cell, stack: Stack, release: str, *, is_due: bool) -> State:
        if stack.release == release and stack.status != "UPDATE_ROLLBACK_COMPLETE":
            return self._note(
                replace(cell, attempts=0, tried_release=release), "running", taking_calls=True
            )
        # It went back to what it was: that serves, and what could not be done is tried again later.
        if cell.tried_release == release and not is_due:
            return self._note(cell, "failed")
        return self._begin(cell, "updating", release)

    def _remove(self, cell: Cell, known: _Known) -> State:
        if self._stack is None:
            self._drop_login()
            return self._note(cell, "gone", taking_calls=False)
        # A call that rang before its company's calls went elsewhere may still come.
        empty = known.calls == 0 and known.settled_s >= _RINGING_S
        if cell.taking_calls or not (empty or known.settled_s >= _LONGEST_CALL_S):
            return self._note(cell, "draining", taking_calls=False)
        if self._stack.is_changing:
            return self._note(cell, "deleting", taking_calls=False)
        return self._begin(cell, "deleting", cell.tried_release)

    def _clear_away(self) -> State:
        """Remove what is left of a company that is gone itself, or never had a cell."""
        if self._stack is None:
            self._drop_login()
            return "gone"
        if self._may_begin and not self._stack.is_changing:
            self.began = True
            cell_stacks.delete(self._tenant_id, self._release)
        return "deleting"

    def _begin(self, cell: Cell, state: State, release: str | None) -> State:
        """Begin a change, unless too many are going on; the row says so before it begins."""
        if not self._may_begin:
            return self._note(cell, cell.state if self._stack else "waiting")
        tried = replace(cell, attempts=cell.attempts + 1, tried_release=release)
        self._note(tried, state, tries=True)
        self.began = True
        tasks = {"min_tasks": cell.min_tasks, "max_tasks": cell.max_tasks}
        match state:
            case "creating":
                with database.provisioner_transaction() as conn:
                    conn.execute("SELECT aurion.make_cell_login(%s)", (self._tenant_id,))
                cell_stacks.create(self._tenant_id, self._release, **tasks)
            case "updating":
                cell_stacks.update(self._tenant_id, self._release, **tasks)
            case "failed":
                cell_stacks.continue_rollback(self._tenant_id, self._release)
            case _:
                cell_stacks.delete(self._tenant_id, self._release)
        return state

    def _drop_login(self) -> None:
        if self._has_login:
            with database.provisioner_transaction() as conn:
                conn.execute("SELECT aurion.drop_cell_login(%s)", (self._tenant_id,))

    def _note(
        self, cell: Cell, state: State, *, taking_calls: bool | None = None, tries: bool = False
    ) -> State:
        """Write down how far a company is; what fails is tried again later and later.

        Agents that are not there, because their stack was deleted or never worked, take no calls.
        """
        there = self._stack is not None and (
            self._stack.has_agents or self._stack.status.startswith("UPDATE")
        )
        with database.tenant_transaction(self._tenant_id) as conn:
            conn.execute(
                """
                UPDATE aurion.tenant_cells
                SET state = %(state)s,
                    taking_calls = coalesce(%(taking)s, taking_calls),
                    taking_since = CASE
                        WHEN taking_calls <> coalesce(%(taking)s, taking_calls) THEN now()
                        ELSE taking_since
                    END,
                    stack_status = %(status)s,
                    tried_release = %(release)s,
                    attempts = %(attempts)s,
                    next_attempt_at = CASE
                        WHEN %(tries)s THEN now() + make_interval(secs => least(
                            %(longest)s, %(first)s * power(2, least(%(attempts)s - 1, 12))))
                        ELSE next_attempt_at
                    END,
                    updated_at = now()
                """,
                {
                    "state": state,
                    "taking": taking_calls if there else False,
                    "status": None if self._stack is None else self._stack.status,
                    "release": cell.tried_release,
                    "attempts": cell.attempts,
                    "tries": tries,
                    "first": _RETRY_S,
                    "longest": _LONGEST_RETRY_S,
                },
            )
        return state


def _read(tenant_id: UUID) -> _Known:
    """Read what a company wants and has; a company deleted since it was listed wants nothing."""
    with database.tenant_transaction(tenant_id) as conn:
        cell = get(conn)
        if cell is None:
            return _Known()
        row = conn.execute(
            """
            SELECT t.status <> 'ended', aurion.calls_of_agents(%s), c.next_attempt_at <= now(),
                extract(epoch FROM now() - c.taking_since)::float8
            FROM aurion.tenant_cells c JOIN aurion.tenants t USING (tenant_id)
            """,
            (cell_stacks.agent_name_of(tenant_id),),
        ).fetchone()
    assert row is not None
    may_have, calls, is_due, settled_s = row
    return _Known(cell, cell.wanted and may_have, calls, is_due, settled_s)


def _one(conn: Connection, statement: LiteralString, values: dict[str, object]) -> Cell | None:
    return conn.cursor(row_factory=rows_of(Cell)).execute(statement, values).fetchone()
