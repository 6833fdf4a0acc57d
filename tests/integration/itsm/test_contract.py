"""What every connector keeps, proved over the wire against the vendor's real system."""

import asyncio
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from aurion import itsm
from aurion.errors import (
    ArticleNotFound,
    ConnectorUnknown,
    Rejected,
    TicketNotFound,
    Unavailable,
    Untrusted,
)

from tests.integration.itsm.asks import (
    ALICE,
    READS,
    Ask,
    handover,
    new_key,
    new_ticket,
)
from tests.integration.itsm.peers import Peer

TOM = "tom.becker@meridian.example"
QUESTIONS = tomllib.loads(Path(__file__).with_name("questions.toml").read_text())


# Knowledge


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_what_callers_say_finds_the_article_that_answers(
    desk: itsm.Connector, language: str
) -> None:
    wrong: list[str] = []
    absent: list[str] = []
    asked = 0
    for topic, sentences in QUESTIONS[language].items():
        if not topic:
            continue
        for sentence in sentences:
            hits = await desk.search_articles(sentence, language=language, audience="internal")
            found = [hit.id for hit in hits]
            wanted = f"{topic}-{language}"
            asked += 1
            if found[:1] != [wanted]:
                wrong.append(sentence)
            if wanted not in found:
                absent.append(sentence)
    assert asked > 100
    assert len(wrong) <= 0.04 * asked, wrong
    assert absent == []


@pytest.mark.parametrize(
    ("sentence", "language", "article"),
    [
        ("My VPN keeps disconnecting since this morning.", "en", "vpn-disconnects-en"),
        ("Mon imprimante ne fonctionne plus depuis hier.", "fr", "printer-not-printing-fr"),
        ("I can't log into the V.P.N.", "en", "vpn-login-en"),
        ("my out look is not sinking", "en", "outlook-not-syncing-en"),
        ("my printr is jamed", "en", "printer-jam-en"),
    ],
)
async def test_the_first_hit_is_the_one_to_speak(
    desk: itsm.Connector, sentence: str, language: str, article: str
) -> None:
    hits = await desk.search_articles(sentence, language=language, audience="public")
    assert hits[0].id == article
    assert hits[0].steps


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_what_no_article_is_about_finds_none(desk: itsm.Connector, language: str) -> None:
    for sentence in [*QUESTIONS[language][""], "", "   ", "...", '"*" OR NEAR(']:
        hits = await desk.search_articles(sentence, language=language, audience="internal")
        assert hits == [], sentence


async def test_a_public_search_never_finds_an_internal_article(desk: itsm.Connector) -> None:
    hidden = 0
    for language, topics in QUESTIONS.items():
        for topic in ("remote-desktop", "admin-rights", "timesheet-access", "bitlocker-key"):
            for sentence in topics[topic]:
                asked = {"language": language, "limit": 10}
                seen = await desk.search_articles(sentence, audience="public", **asked)
                assert all(hit.audience == "public" for hit in seen)
                everything = await desk.search_articles(sentence, audience="internal", **asked)
                hidden += sum(hit.audience == "internal" for hit in everything)
    assert hidden > 10


async def test_a_search_speaks_the_language_asked_for_and_keeps_the_limit(
    desk: itsm.Connector,
) -> None:
    for language in ("en", "fr"):
        hits = await desk.search_articles(
            "VPN Outlook", language=language, audience="public", limit=2
        )
        assert [hit.language for hit in hits] == [language, language]
    assert await desk.search_articles("VPN", language="nl", audience="public") == []


async def test_an_article_is_read_by_its_id(desk: itsm.Connector) -> None:
    article = await desk.get_article("vpn-disconnects-fr")
    assert (article.language, article.audience) == ("fr", "public")
    for id in ("no-such-article", "../tickets/T-1024", "", "a" * 500):
        with pytest.raises(ArticleNotFound):
            await desk.get_article(id)


# People and what is theirs


async def test_a_requester_is_found_by_address_in_any_case(desk: itsm.Connector) -> None:
    found = await desk.find_requester("Alice.MARTIN@Meridian.Example ")
    assert found is not None
    assert (found.name, found.email, found.language) == ("Alice Martin", ALICE, "en")


@pytest.mark.parametrize(
    "email",
    [
        "nobody@meridian.example",
        "alice.martin@meridian.exampl",
        "%@meridian.example",
        "alice_martin@meridian.example",
        "alice",
        "",
        "*@*",
    ],
)
async def test_an_unknown_address_is_nobody(desk: itsm.Connector, email: str) -> None:
    assert await desk.find_requester(email) is None


async def test_tickets_and_assets_are_the_requesters_own(desk: itsm.Connector) -> None:
    tom = await desk.find_requester(TOM)
    assert tom is not None
    tickets = await desk.tickets_of(tom.id)
    assert [ticket.number for ticket in tickets] == ["T-1024"]
    assert tickets[0].status == "in_progress"
    assert tickets[0].status_note == "Your laptop has been ordered and arrives on Thursday."
    assert {comment.public for comment in tickets[0].comments} == {True, False}
    assets = await desk.assets_of(tom.id)
    assert {(asset.kind, asset.status) for asset in assets} >= {("laptop", "on order")}
    assert any(asset.serial for asset in assets)


