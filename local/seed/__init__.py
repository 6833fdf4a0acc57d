"""The company that a new stack begins with: Meridian Works and its people."""

from pathlib import Path
from uuid import UUID, uuid4

from aurion import database, people, phone_numbers, secrets, tenants

COMPANY = "Meridian Works"
NUMBER = "+33199000001"
"""The number the company's callers dial (E.164)."""

PEOPLE = Path(__file__).with_name("people.csv")


def plant(desk_url: str, desk_token: str) -> UUID:
    """Make the company, its number and its people; return the company's id."""
    tenant_id = uuid4()
    secret = secrets.itsm_secret_name(tenant_id)
    secrets.put(secret, desk_token)
    with database.tenant_transaction(tenant_id) as conn:
        company = tenants.add(
            conn,
            name=COMPANY,
            status="active",
            languages=["en", "fr"],
            timezone="Europe/Brussels",
            itsm_kind="demo_desk",
            itsm_url=desk_url,
            itsm_secret=secret,
        )
        phone_numbers.add(conn, NUMBER)
    with PEOPLE.open("rb") as file:
        people.import_csv(company, file)
    return tenant_id
