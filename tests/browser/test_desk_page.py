"""The demo desk's page in a real browser: it works, it can be read, it talks to nobody else."""

import json
import os
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from local.desk.process import DeskProcess, start_desk
from tests.gateways import NO_TLS

TOKEN = "desk-token"
PAGES = {
    "tickets": "/?show=all",
    "callbacks": "/?show=callbacks",
    "ticket": "/tickets/T-1024",
    "calls": "/transfers",
    "knowledge": "/knowledge",
    "search": "/knowledge?language=fr&q=Mon+imprimante+ne+fonctionne+plus",
    "nothing found": "/knowledge?q=pizza",
    "article": "/knowledge/printer-not-printing-fr",
    "assets": "/assets",
}
VIEWS = {"phone": (360, 740), "desktop": (1280, 800)}

# Text against what lies behind it, by WCAG 2: every text that shows must reach 4.5 to 1.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility() || element.closest('.hidden, .skip')) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""

UNNAMED = """() => [...document.querySelectorAll('input, textarea, select, button, a')]
  .filter((e) => e.type !== 'hidden')
  .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label')
    || (e.labels && [...e.labels].some((l) => l.textContent.trim()))))
  .map((e) => e.outerHTML)"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskProcess]:
    running = start_desk(tmp_path_factory.mktemp("desk") / "desk.sqlite", TOKEN)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM_PATH", "/usr/bin/chromium"),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield browser
        browser.close()


class Watched:
    """A page, and everything that went wrong in it."""

    def __init__(self, page: Page, host: str) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("requestfailed", lambda request: self._failed(request.url, request.failure))
        page.on("response", lambda response: self._response(response.status, response.url, host))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => "
            "console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI))"
        )

    def _failed(self, url: str, why: str | None) -> None:
        if why != "net::ERR_ABORTED":  # the page was left before its icon had come
            self.wrong.append(f"failed: {url}")

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(f"{kind}: {text}")

    def _response(self, status: int, url: str, host: str) -> None:
        if status >= 400 or urlsplit(url).netloc != host:
            self.wrong.append(f"{status}: {url}")


def open_page(
    chromium: Browser, desk: DeskProcess, *, view: str = "desktop", scheme: Any = "light"
) -> Watched:
    width, height = VIEWS[view]
    page = chromium.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, base_url=desk.base_url
    )
    page.set_default_timeout(15_000)
    return Watched(page, urlsplit(desk.base_url).netloc)


def call(desk: DeskProcess, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(
        base_url=desk.base_url, headers=headers, trust_env=False, verify=NO_TLS
    ) as client:
        answer = client.request(method, path, json=body)
    answer.raise_for_status()
    return answer.json()


def make_ticket(desk: DeskProcess, key: str, **changes: Any) -> str:
    ticket = {
        "requester_id": "R-2001",
        "summary": "VPN keeps disconnecting",
        "description": "Since this morning.",
        "kind": "incident",
        "language": "en",
        "external_key": key,
        **changes,
    }
    return call(desk, "POST", "/api/tickets", ticket)["number"]


def offer_call(desk: DeskProcess, **changes: Any) -> str:
    offer = {
        "call_id": "call-9",
        "requester_id": "R-2003",
        "caller_name": "Claire Dubois",
        "level": 1,
        "intent": "Son imprimante ne fonctionne plus.",
        "steps_tried": ["Éteignez l'imprimante."],
        "ticket": None,
        "language": "fr",
        "timeout_s": 120,
        **changes,
    }
    return call(desk, "POST", "/api/transfers", offer)["id"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_page_can_be_read_at_any_width_by_day_and_night(
    chromium: Browser, desk: DeskProcess, view: str, scheme: str
) -> None:
    make_ticket(desk, "long", summary="Unbreakable" * 15, description="https://" + "x" * 300)
    # What rings and what has rung, on the pages that show it.
    call(desk, "POST", f"/api/transfers/{offer_call(desk)}/answer", {"person_id": "P-1"})
    offer_call(desk, call_id="call-10", intent="Unbreakable" * 20)
    watched = open_page(chromium, desk, view=view, scheme=scheme)
    page = watched.page
    for name, path in PAGES.items():
        page.goto(path)
        scroll, client = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert scroll <= client, name
        assert page.evaluate(CONTRAST) == [], name
        assert page.evaluate(UNNAMED) == [], name
        assert page.locator("h1").count() == 1, name
        assert page.locator("[aria-current=page]").count() == 1, name
    assert watched.wrong == []
    page.close()


def test_dark_is_dark(chromium: Browser, desk: DeskProcess) -> None:
    shades = []
    for scheme in ("light", "dark"):
        page = open_page(chromium, desk, scheme=scheme).page
        page.goto("/")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades.append(sum(int(part) for part in re.findall(r"\d+", background)[:3]))
        page.close()
    assert shades[0] > 600 > 150 > shades[1]


def test_a_new_ticket_appears_by_itself(chromium: Browser, desk: DeskProcess) -> None:
    watched = open_page(chromium, desk)
    watched.page.goto("/")
    number = make_ticket(desk, "appears", summary="Mein <b>Text</b>", requester_id=None)
    row = watched.page.locator(f"[data-ticket={number}]")
    expect(row).to_contain_text("Mein <b>Text</b>")
    expect(row).to_contain_text("Unverified caller")
    expect(row).to_contain_text("AurionAI")
    expect(watched.page.get_by_role("status")).to_have_text(f"New: {number}")
    assert watched.wrong == []
    watched.page.close()


def test_what_a_caller_says_is_shown_and_never_run(chromium: Browser, desk: DeskProcess) -> None:
    attack = "<img src=x onerror=console.error('run')><script>console.error('run')</script>"
    number = make_ticket(desk, "attack", summary=attack, description=attack)
    comment = {"text": attack, "public": True, "external_key": "attack"}
    call(desk, "POST", f"/api/tickets/{number}/comments", comment)
    watched = open_page(chromium, desk)
    for path in ("/", f"/tickets/{number}"):
        watched.page.goto(path)
        expect(watched.page.get_by_text(attack).first).to_be_visible()
    assert watched.wrong == []
    watched.page.close()


def test_a_person_comments_and_moves_a_ticket_on(chromium: Browser, desk: DeskProcess) -> None:
    number = make_ticket(desk, "person")
    watched = open_page(chromium, desk, view="phone")
    page = watched.page
    page.goto("/")
    page.get_by_role("link", name=number).click()
    page.get_by_label("Add a comment").fill("Called back, no answer.")
    page.get_by_label("The requester sees it").uncheck()
    page.get_by_role("button", name="Add comment").click()
    expect(page.locator(".comments li.internal")).to_contain_text("Called back, no answer.")
    page.get_by_label("Status", exact=True).select_option("In progress")
    page.get_by_label("One sentence that callers hear").fill("A technician is looking at it.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".note")).to_contain_text("A technician is looking at it.")
    ticket = call(desk, "GET", f"/api/tickets/{number}")
    assert (ticket["status"], ticket["status_note"]) == (
        "in_progress",
        "A technician is looking at it.",
    )
    assert [(c["text"], c["public"]) for c in ticket["comments"]] == [
        ("Called back, no answer.", False)
    ]
    assert watched.wrong == []
    page.close()


def test_what_is_being_typed_is_not_swept_away(chromium: Browser, desk: DeskProcess) -> None:
    number = make_ticket(desk, "typing")
    page = open_page(chromium, desk).page
    page.goto(f"/tickets/{number}")
    page.get_by_label("Add a comment").fill("Half a sentence")
    page.get_by_role("heading", level=1).click()
    comment = {"text": "From the phone", "public": True, "external_key": "typing"}
    call(desk, "POST", f"/api/tickets/{number}/comments", comment)
    page.wait_for_timeout(3_000)
    expect(page.get_by_label("Add a comment")).to_have_value("Half a sentence")
    page.get_by_label("Add a comment").fill("")
    page.get_by_label("Add a comment").blur()
    expect(page.get_by_text("From the phone")).to_be_visible()
    page.close()


def test_a_person_takes_a_ringing_call(chromium: Browser, desk: DeskProcess) -> None:
    watched = open_page(chromium, desk, view="phone")
    page = watched.page
    page.goto("/transfers")
    transfer_id = offer_call(desk, call_id="call-ring")
    answered: list[str] = []

    def wait() -> None:
        found = call(desk, "GET", f"/api/transfers/{transfer_id}?wait_s=20")
        answered.append(json.dumps([found["status"], found["person"]]))

    waiting = threading.Thread(target=wait)
    waiting.start()
    card = page.locator(".ringing", has=page.locator(f"#t-{transfer_id}"))
    expect(card).to_contain_text("Claire Dubois")
    expect(card).to_contain_text("Éteignez l'imprimante.")
    card.get_by_role("button", name="Nadia Roux takes it").click()
    expect(page.get_by_text("Answered").first).to_be_visible()
    waiting.join(timeout=20)
    assert answered == ['["answered", "Nadia Roux"]']
    assert watched.wrong == []
    page.close()


def test_the_keyboard_reaches_the_content_first(chromium: Browser, desk: DeskProcess) -> None:
    page = open_page(chromium, desk).page
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    page.close()


def test_what_is_not_there_says_so(chromium: Browser, desk: DeskProcess) -> None:
    page = open_page(chromium, desk).page
    for path in ("/tickets/T-9999", "/knowledge/none", "/nothing"):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404
        expect(page.get_by_role("link", name="Back to the tickets")).to_be_visible()
    page.close()
