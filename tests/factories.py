"""Real rows with sensible defaults, made the way the product makes them."""

import uuid
from dataclasses import dataclass

from aurion import database


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company of a test."""

    tenant_id: uuid.UUID
    name: str


def make_tenant(name: str = "Meridian Works", *, languages: tuple[str, ...] = ("en",)) -> Tenant:
    tenant_id = uuid.uuid4()
    with database.tenant_transaction(tenant_id) as conn:
        conn.execute(
            "INSERT INTO aurion.tenants (tenant_id, name, languages) VALUES (%s, %s, %s)",
            (tenant_id, name, list(languages)),
        )
    return Tenant(tenant_id, name)
