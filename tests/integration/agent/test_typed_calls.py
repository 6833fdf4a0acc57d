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
