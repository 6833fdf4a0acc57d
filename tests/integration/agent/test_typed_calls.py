"""Whole calls, typed: the same agents, tools and rows as by phone, without sound."""

from agent_container.call import Deps
from tests.typed_calls import ALICE, CLAIRE, TOM, Company, type_call


async def test_alice_gets_a_ticket(company: Company, deps: Deps) -> None:
    call = company.start_call()
    result, seen = await type_call(
        company,
        [
            *ALICE,
            "My VPN keeps disconnecting since this morning.",
            "I already restarted the laptop, but it did not help.",
            "Yes, please open a ticket.",
            "No, that is all. Thank you, goodbye.",
        ],
        deps=deps,
        call=call,
    )
    print(seen)
    assert result.outcome == "ticket", str(seen)
    assert result.level == 1
    assert len(result.opened) == 1


async def test_tom_asks_for_a_status_adds_a_note_and_wants_a_person(
    company: Company, deps: Deps
) -> None:
    result, seen = await type_call(
        company,
        [
            *TOM,
            "What is the status of my laptop order?",
            "Can you add that I need it before Friday?",
            "I would like to speak to a person, please.",
        ],
        deps=deps,
    )
    print(seen)
    assert result.outcome == "callback", str(seen)
    assert len(result.commented) == 1
    assert len(result.callbacks) == 1


async def test_claire_speaks_french(company: Company, deps: Deps) -> None:
    result, seen = await type_call(
        company,
        [
            *CLAIRE,
            "Mon imprimante ne fonctionne plus depuis hier.",
            "Oui, ouvrez un ticket s'il vous plaît.",
            "Non merci, c'est tout. Au revoir.",
        ],
        deps=deps,
    )
    print(seen)
    assert result.outcome == "ticket", str(seen)
