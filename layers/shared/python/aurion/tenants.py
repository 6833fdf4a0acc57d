"""The companies that have a desk, and how each wants it."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg
from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from aurion import badges, database
from aurion.database.rows import rows_of
from aurion.errors import (
    BadgeFormatMalformed,
    SettingRejected,
    TenantExists,
    TenantNotFound,
)

type Language = Literal["en", "fr", "nl", "de"]
type TenantStatus = Literal["trial", "active", "ended"]
type VerificationPolicy = Literal["name_and_badge", "possession_required", "off"]

LANGUAGES: tuple[Language, ...] = ("en", "fr", "nl", "de")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company; the first of its languages is its main one.

    `hours` is {"mon": ["08:00", "18:00"], ...} in its time zone, {} for always. `greeting_addition`
    is said after the fixed notice, by language. `itsm_secret` names a secret and is none itself.
    """

    tenant_id: UUID
    name: str
    status: TenantStatus
    languages: list[Language]
    timezone: str
    greeting_addition: Mapping[str, str]
    recording: bool
    retention_days: int
    badge_format: str
    verification_policy: VerificationPolicy
    attempts_per_call: int
    failures_per_person_day: int
    failures_per_person_total: int
    failures_per_number_day: int
    names_per_number_day: int
    failures_per_tenant_hour: int
    failures_per_tenant_day: int
    fallback_number: str | None
    hours: Mapping[str, list[str]]
    calls_enabled: bool
    verification_enabled: bool
    writes_enabled: bool
    itsm_kind: str
    itsm_url: str
    itsm_secret: str
    created_at: datetime
    updated_at: datetime

    @property
    def main_language(self) -> Language:
        """The language the desk greets in first."""
        return self.languages[0]


class Settings(TypedDict, total=False):
    """What of a tenant can be set, beside its name."""

    status: TenantStatus
    languages: list[Language]
    timezone: str
    greeting_addition: Mapping[str, str]
    recording: bool
    retention_days: int
    badge_format: str
    verification_policy: VerificationPolicy
    attempts_per_call: int
    failures_per_person_day: int
    failures_per_person_total: int
    failures_per_number_day: int
    names_per_number_day: int
    failures_per_tenant_hour: int
    failures_per_tenant_day: int
    fallback_number: str | None
    hours: Mapping[str, list[str]]
    calls_enabled: bool
    verification_enabled: bool
    writes_enabled: bool
    itsm_kind: str
    itsm_url: str
    itsm_secret: str


def add(conn: Connection, *, name: str, **settings: Unpack[Settings]) -> Tenant:
    """Create the tenant that the transaction acts for: whoever opens it chooses the new id.

    Raises:
        TenantExists: There is one of this id.
        SettingRejected: A value is outside of what it may be.
    """
    values = _values({"name": name, **settings})
    statement = sql.SQL("INSERT INTO aurion.tenants ({}) VALUES ({}) RETURNING *").format(
        sql.SQL(", ").join(sql.Identifier(column) for column in values),
        sql.SQL(", ").join(sql.Placeholder(column) for column in values),
    )
    try:
        row = conn.cursor(row_factory=rows_of(Tenant)).execute(statement, values).fetchone()
    except psycopg.errors.UniqueViolation:
        raise TenantExists from None
    except (psycopg.errors.CheckViolation, psycopg.DataError):
        raise SettingRejected from None
    assert row is not None
    return row


def get(conn: Connection) -> Tenant:
    """Read the tenant that the transaction acts for.

    Raises:
        TenantNotFound: There is none of its id.
    """
    row = (
        conn.cursor(row_factory=rows_of(Tenant))
        .execute("SELECT * FROM aurion.tenants WHERE tenant_id = aurion.tenant_id()")
        .fetchone()
    )
    if row is None:
        raise TenantNotFound
    return row


def update(conn: Connection, *, name: str | None = None, **settings: Unpack[Settings]) -> Tenant:
    """Change some settings of the tenant that the transaction acts for; the others stay.

    Raises:
        TenantNotFound: There is none of its id.
        SettingRejected: A value is outside of what it may be.
    """
    values = _values({**settings} if name is None else {"name": name, **settings})
    statement = sql.SQL(
        "UPDATE aurion.tenants SET {}updated_at = now()"
        " WHERE tenant_id = aurion.tenant_id() RETURNING *"
    ).format(
        sql.SQL("").join(
            sql.SQL("{} = {}, ").format(sql.Identifier(column), sql.Placeholder(column))
            for column in values
        )
    )
    try:
        row = conn.cursor(row_factory=rows_of(Tenant)).execute(statement, values).fetchone()
    except (psycopg.errors.CheckViolation, psycopg.DataError):
        raise SettingRejected from None
    if row is None:
        raise TenantNotFound
    return row


def ids() -> list[UUID]:
    """List the ids of all tenants, for jobs that then act for one after the other.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    with database.system_transaction() as conn:
        return [row[0] for row in conn.execute("SELECT aurion.tenant_ids()").fetchall()]


def list_all() -> list[Tenant]:
    """Read all tenants, each in a transaction of its own; for an operator's eyes.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    found: list[Tenant] = []
    for tenant_id in ids():
        with contextlib.suppress(TenantNotFound), database.tenant_transaction(tenant_id) as conn:
            found.append(get(conn))
    return sorted(found, key=lambda tenant: tenant.name.casefold())


def _values(settings: dict[str, Any]) -> dict[str, Any]:
    if not settings.keys() <= _SETTABLE:
        raise SettingRejected
    values = dict(settings)
    for column in ("greeting_addition", "hours"):
        if column in values:
            values[column] = Jsonb(values[column])
    try:
        if "timezone" in values:
            ZoneInfo(values["timezone"])
        if "badge_format" in values:
            badges.read_format(values["badge_format"])
    except (ZoneInfoNotFoundError, ValueError, BadgeFormatMalformed):
        raise SettingRejected from None
    if "languages" in values and len(set(values["languages"])) != len(values["languages"]):
        raise SettingRejected
    return values


_SETTABLE = Settings.__annotations__.keys() | {"name"}
