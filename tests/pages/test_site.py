"""`make site`: its files by themselves, and every page in a real browser, as wide as a laptop's window and as narrow as a phone."""
import functools
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from conftest import make_environment

from sharedlabel import ROOT

pytestmark = pytest.mark.slow
WIDTHS = 1300, 390
RAW_LATEX = re.compile(r"\$|\\[A-Za-z]{2,}|\^\{")
NOTEBOOKS = [file.relative_to(ROOT) for file in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in file.parts]


@pytest.fixture(scope="module")
def site() -> Path:
    command = ["make", "-o", "venv", f"VENV={sys.prefix}", "site"]
    done = subprocess.run(command, cwd=ROOT, env=make_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    index = Path(done.stdout.strip().rpartition("\nOpen ")[2])
    assert index == ROOT / "runs" / "site" / "html" / "index.html"
    return index.parent


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    """Every page by its path in the site."""
    files = [file for file in site.rglob("*.html") if "_static" not in file.parts]
    return {str(file.relative_to(site)): BeautifulSoup(file.read_text(), "html.parser") for file in files}


def visible_text(page: BeautifulSoup) -> str:
    """What a reader reads of a page but code and formulas."""
    return " ".join(text for text in page.main.find_all(string=True) if not text.find_parents(["pre", "code", "math", "script", "style"]))


def test_every_notebook_and_document_is_a_page_that_the_contents_name(pages):
    wanted = {str(file.with_suffix(".html")) for file in NOTEBOOKS}
    wanted |= {f"docs/{file.stem}.html" for file in (ROOT / "docs").glob("*.md")} | {"README.html", "CONTRIBUTING.html", "index.html"}
    assert wanted <= set(pages)
    contents = {link["href"].partition("#")[0] for link in pages["index.html"].select("nav.bd-docs-nav a")}
    assert wanted - {"README.html", "index.html"} <= contents


def test_every_link_leads_to_a_page_and_to_a_place_in_it(site, pages):
    broken = []
    for name, page in pages.items():
        places = [(tag, tag.get("href") or tag.get("src")) for tag in page.select("a[href], link[href], script[src], img[src]")]
        for tag, address in places:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                assert tag.name == "a", f"{name} loads {address}"  # a reader may follow a link, a page loads nothing
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            if not target.exists():
                broken.append(f"{name}: {address}")
            elif parts.fragment and target.suffix == ".html":
                other = pages[str(target.resolve().relative_to(site.resolve()))]
                if not other.find(id=unquote(parts.fragment)):
                    broken.append(f"{name}: {address}")
    assert not broken


def test_every_picture_has_an_alternative_text_that_says_something(pages):
    pictures = [(name, picture) for name, page in pages.items() for picture in page.main.find_all("img")]
    assert len(pictures) > 30
    assert not [(name, picture["src"]) for name, picture in pictures if len(picture.get("alt", "")) < 20]


def test_no_page_shows_latex_or_what_went_wrong(pages):
    for name, page in pages.items():
        found = RAW_LATEX.search(visible_text(page))
        assert not found, f"{name}: {found}"
        assert not page.select(".stderr, .traceback, .problematic, .system-message") and "Traceback" not in page.get_text(), name
    formulas = [formula for page in pages.values() for formula in page.find_all("math")]
    assert len(formulas) > 100 and not [text for text in (formula.get_text() for formula in formulas) if set("\\$") & set(text)]


def test_set_up_is_folded_and_long_tables_are(pages):
    page = pages["notebooks/sections/section_5_1.html"]
    folded = page.select("details.hide")
    assert "select_runs" in folded[0].get_text() and not any(cell.has_attr("open") for cell in folded)
    assert len(folded) == len(page.select("div.cell_input")) - 1  # all but the parameters
    assert page.select("details table") and not page.select("details[open]")


# ---- in a browser


@pytest.fixture(scope="module")
def address(site):
    """The site over http, as a host would show it."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def open_page(chromium, address):
    """A function that opens a page of the site; at the end nothing may have failed, and nothing come from elsewhere."""
    def open_page(name: str, width: int):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(120_000)  # of a busy machine
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url))
        page.on("request", lambda request: faults.append(request.url) if not request.url.startswith((address, "data:")) else None)
        page.goto(address + name)
        return page

    faults = []
    yield open_page
    assert not faults


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window_and_every_picture_is_there(open_page, pages, width):
    for name in sorted(pages):
        page = open_page(name, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name}, its tables unfolded"
        hidden = page.evaluate("[...document.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.src)")
        assert not hidden, name
        assert not RAW_LATEX.search(page.evaluate("document.title")), name
        page.close()


WIDE_TABLES = """() => {
    const clips = element => ["auto", "scroll"].includes(getComputedStyle(element).overflowX)
    return [...document.querySelectorAll("main table")].filter(table => !table.closest("details:not([open])")).filter(table => {
        let box = table.parentElement
        while (!clips(box) && box !== document.body) box = box.parentElement
        return box.scrollWidth > box.clientWidth
    }).map(table => (table.caption || table.closest("details")?.querySelector("summary") || table.rows[0]).innerText)
}"""
WIDER_THAN_A_LAPTOP = {  # eight columns or so, six of them a number with its interval; collapsed
    "Every comparison with the head alone, in points (✓ holds, ✗ fails, no mark: cannot tell)",
    "The numbers of the figure: n-accuracy", "The numbers of the figure: log2(1 − n-accuracy)", "Relative information IG·ρ/n in bits",
}


def test_every_table_fits_a_laptop_and_wider_ones_are_collapsed(open_page, pages):
    for name in sorted(pages):
        page = open_page(name, 1300)
        assert not page.evaluate(WIDE_TABLES), name
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert set(page.evaluate(WIDE_TABLES)) <= WIDER_THAN_A_LAPTOP, name
        page.close()


def test_on_a_phone_claims_need_no_scrolling_and_formulas_and_readable_figures_scroll_by_themselves(open_page, pages):
    for name in sorted(name for name in pages if "README" in name or "overview" in name or "sections" in name):
        page = open_page(name, 390)
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert not page.evaluate("""() => [...document.querySelectorAll("main table")].filter(
            table => table.rows[0].innerText.includes("verdict") && (table.scrollWidth > table.closest("div").clientWidth
                || [...table.querySelectorAll("td")].some(cell => cell.getBoundingClientRect().right > 390))).length"""), name
        wide = page.evaluate("""() => [...document.querySelectorAll("main math")].filter(
            formula => formula.getBoundingClientRect().right > 390 && !formula.closest(".formula")).map(formula => formula.innerText)""")
        assert not wide, name
        small = page.evaluate("""() => [...document.querySelectorAll("article img")].filter(
            image => image.naturalWidth > 600 && (image.clientWidth < 550 || image.parentElement.clientWidth > 390)
        ).map(image => image.alt)""")
        assert not small, name
        page.close()


def test_a_verdict_leads_to_its_claim(pages):
    page = pages["notebooks/sections/section_5_1.html"]
    assert page.select_one("td a[href='#claim-sweet-spot']") and page.select_one("#claim-sweet-spot")


@pytest.mark.parametrize("width", WIDTHS)
def test_search_finds(open_page, width):
    page = open_page("search.html?q=theorem+embedding", width)
    page.wait_for_selector("#search-results li a[href*='beyond_readout.html']")


def test_a_phone_reaches_the_contents_and_a_laptop_types_a_search(open_page):
    phone = open_page("index.html", 390)
    phone.locator("button.primary-toggle:visible").first.click()
    phone.get_by_role("link", name="Start here").first.click()
    phone.wait_for_url("**/notebooks/overview.html")
    laptop = open_page("index.html", 1300)
    laptop.locator(".search-button-field:visible").first.click()
    laptop.keyboard.type("Kendall")
    laptop.keyboard.press("Enter")
    laptop.wait_for_selector("#search-results li a[href*='section_5_1.html']")
