"""The desk's HTTP API: JSON in, JSON out, a bearer token, problem+json when it refuses.

Nothing that names or quotes a person stands in an address: searches are POSTs.
"""

import asyncio
import hmac
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.desk import articles, directory, problems, tickets, transfers
from local.desk.problems import Problem
from local.desk.store import Store

KINDS = ("incident", "request", "callback")
STATUSES = ("open", "in_progress", "waiting", "resolved", "closed")
# The account the token belongs to signs what it writes.
AUTHOR = "AurionAI"

Endpoint = Callable[[Request], Awaitable[Response]]


def guarded(endpoint: Endpoint) -> Endpoint:
    """Let only the bearer of the desk's token in."""

    async def guard(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        wanted = f"Bearer {request.app.state.token}"
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise Problem(
                401, "A valid bearer token is needed.", headers={"WWW-Authenticate": "Bearer"}
            )
        return await endpoint(request)

    return guard


async def do[T](request: Request, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do some work in one transaction, off the event loop."""
    store: Store = request.app.state.store

    def run() -> T:
        with store.transaction() as conn:
            return work(conn)

    return await run_in_threadpool(run)


async def search_articles(request: Request) -> Response:
    """POST /api/articles/search."""
    fields = await problems.read_fields(
        request,
        {
            "query": problems.text(500),
            "language": problems.text(8, shortest=2),
            "audience": problems.choice("public", "internal"),
            "limit": problems.number(1, 20),
        },
    )
    limit = int(cast("int", fields["limit"]))
    if _drops_filters(request):
        everything = await do(request, lambda conn: articles.list_articles(conn, language="en"))
        return JSONResponse({"articles": _odd(request, everything)[-limit:]})
    found = await do(
        request,
        lambda conn: articles.search(
            conn,
            str(fields["query"]),
            language=str(fields["language"]),
            audience=str(fields["audience"]),
            limit=limit,
        ),
    )
    return JSONResponse({"articles": found})


async def get_article(request: Request) -> Response:
    """GET /api/articles/{id}."""
    article_id = request.path_params["id"]
    return JSONResponse(await do(request, lambda conn: articles.get_article(conn, article_id)))


async def search_requesters(request: Request) -> Response:
    """POST /api/requesters/search."""
    fields = await problems.read_fields(request, {"email": problems.text(254, shortest=3)})
    email = None if _drops_filters(request) else str(fields["email"])
    found = await do(request, lambda conn: directory.list_requesters(conn, email=email))
    return JSONResponse({"requesters": _odd(request, found)})


async def list_tickets(request: Request) -> Response:
    """GET /api/tickets?requester_id=|key=."""
    query = problems.read_query(request, "requester_id", "key")
    if _drops_filters(request):
        query = {}
    found = await do(
        request,
        lambda conn: tickets.list_tickets(
            conn, requester_id=query.get("requester_id"), key=query.get("key")
        ),
    )
    return JSONResponse({"tickets": _odd(request, found)})


async def get_ticket(request: Request) -> Response:
    """GET /api/tickets/{number}."""
    number = request.path_params["number"]
    return JSONResponse(await do(request, lambda conn: tickets.get_ticket(conn, number)))


async def create_ticket(request: Request) -> Response:
    """POST /api/tickets: 201, or 200 when the key has opened this ticket before."""
    fields = await problems.read_fields(
        request,
        {
            "requester_id": problems.optional(problems.text(40)),
            "summary": problems.text(200),
            "description": problems.text(8000, shortest=0),
            "kind": problems.choice(*KINDS),
            "language": problems.text(8, shortest=2),
            "external_key": problems.text(120),
        },
    )
    ticket, new = await do(request, lambda conn: tickets.create_ticket(conn, fields))
    return JSONResponse(ticket, status_code=201 if new else 200)


async def add_comment(request: Request) -> Response:
    """POST /api/tickets/{number}/comments."""
    number = request.path_params["number"]
    fields = await problems.read_fields(
        request,
        {
            "text": problems.text(8000),
            "public": problems.flag,
            "external_key": problems.text(120),
        },
    )
    ticket, new = await do(
        request,
        lambda conn: tickets.add_comment(
            conn,
            number,
            author=AUTHOR,
            text=str(fields["text"]),
            public=bool(fields["public"]),
            external_key=str(fields["external_key"]),
        ),
    )
    return JSONResponse(ticket, status_code=201 if new else 200)


async def change_status(request: Request) -> Response:
    """PATCH /api/tickets/{number}."""
    number = request.path_params["number"]
    fields = await problems.read_fields(
        request,
        {"status": problems.choice(*STATUSES), "status_note": problems.text(200, shortest=0)},
    )
    ticket = await do(
        request,
        lambda conn: tickets.change_status(
            conn, number, status=str(fields["status"]), status_note=str(fields["status_note"])
        ),
    )
    return JSONResponse(ticket)


async def list_assets(request: Request) -> Response:
    """GET /api/assets?requester_id=."""
    query = problems.read_query(request, "requester_id")
    wanted = None if _drops_filters(request) else query.get("requester_id")
    found = await do(request, lambda conn: directory.list_assets(conn, requester_id=wanted))
    return JSONResponse({"assets": _odd(request, found)})


async def list_outages(request: Request) -> Response:
    """GET /api/outages."""
    problems.read_query(request)
    return JSONResponse({"outages": await do(request, directory.list_outages)})


async def list_people(request: Request) -> Response:
    """GET /api/people."""
    problems.read_query(request)
    return JSONResponse({"people": await do(request, directory.list_people)})


async def set_available(request: Request) -> Response:
    """PATCH /api/people/{id}."""
    person_id = request.path_params["id"]
    fields = await problems.read_fields(request, {"available": problems.flag})
    available = bool(fields["available"])
    person = await do(
        request, lambda conn: directory.set_available(conn, person_id, available=available)
    )
    return JSONResponse(person)


async def offer_transfer(request: Request) -> Response:
    """POST /api/transfers."""
    fields = await problems.read_fields(
        request,
        {
            "call_id": problems.text(80),
            "requester_id": problems.optional(problems.text(40)),
            "caller_name": problems.optional(problems.text(120)),
            "level": problems.number(0, 3),
            "intent": problems.text(500, shortest=0),
            "steps_tried": problems.texts(20, 300),
            "ticket": problems.optional(problems.text(20)),
            "language": problems.text(8, shortest=2),
            "timeout_s": problems.number(0.1, 300),
        },
    )
    made = await do(request, lambda conn: transfers.offer(conn, fields))
    return JSONResponse(made, status_code=201)


async def list_transfers(request: Request) -> Response:
    """GET /api/transfers."""
    problems.read_query(request)
    return JSONResponse({"transfers": await do(request, transfers.list_transfers)})


async def get_transfer(request: Request) -> Response:
    """GET /api/transfers/{id}?wait_s=: answers once the offer has ended or the wait is over."""
    transfer_id = request.path_params["id"]
    query = problems.read_query(request, "wait_s")
    try:
        wait_s = min(max(float(query.get("wait_s", "0")), 0.0), 30.0)
    except ValueError:
        raise Problem(400, "wait_s is a number of seconds.") from None
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        transfer = await do(request, lambda conn: transfers.get_transfer(conn, transfer_id))
        left = until - loop.time()
        if transfer["status"] != "offered" or left <= 0:
            return JSONResponse(transfer)
        await asyncio.sleep(min(0.1, left))


async def answer_transfer(request: Request) -> Response:
    """POST /api/transfers/{id}/answer."""
    transfer_id = request.path_params["id"]
    fields = await problems.read_fields(request, {"person_id": problems.text(40)})
    person_id = str(fields["person_id"])
    transfer = await do(
        request, lambda conn: transfers.answer(conn, transfer_id, person_id=person_id)
    )
    return JSONResponse(transfer)


async def withdraw_transfer(request: Request) -> Response:
    """POST /api/transfers/{id}/withdraw."""
    transfer_id = request.path_params["id"]
    await problems.read_fields(request, {})
    return JSONResponse(await do(request, lambda conn: transfers.withdraw(conn, transfer_id)))


def routes() -> list[Route]:
    """List the API's routes."""
    table: list[tuple[str, str, Endpoint]] = [
        ("POST", "/api/articles/search", search_articles),
        ("GET", "/api/articles/{id}", get_article),
        ("POST", "/api/requesters/search", search_requesters),
        ("GET", "/api/tickets", list_tickets),
        ("POST", "/api/tickets", create_ticket),
        ("GET", "/api/tickets/{number}", get_ticket),
        ("PATCH", "/api/tickets/{number}", change_status),
        ("POST", "/api/tickets/{number}/comments", add_comment),
        ("GET", "/api/assets", list_assets),
        ("GET", "/api/outages", list_outages),
        ("GET", "/api/people", list_people),
        ("PATCH", "/api/people/{id}", set_available),
        ("GET", "/api/transfers", list_transfers),
        ("POST", "/api/transfers", offer_transfer),
        ("GET", "/api/transfers/{id}", get_transfer),
        ("POST", "/api/transfers/{id}/answer", answer_transfer),
        ("POST", "/api/transfers/{id}/withdraw", withdraw_transfer),
    ]
    return [Route(path, guarded(run), methods=[method]) for method, path, run in table]


def _drops_filters(request: Request) -> bool:
    state: dict[str, Any] = request.scope.get("state", {})
    return "drops_filters" in state


def _odd[T](request: Request, rows: list[T]) -> list[T]:
    """Leave a list as it is, or only somebody else's entry when that trouble is on."""
    state: dict[str, Any] = request.scope.get("state", {})
    return rows[-1:] if state.get("drops_filters") == "somebody_else" else rows