async def test_nobody_has_no_tickets(desk: itsm.Connector) -> None:
    assert await desk.tickets_of("R-0000") == []
    assert await desk.assets_of("R-0000") == []


async def test_tickets_come_last_changed_first(desk: itsm.Connector) -> None:
    for _ in range(2):
        await desk.create_ticket(new_ticket(requester_id="R-2014"))
    tickets = await desk.tickets_of("R-2014")
    await desk.add_comment(tickets[-1].number, text="Again", public=True, idempotency_key=new_key())
    numbers = [ticket.number for ticket in await desk.tickets_of("R-2014")]
    assert numbers == [tickets[-1].number, *(ticket.number for ticket in tickets[:-1])]


@pytest.mark.parametrize("trouble", ["ignore_filters", "somebody_else"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda desk: desk.search_articles("VPN", language="fr", audience="public"),
        READS["find_requester"],
        READS["tickets_of"],
        READS["assets_of"],
        READS["find_ticket_by_key"],
    ],
    ids=["search_articles", "find_requester", "tickets_of", "assets_of", "find_ticket_by_key"],
)
async def test_an_answer_about_somebody_else_is_not_believed(
    peer: Peer, desk: itsm.Connector, ask: Ask, trouble: str
) -> None:
    """Vendors drop filters they don't understand and answer with everybody."""
    await ask(desk)
    peer.trouble(trouble)
    with pytest.raises(Untrusted):
        await ask(desk)


async def test_outages_are_known(desk: itsm.Connector) -> None:
    outages = await desk.outages()
    assert [outage.service for outage in outages] == ["E-mail gateway"]
    assert outages[0].expected_end is not None
    assert outages[0].started_at < outages[0].expected_end


# Tickets, once


async def test_a_ticket_is_as_it_was_asked_for(desk: itsm.Connector) -> None:
    new = new_ticket(summary="L'écran est noir", language="fr", kind="request")
    ticket = await desk.create_ticket(new)
    assert await desk.get_ticket(ticket.number) == ticket
    assert await desk.get_ticket(ticket.number.lower()) == ticket
    assert await desk.find_ticket_by_key(new.idempotency_key) == ticket
    assert (ticket.summary, ticket.description) == (new.summary, new.description)
    assert (ticket.kind, ticket.status) == ("request", "open")
    assert ticket.requester_id == new.requester_id
    assert ticket.number.startswith("T-")
    assert len(ticket.number) == 6


async def test_a_message_from_nobody_known_is_a_ticket_too(desk: itsm.Connector) -> None:
    ticket = await desk.create_ticket(new_ticket(requester_id=None, kind="callback"))
    assert ticket.requester_id is None


async def test_one_key_opens_one_ticket(peer: Peer, desk: itsm.Connector) -> None:
    new = new_ticket()
    tickets = await asyncio.gather(*(desk.create_ticket(new) for _ in range(8)))
    again = await desk.create_ticket(replace(new, description="Told in other words."))
    assert {ticket.number for ticket in [*tickets, again]} == {tickets[0].number}
    assert len(peer.tickets_with(new.idempotency_key)) == 1


async def test_a_key_never_gives_somebody_elses_ticket(desk: itsm.Connector) -> None:
    new = new_ticket()
    await desk.create_ticket(new)
    with pytest.raises(Untrusted):
        await desk.create_ticket(replace(new, requester_id="R-2003"))


async def test_an_answer_lost_after_the_write_leaves_one_ticket(
    peer: Peer, desk: itsm.Connector
) -> None:
    new = new_ticket()
    peer.trouble("hang", path="/api/tickets", method="POST", times=1)
    with pytest.raises(Unavailable):
        await desk.create_ticket(new)
    found = await desk.find_ticket_by_key(new.idempotency_key)
    assert found is not None
    assert await desk.create_ticket(new) == found
    assert len(peer.tickets_with(new.idempotency_key)) == 1


async def test_a_connection_cut_in_the_answer_gives_the_ticket(
    peer: Peer, desk: itsm.Connector
) -> None:
    new = new_ticket()
    peer.trouble("cut", path="/api/tickets", method="POST", times=1)
    ticket = await desk.create_ticket(new)
    (written,) = peer.tickets_with(new.idempotency_key)
    assert written["number"] == ticket.number


async def test_a_refused_write_leaves_nothing_and_may_be_tried_again(
    peer: Peer, desk: itsm.Connector
) -> None:
    new = new_ticket()
    peer.trouble("status", status=503, path="/api/tickets", method="POST", times=1)
    with pytest.raises(Unavailable):
        await desk.create_ticket(new)
    assert await desk.find_ticket_by_key(new.idempotency_key) is None
    await desk.create_ticket(new)
    assert len(peer.tickets_with(new.idempotency_key)) == 1


