"""The way to a company's ticket system, even when there is none at the moment."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any, cast

from aurion import itsm, secrets
from aurion.errors import DeskUnavailable, Rejected, SecretNotFound, SecretsUnavailable
from aurion.itsm import Connector
from aurion.tenants import Tenant

logger = logging.getLogger(__name__)


def connect(tenant: Tenant) -> Connector:
    """Make the connector of a company's ticket system, with the secret its row names.

    A caller can be answered, and have a message taken, while the way there is closed.
    """
    try:
        secret = secrets.get(tenant.itsm_secret) if tenant.itsm_secret else ""
        return itsm.connect(tenant.itsm_kind, base_url=tenant.itsm_url, secret=secret)
    except SecretsUnavailable:
        logger.warning("a ticket system's secret can't be read")
    except (SecretNotFound, Rejected):
        logger.exception("a ticket system is set up wrongly")
    return cast("Connector", _Unreachable())


class _Unreachable:
    """Answer every question as a ticket system that is down does."""

    async def aclose(self) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def refuse(*_: object, **__: object) -> None:
            raise DeskUnavailable

        return refuse
