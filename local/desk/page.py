"""The desk's page: what a person of the service desk sees and does, on this machine only.

It has no sign-in, so it listens on loopback, answers to this machine's names only, and takes a form
only from a page of its own.
"""

import sqlite3
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from local.desk import articles, directory, store, tickets, transfers
from local.desk.api import STATUSES, Endpoint, do
from local.desk.problems import MAX_BODY_BYTES, Problem

STATUS_WORDS = {
    "open": "Open",
    "in_progress": "In progress",
    "waiting": "Waiting",
    "resolved": "Resolved",
    "closed": "Closed",
}
TRANSFER_WORDS = {
    "offered": "Ringing",
    "answered": "Answered",
    "withdrawn": "Caller gone",
    "expired": "Nobody answered",
    "unattended": "Nobody on duty",
}
SHOWN = {"open": "Open", "callbacks": "Callbacks", "all": "All"}

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def _clock(stamped: str) -> str:
    moment = datetime.fromisoformat(stamped).astimezone()
    today = store.now().astimezone().date()
    if moment.date() == today:
        return f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b}, {moment:%H:%M}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(  # pyright: ignore[reportUnknownMemberType]
    status_words=STATUS_WORDS, transfer_words=TRANSFER_WORDS
)
_TEMPLATES.filters["clock"] = _clock


async def show_tickets(request: Request) -> Response:
    """Show the tickets, what disturbs the company now, and calls that wait."""
    show = request.query_params.get("show", "open")
    if show not in SHOWN:
        raise Problem(404, "There is no such list.")
    everything = await do(request, tickets.list_tickets)
    people = await do(request, _requesters)
    alive = [ticket for ticket in everything if ticket["status"] not in ("resolved", "closed")]
    listed = {
        "open": alive,
        "callbacks": [ticket for ticket in alive if ticket["kind"] == "callback"],
        "all": everything,
    }
    return await _show(
        request,
        "tickets.html",
        section="tickets",
        show=show,
        shown=SHOWN,
        listed=listed[show],
        counts={name: len(rows) for name, rows in listed.items()},
        requesters=people,
        outages=await do(request, directory.list_outages),
    )


async def show_ticket(request: Request) -> Response:
    """Show one ticket and its comments."""
    number = request.path_params["number"]
    ticket = await do(request, lambda conn: tickets.get_ticket(conn, number))
    requesters = await do(request, _requesters)
    held = await do(
        request,
        lambda conn: directory.list_assets(conn, requester_id=str(ticket["requester_id"])),
    )
    return await _show(
        request,
        "ticket.html",
        section="tickets",
        ticket=ticket,
        requester=requesters.get(str(ticket["requester_id"])),
        assets=held,
        statuses=STATUSES,
    )


async def comment(request: Request) -> Response:
    """Add a comment that a person of the desk has typed."""
    number = request.path_params["number"]
    form = await _read_form(request)
    text = form.get("text", "").strip()
    if not text:
        raise Problem(422, "A comment needs words.")
    await do(
        request,
        lambda conn: tickets.add_comment(
            conn, number, author="Service desk", text=text, public="public" in form
        ),
    )
    return _back(f"/tickets/{number}")


async def move(request: Request) -> Response:
    """Change a ticket's status and the sentence callers hear about it."""
    number = request.path_params["number"]
    form = await _read_form(request)
    if form.get("status") not in STATUSES:
        raise Problem(422, "A ticket has one of five statuses.")
    await do(
        request,
        lambda conn: tickets.change_status(
            conn,
            number,
            status=form["status"],
            status_note=form.get("status_note", "").strip()[:200],
        ),
    )
    return _back(f"/tickets/{number}")


async def show_knowledge(request: Request) -> Response:
    """Show the articles of one language, or those that answer a question."""
    language = request.query_params.get("language", "en")
    query = request.query_params.get("q", "").strip()
    if query:
        found = await do(
            request,
            lambda conn: articles.search(
                conn, query[:500], language=language, audience="internal", limit=10
            ),
        )
    else:
        found = await do(request, lambda conn: articles.list_articles(conn, language=language))
    return await _show(
        request,
        "knowledge.html",
        section="knowledge",
        articles=found,
        language=language,
        query=query,
    )


async def show_article(request: Request) -> Response:
    """Show one article."""
    article_id = request.path_params["id"]
    article = await do(request, lambda conn: articles.get_article(conn, article_id))
    return await _show(request, "article.html", section="knowledge", article=article)


async def show_assets(request: Request) -> Response:
    """Show who holds what."""
    held: dict[str, list[directory.Row]] = {}
    for asset in await do(request, directory.list_assets):
        held.setdefault(str(asset["requester_id"]), []).append(asset)
    requesters = await do(request, _requesters)
    return await _show(request, "assets.html", section="assets", held=held, requesters=requesters)


async def show_transfers(request: Request) -> Response:
    """Show the calls that are offered, who is on duty, and what became of earlier calls."""
    return await _show(
        request,
        "transfers.html",
        section="transfers",
        transfers=await do(request, transfers.list_transfers),
        people=await do(request, directory.list_people),
    )


async def take(request: Request) -> Response:
    """Let a person on duty take a call."""
    transfer_id = request.path_params["id"]
    person_id = (await _read_form(request)).get("person_id", "")
    await do(request, lambda conn: transfers.answer(conn, transfer_id, person_id=person_id))
    return _back("/transfers")


async def set_duty(request: Request) -> Response:
    """Put a person on duty, or take them off."""
    person_id = request.path_params["id"]
    available = "on" in await _read_form(request)
    await do(request, lambda conn: directory.set_available(conn, person_id, available=available))
    return _back("/transfers")


def refuse(request: Request, status: int, detail: str) -> Response:
    """Show why a page can't be had."""
    html = _TEMPLATES.get_template("refusal.html").render(
        section="", ringing=0, status=status, detail=detail
    )
    return HTMLResponse(html, status_code=status, headers=_HEADERS)


def routes() -> list[Route]:
    """List the page's routes."""
    return [
        Route("/", show_tickets),
        Route("/tickets/{number}", show_ticket),
        Route("/tickets/{number}/comments", _own(comment), methods=["POST"]),
        Route("/tickets/{number}/status", _own(move), methods=["POST"]),
        Route("/knowledge", show_knowledge),
        Route("/knowledge/{id}", show_article),
        Route("/assets", show_assets),
        Route("/transfers", show_transfers),
        Route("/transfers/{id}/answer", _own(take), methods=["POST"]),
        Route("/people/{id}/duty", _own(set_duty), methods=["POST"]),
    ]


def _own(endpoint: Endpoint) -> Endpoint:
    """Take a form only from a page of the desk itself."""

    async def guard(request: Request) -> Response:
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        if site not in (None, "same-origin") or origin != f"http://{request.headers['host']}":
            raise Problem(403, "This form came from another site.")
        return await endpoint(request)

    return guard


async def _read_form(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise Problem(413, "That is too long.")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


async def _show(request: Request, template: str, **values: object) -> Response:
    offers = await do(request, transfers.list_transfers)
    ringing = sum(offer["status"] == "offered" for offer in offers)
    html = _TEMPLATES.get_template(template).render(ringing=ringing, **values)
    return HTMLResponse(html, headers=_HEADERS)


def _requesters(conn: sqlite3.Connection) -> dict[str, directory.Row]:
    return {str(row["id"]): row for row in directory.list_requesters(conn)}


def _back(path: str) -> Response:
    return RedirectResponse(path, status_code=303, headers=_HEADERS)
