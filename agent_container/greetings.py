"""What a caller hears first: the company, that this is an AI, and that the call is recorded."""

from aurion.errors import SpeechRejected, SpeechUnavailable
from aurion.tenants import Language, Tenant

from agent_container import phrases
from agent_container.speech.client import SpeechClient


def lines(tenant: Tenant, language: Language, *, recorded: bool) -> list[tuple[str, Language]]:
    """Return the greeting in a language, and a short line in each other one the company speaks.

    A company can add to the notice and can't take it away.
    """
    notice = [
        phrases.say("greeting.company", language, company=tenant.name),
        phrases.say("greeting.ai", language),
    ]
    if recorded:
        notice.append(phrases.say("greeting.recorded", language))
    if addition := tenant.greeting_addition.get(language):
        notice.append(addition)
    others: list[tuple[str, Language]] = [
        (phrases.say("greeting.also", other), other) for other in tenant.languages[1:]
    ]
    return [(" ".join(notice), language), *others]


async def prepare(speech: SpeechClient, tenant: Tenant) -> None:
    """Have a company's greeting rendered ahead of its first call, so that it starts at once."""
    for text, language in lines(tenant, tenant.main_language, recorded=tenant.recording):
        try:
            await speech.prepare([text], language=language)
        except (SpeechUnavailable, SpeechRejected):
            return  # it is rendered when it is needed
