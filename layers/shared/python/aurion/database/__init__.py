"""The only way into the database: a transaction that acts for one tenant."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout

from aurion import aws
from aurion.errors import DatabaseUnavailable
from aurion.settings import Settings, settings

_pools: dict[str, ConnectionPool[Connection]] = {}
_pools_lock = threading.Lock()


@contextmanager
def tenant_transaction(tenant_id: UUID) -> Generator[Connection]:
    """Open a transaction that sees one tenant's rows; never hold it across a vendor's answer.

    Raises:
        DatabaseUnavailable: The database does not answer, or went away before the commit.
    """
    with _transaction(settings().database_role) as conn:
        conn.execute("SELECT set_config('app.tenant_id', %s, true)", (str(tenant_id),))
        yield conn


@contextmanager
def router_transaction() -> Generator[Connection]:
    """Open a transaction that may do one thing: find the tenant of a dialled number."""
    with _transaction("aurion_router") as conn:
        yield conn


@contextmanager
def system_transaction() -> Generator[Connection]:
    """Open a transaction that may do one thing: list the tenants."""
    with _transaction("aurion_system") as conn:
        yield conn


@contextmanager
def provisioner_transaction() -> Generator[Connection]:
    """Open a transaction that may do one thing: make and drop the logins of tenants' own agents."""
    with _transaction("aurion_provisioner") as conn:
        yield conn


def close_pools() -> None:
    """Close every connection; the next transaction opens new ones with the settings of then."""
    with _pools_lock:
        pools = list(_pools.values())
        _pools.clear()
    for pool in pools:
        pool.close(timeout=1)


@contextmanager
def _transaction(role: str) -> Generator[Connection]:
    try:
        with _pool(role).connection() as conn, conn.transaction():
            yield conn
    except (psycopg.OperationalError, PoolTimeout) as error:
        # Lock waits and deadlocks are OperationalErrors too, and equally worth another try.
        raise DatabaseUnavailable from error


def _pool(role: str) -> ConnectionPool[Connection]:
    with _pools_lock:
        pool = _pools.get(role)
        if pool is None:
            pool = ConnectionPool(
                connection_class=Connection,
                kwargs=lambda: connection_arguments(settings(), role),
                min_size=0,
                max_size=8,
                timeout=5,
                max_idle=60,
                # Tries at 0, 1 and 3 s: whoever waits is served soon after the server is back.
                reconnect_timeout=3,
                check=ConnectionPool.check_connection,
                open=True,
                name=role,
            )
            _pools[role] = pool
        return pool


def server_arguments(config: Settings) -> dict[str, Any]:
    """Return where the database is and what proves it, whoever connects."""
    return {
        "host": config.database_host,
        "port": config.database_port,
        "dbname": config.database_name,
        "sslmode": config.database_sslmode,
        "sslrootcert": config.database_sslrootcert,
        # Without TLS, on one machine, libpq takes no notice of it.
        "ssl_min_protocol_version": "TLSv1.3",
    }


def connection_arguments(config: Settings, role: str) -> dict[str, Any]:
    """Return how a role connects; the password is an IAM token where none is set."""
    return {
        **server_arguments(config),
        "user": role,
        "password": config.database_password or _iam_token(config, role),
        "connect_timeout": 5,
        # A server that is gone without a word is noticed while the caller still waits, and one that
        # lost its client lets go of the rows that client had locked.
        "tcp_user_timeout": 5000,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "options": "-c lock_timeout=5s -c statement_timeout=15s"
        " -c idle_in_transaction_session_timeout=15s",
        "autocommit": True,
        # A prepared plan could outlive a pooled connection's server; nothing here needs one.
        "prepare_threshold": None,
        "application_name": "aurion",
    }


def _iam_token(config: Settings, role: str) -> str:
    # Signed locally and valid for 15 minutes, but only looked at while connecting.
    token: str = aws.client("rds").generate_db_auth_token(
        DBHostname=config.database_host, Port=config.database_port, DBUsername=role
    )
    return token
