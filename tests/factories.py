"""Real rows with sensible defaults, made the way the product makes them."""

import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from aurion import badges, database, names, people, tenants
from aurion.settings import settings

PEOPLE = b"""name,badge_id,language,email,phone
Alice Martin,471129,en,alice.martin@meridian.example,+33199000101
Tom Becker,803556,en,tom.becker@meridian.example,+33199000102
Claire Dubois,290416,fr,claire.dubois@meridian.example,+33199000103
"""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company of a test."""

    tenant_id: uuid.UUID
    name: str


def make_tenant(
    name: str = "Meridian Works",
    *,
    languages: tuple[str, ...] = ("en",),
    tenant_id: uuid.UUID | None = None,
) -> Tenant:
    tenant_id = tenant_id or uuid.uuid4()
    with database.tenant_transaction(tenant_id) as conn:
        conn.execute(
            "INSERT INTO aurion.tenants (tenant_id, name, languages) VALUES (%s, %s, %s)",
            (tenant_id, name, list(languages)),
        )
    return Tenant(tenant_id, name)


def add_demo_company() -> tenants.Tenant:
    """Make the demo company and its people; hashing their badges takes the processor a second."""
    tenant_id = uuid.uuid4()
    with database.tenant_transaction(tenant_id) as conn:
        company = tenants.add(conn, name="Meridian Works", languages=["en", "fr"])
    people.import_csv(company, io.BytesIO(PEOPLE))
    return company


def make_people(
    tenant: tenants.Tenant | Tenant,
    badges_by_name: Mapping[str, str | None],
    *,
    phones: Mapping[str, str] | None = None,
) -> dict[str, uuid.UUID]:
    """Enrol people; two of one name differ in spaces. Without a badge no key service is needed.

    In a company of the same id everybody has the same id again, and so needs no new hash.
    """
    ids: dict[str, uuid.UUID] = {}
    for number, (name, badge) in enumerate(badges_by_name.items()):
        person_id = ids[name] = uuid.uuid5(tenant.tenant_id, f"{name}|{badge}")
        badge_hash = badge and _hash(settings().badge_key_id, tenant.tenant_id, person_id, badge)
        email = f"{uuid.uuid4().hex[:8]}.{number}@example.com"
        with database.tenant_transaction(tenant.tenant_id) as conn:
            conn.execute(
                "INSERT INTO aurion.people"
                " (id, name, name_norm, email, email_norm, phone, badge_hash)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    person_id,
                    name.strip(),
                    names.normalise(name),
                    email,
                    email,
                    (phones or {}).get(name),
                    badge_hash,
                ),
            )
            conn.execute(
                "INSERT INTO aurion.person_name_keys (key, person_id)"
                " SELECT key, %s FROM unnest(%s::text[]) AS key",
                (person_id, sorted(names.blocking_keys(name))),
            )
    return ids


@cache
def _hash(key_id: str, tenant_id: uuid.UUID, person_id: uuid.UUID, badge: str) -> str:
    return badges.hash_badge(tenant_id, person_id, badge)
