"""What a release does to the database, before anything else of it runs."""

import logging
import time

import psycopg
from psycopg.conninfo import make_conninfo

from aurion import database, secrets
from aurion.database import migrate
from aurion.errors import DatabaseAhead, DatabaseUnavailable, SettingRejected
from aurion.settings import settings

logger = logging.getLogger(__name__)

_WAKES_WITHIN_S = 60.0


def migrate_database() -> list[str]:
    """Bring the database to the newest migration as its administrator; returns what was applied.

    A database that was asleep is waited for. One that a newer release has migrated is left alone.

    Raises:
        DatabaseUnavailable: It does not answer.
        MigrationError: A migration can't be applied.
        SecretNotFound: There is no administrator's secret.
        SecretsUnavailable: The store of secrets does not answer.
    """
    config = settings()
    if config.database_admin_secret is None:
        raise SettingRejected
    admin = secrets.get_fields(config.database_admin_secret, "username", "password")
    dsn = make_conninfo(
        **database.server_arguments(config),
        user=admin["username"],
        password=admin["password"],
        connect_timeout=10,
    )
    _wait_for(dsn)
    try:
        return migrate.migrate(dsn)
    except DatabaseAhead:
        # A release is being taken back. Migrations only add, so it runs on what a newer one added;
        # refused, CloudFormation could not go back at all.
        logger.warning("the database is newer than this release")
        return []
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable from error


def _wait_for(dsn: str) -> None:
    until = time.monotonic() + _WAKES_WITHIN_S
    while True:
        try:
            psycopg.connect(dsn).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise DatabaseUnavailable from error
            time.sleep(1)
