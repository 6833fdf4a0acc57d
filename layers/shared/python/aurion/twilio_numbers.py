"""The numbers of a Twilio account: what Twilio asks when one is dialled, and in which region.

Each region keeps a setting of its own for a number, and knows only credentials made in it.

Source: https://www.twilio.com/docs/global-infrastructure/using-the-twilio-rest-api-in-a-non-us-region
"""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from aurion import secrets
from aurion.errors import AccountRefused, SecretMalformed, TelephonyUnavailable
from aurion.settings import settings

EUROPE = "ie1"
"""The one region of Twilio in the European Union that takes calls."""

_EDGES = {"ie1": "dublin", "us1": "ashburn", "au1": "sydney", "de1": "frankfurt"}


@dataclass(frozen=True, slots=True)
class Account:
    """An account, and how it is reached; `address` becomes an URL with the host's name.

    The table of which region takes a number's calls is kept in the United States, and needs
    credentials from there: `routing_token`, or it is left to whoever has them.
    """

    account_sid: str
    auth_token: str = field(repr=False)
    routing_token: str = field(default="", repr=False)
    region: str = EUROPE
    address: str = "https://{host}"

    @classmethod
    def from_secret(cls, name: str | None = None) -> "Account":
        """Read a secret, by default the one that TWILIO_SECRET names.

        Raises:
            SecretNotFound: There is none of this name.
            SecretsUnavailable: The store of secrets does not answer.
            SecretMalformed: The secret holds something else.
        """
        stored = secrets.get_fields(name or settings().twilio_secret, "account_sid", "auth_token")
        region = stored.get("region", EUROPE)
        if region not in _EDGES:
            raise SecretMalformed
        return cls(
            account_sid=stored["account_sid"],
            auth_token=stored["auth_token"],
            routing_token=stored.get("routing_auth_token", ""),
            region=region,
            address=stored.get("address", "https://{host}"),
        )


@dataclass(frozen=True, slots=True)
class Number:
    """What is set for a number (E.164) in the account's region; "" is nothing."""

    sid: str
    e164: str
    voice_url: str
    voice_method: str
    status_callback: str
    status_callback_method: str
    voice_application_sid: str
    trunk_sid: str


class Client:
    """Speak to an account's API; the numbers it asks for are companies' own."""

    def __init__(self, account: Account) -> None:
        import httpx2  # functions that import this module never speak to Twilio

        from aurion import tls

        self.account = account
        # Twilio's API promises TLS 1.2 and no more.
        context = tls.outbound_context(minimum=tls.ssl.TLSVersion.TLSv1_2)
        self._http = httpx2.Client(timeout=10, verify=context)
        self._error = httpx2.HTTPError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def check(self) -> None:
        """See that the region knows the account and these credentials.

        Raises:
            AccountRefused: It doesn't, or the account is suspended or closed.
            TelephonyUnavailable: Twilio does not answer.
        """
        found = self._ask("GET", self._api(".json"))
        if found is None or found.get("status") != "active":
            raise AccountRefused

    def find(self, e164: str) -> Number:
        """Read what is set for a number.

        Raises:
            AccountRefused: The account has no such number.
            TelephonyUnavailable: Twilio does not answer.
        """
        answer = self._ask("GET", self._api("/IncomingPhoneNumbers.json"), query=e164)
        listed: list[dict[str, Any]] = (answer or {}).get("incoming_phone_numbers", [])
        for found in listed:
            if found["phone_number"] == e164:
                return Number(
                    sid=found["sid"],
                    e164=e164,
                    voice_url=found.get("voice_url") or "",
                    voice_method=found.get("voice_method") or "",
                    status_callback=found.get("status_callback") or "",
                    status_callback_method=found.get("status_callback_method") or "",
                    voice_application_sid=found.get("voice_application_sid") or "",
                    trunk_sid=found.get("trunk_sid") or "",
                )
        raise AccountRefused(f"The account has no number {e164} in {self.account.region}.")

    def save(self, number: Number) -> None:
        """Set a number.

        Raises:
            AccountRefused: Twilio refuses the setting.
            TelephonyUnavailable: Twilio does not answer.
        """
        self._ask(
            "POST",
            self._api(f"/IncomingPhoneNumbers/{number.sid}.json"),
            form={
                "VoiceUrl": number.voice_url,
                "VoiceMethod": number.voice_method,
                "StatusCallback": number.status_callback,
                "StatusCallbackMethod": number.status_callback_method,
                "VoiceApplicationSid": number.voice_application_sid,
                "TrunkSid": number.trunk_sid,
            },
        )

    def region_of(self, e164: str) -> str | None:
        """Read in which region calls to a number are taken; None without a token for it.

        Raises:
            AccountRefused: Twilio refuses that token.
            TelephonyUnavailable: Twilio does not answer.
        """
        if not self.account.routing_token:
            return None
        found = self._ask("GET", self._route(e164), token=self.account.routing_token)
        return None if found is None else str(found.get("voice_region") or "us1")

    def set_region(self, e164: str, region: str) -> None:
        """Have calls to a number taken in a region; it may take Twilio five minutes.

        Raises:
            AccountRefused: Twilio refuses.
            TelephonyUnavailable: Twilio does not answer.
        """
        self._ask(
            "POST",
            self._route(e164),
            form={"VoiceRegion": region},
            token=self.account.routing_token,
        )

    def _api(self, path: str) -> str:
        edge = _EDGES[self.account.region]
        host = self.account.address.format(host=f"api.{edge}.{self.account.region}.twilio.com")
        return f"{host}/2010-04-01/Accounts/{self.account.account_sid}{path}"

    def _route(self, e164: str) -> str:
        return self.account.address.format(host="routes.twilio.com") + f"/v2/PhoneNumbers/{e164}"

    def _ask(
        self,
        method: str,
        url: str,
        *,
        query: str = "",
        form: dict[str, str] | None = None,
        token: str = "",
    ) -> dict[str, Any] | None:
        parameters = {"PhoneNumber": query} if query else None
        signed_in = (self.account.account_sid, token or self.account.auth_token)
        try:
            answer = self._http.request(method, url, params=parameters, data=form, auth=signed_in)
        except self._error as error:
            raise TelephonyUnavailable from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or (
            answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
        ):
            raise TelephonyUnavailable
        if answer.is_error:
            raise AccountRefused
        try:
            found: Any = answer.json()
        except json.JSONDecodeError:
            raise TelephonyUnavailable from None
        return found if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType]
