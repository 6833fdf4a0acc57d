"""Every environment variable the product reads, typed and read once."""

import os
from dataclasses import dataclass, fields
from functools import cache
from typing import Literal, cast

Environment = Literal["local", "dev", "prod"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold what differs between machines; each field is the environment variable of its name.

    `database_password` is set on one machine only; in the cloud a role signs in with an IAM token.
    The `*_secret` fields name secrets and hold none; those that the product itself makes are
    encrypted with `data_key_id`. `hooks_url` is where vendors reach us, stage included and without
    a slash at its end: they sign it.
    """

    environment: Environment = "local"
    aws_region: str = "eu-west-3"
    aws_endpoint_url: str | None = None
    database_host: str = "127.0.0.1"
    database_port: int = 5432
    database_name: str = "aurion"
    database_role: str = "aurion_app"
    database_password: str | None = None
    database_sslmode: str = "verify-full"
    database_sslrootcert: str | None = None
    badge_key_id: str = "alias/aurion-badges"
    content_key_id: str = "alias/aurion-content"
    recordings_key_id: str = "alias/aurion-recordings"
    data_key_id: str | None = None
    recordings_bucket: str = "aurion-recordings"
    closed_calls_queue_url: str | None = None
    retention_queue_url: str | None = None
    room_watch_queue_url: str | None = None
    twilio_secret: str = "aurion/local/twilio"  # noqa: S105
    livekit_secret: str = "aurion/local/livekit"  # noqa: S105
    database_admin_secret: str | None = None
    hooks_url: str = "http://127.0.0.1:8700"
    agent_name: str = "aurion"

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the process environment; unset variables keep their defaults."""
        values: dict[str, object] = {}
        for field in fields(cls):
            raw = os.environ.get(field.name.upper())
            if raw:
                values[field.name] = int(raw) if field.name == "database_port" else raw
        return cls(**cast("dict[str, str]", values))  # pyright: ignore[reportArgumentType]


@cache
def settings() -> Settings:
    """Return the process's settings, read at first use; `settings.cache_clear()` re-reads them."""
    return Settings.from_environment()