async def test_one_key_adds_one_comment(peer: Peer, desk: itsm.Connector) -> None:
    number = (await desk.create_ticket(new_ticket())).number
    key = new_key()
    for _ in range(3):
        ticket = await desk.add_comment(
            number, text="Before Friday.", public=True, idempotency_key=key
        )
        assert [comment.text for comment in ticket.comments] == ["Before Friday."]
    ticket = await desk.add_comment(
        number, text="For the desk only.", public=False, idempotency_key=new_key()
    )
    assert [comment.public for comment in ticket.comments] == [True, False]
    assert ticket.comments[0].author == "AurionAI"
    assert len(peer.comments_of(number)) == 2


async def test_a_comment_whose_answer_was_lost_is_added_once(
    peer: Peer, desk: itsm.Connector
) -> None:
    number = (await desk.create_ticket(new_ticket())).number
    key = new_key()
    peer.trouble("hang", path=f"/api/tickets/{number}", method="POST", times=1)
    with pytest.raises(Unavailable):
        await desk.add_comment(number, text="Hello", public=True, idempotency_key=key)
    await desk.add_comment(number, text="Hello", public=True, idempotency_key=key)
    assert len(peer.comments_of(number)) == 1


@pytest.mark.parametrize("number", ["T-9999", "9", "", "T-1024/comments", "../articles", "T-1O24"])
async def test_an_unknown_ticket_is_not_found(desk: itsm.Connector, number: str) -> None:
    with pytest.raises(TicketNotFound):
        await desk.get_ticket(number)
    with pytest.raises(TicketNotFound):
        await desk.add_comment(number, text="Hello", public=True, idempotency_key=new_key())


# Calls handed to a person


async def offered(peer: Peer, call_id: str) -> str:
    for _ in range(200):
        for offer in await asyncio.to_thread(peer.offers_of, call_id):
            if offer["status"] == "offered":
                return offer["id"]
        await asyncio.sleep(0.02)
    raise AssertionError("the call was never offered")


async def test_a_person_takes_the_call(peer: Peer, desk: itsm.Connector) -> None:
    packet = handover()
    waiting = asyncio.create_task(desk.offer_transfer(packet, timeout_s=20))
    offer_id = await offered(peer, packet.call_id)
    (offer,) = peer.offers_of(packet.call_id)
    assert offer["intent"] == packet.intent
    assert (offer["ticket"], offer["level"]) == ("T-1024", 1)
    assert offer["steps_tried"] == ["Restart the laptop."]
    began = time.monotonic()
    peer.answer(offer_id).raise_for_status()
    assert await waiting == itsm.TransferResult(status="answered", person="Nadia Roux")
    assert time.monotonic() - began < 1.5


async def test_nobody_answers_in_time(peer: Peer, desk: itsm.Connector) -> None:
    packet = handover()
    began = time.monotonic()
    result = await desk.offer_transfer(packet, timeout_s=1.0)
    assert result == itsm.TransferResult(status="no_answer", person=None)
    assert 1.0 <= time.monotonic() - began < 2.5
    (offer,) = peer.offers_of(packet.call_id)
    assert offer["status"] == "expired"
    assert peer.answer(offer["id"]).status_code == 409


async def test_nobody_on_duty_is_known_at_once(peer: Peer, desk: itsm.Connector) -> None:
    peer.set_duty(False)
    try:
        began = time.monotonic()
        result = await desk.offer_transfer(handover(), timeout_s=20)
        assert result.status == "no_answer"
        assert time.monotonic() - began < 1.5
    finally:
        peer.set_duty(True)


async def test_a_caller_who_hangs_up_takes_the_offer_back(peer: Peer, desk: itsm.Connector) -> None:
    packet = handover()
    waiting = asyncio.create_task(desk.offer_transfer(packet, timeout_s=60))
    offer_id = await offered(peer, packet.call_id)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert peer.offers_of(packet.call_id)[0]["status"] == "withdrawn"
    assert peer.answer(offer_id).status_code == 409


async def test_who_answers_at_the_last_moment_has_the_call(
    peer: Peer, desk: itsm.Connector
) -> None:
    packet = handover()
    # Time runs out, and the person answers before the desk has heard so.
    peer.trouble("delay", seconds=1.0, path="/api/transfers/", method="POST", times=1)
    waiting = asyncio.create_task(desk.offer_transfer(packet, timeout_s=0.5))
    offer_id = await offered(peer, packet.call_id)
    await asyncio.sleep(0.8)
    answer = await asyncio.to_thread(peer.answer, offer_id)
    answer.raise_for_status()
    assert await waiting == itsm.TransferResult(status="answered", person="Nadia Roux")


# Set-up


def test_an_unknown_ticket_system_is_refused() -> None:
    with pytest.raises(ConnectorUnknown):
        itsm.connect("typewriter", base_url="https://desk.example", secret="x")


@pytest.mark.parametrize("base_url", ["http://desk.example", "ftp://127.0.0.1", "//desk", ""])
def test_plain_http_is_for_loopback_only(base_url: str) -> None:
    with pytest.raises(Rejected):
        itsm.connect("demo_desk", base_url=base_url, secret="x")
