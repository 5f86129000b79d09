"""The inspector's page in a browser: Debian's chromium, driven by selenium. `make test` installs it where it may."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from triton_spacemit.backend.tools import mca
from triton_spacemit.backend.tools.inspector import page as inspector_page
from triton_spacemit.backend.tools.inspector.kernels import find_kernel
from triton_spacemit.backend.tools.inspector.stages import Stages, collect

ROW = 18  # pixels from line to line
SIGNATURE = "*fp32:16, *fp32:16, i32, 1024"
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1680,1000"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("the page was not looked at: no chromium and chromedriver on PATH (Debian's packages chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*_FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def stages(program: Path) -> Stages:
    return collect(find_kernel(f"{program}:softmax", SIGNATURE, (), "x60"))


@pytest.fixture(scope="module")
def data(program: Path, stages: Stages) -> dict[str, Any]:
    kernel = find_kernel(f"{program}:softmax", SIGNATURE, (), "x60")
    return inspector_page.describe(kernel, stages, mca.find())


@pytest.fixture(scope="module")
def url(program: Path, stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "softmax.html"
    inspector_page.write(path, find_kernel(f"{program}:softmax", SIGNATURE, (), "x60"), stages, mca.find())
    return path.as_uri()


@pytest.fixture
def page(browser: webdriver.Chrome, url: str) -> Iterator[webdriver.Chrome]:
    """The page as it is first seen; in the end its script has not complained."""
    browser.get(url)
    browser.execute_script("localStorage.clear()")
    browser.get("about:blank")
    browser.get(url)
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def line_of(program: Path, text: str) -> int:
    return next(number for number, line in enumerate(program.read_text().splitlines(), 1) if text in line)


def settle(page: webdriver.Chrome) -> None:
    """Wait until what was asked for is drawn."""
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def eventually(page: webdriver.Chrome, holds: Callable[[], object]) -> None:
    """Ask until it holds, for half a minute: the browser tells the page of the pointer's moves and of scrolling when it comes to it."""
    WebDriverWait(page, 30, poll_frequency=0.05, ignored_exceptions=(StaleElementReferenceException,)).until(lambda _: holds())


def rows(page: webdriver.Chrome, pane: str, kind: str = "") -> dict[int, str]:
    """The text of each drawn line of the pane (of those of a `kind`), by its number from 0; read at once, since lines are redrawn."""
    query = "Array.from(document.querySelectorAll(arguments[0]), row => [+row.dataset.i, row.textContent])"
    return {number: text for number, text in page.execute_script(f"return {query}", f"#pane-{pane} .row{kind}")}


def highlighted(page: webdriver.Chrome, pane: str) -> set[int]:
    return set(rows(page, pane, ".same"))


def point_at(page: webdriver.Chrome, pane: str, number: int, click: bool = False) -> None:
    """Move the pointer to a drawn line, and click it."""

    def act() -> bool:
        element = page.find_element(By.CSS_SELECTOR, f"#pane-{pane} .row[data-i='{number}'] .no")
        actions = ActionChains(page).move_to_element(element)
        (actions.click() if click else actions).perform()
        return True

    eventually(page, act)


def visible(page: webdriver.Chrome) -> list[str]:
    panes = page.find_elements(By.CSS_SELECTOR, "section.pane")
    return [pane.get_attribute("id").removeprefix("pane-") for pane in panes if pane.is_displayed()]


def test_panes_show_the_stages(page: webdriver.Chrome, stages: Stages) -> None:
    assert visible(page) == ["source", "xsmt", "loops", "asm"]
    for pane in stages.panes:
        if pane.name in visible(page):
            shown = rows(page, pane.name)
            assert len(shown) >= 20
            assert shown == {number: f"{number + 1}{pane.text.lines[number]}" for number in shown}
    assert page.title == "softmax · x60"
    box = page.find_element(By.ID, "pane-asm").rect
    assert box["width"] > 300
    assert box["height"] > 300


def test_a_source_line_highlights_its_code_in_all_panes(page: webdriver.Chrome, program: Path, stages: Stages) -> None:
    """Pointing and clicking; what is highlighted is just what the places say, also where a helper was inlined."""
    for text in ("tl.load(", "e = scaled(e)"):
        line = line_of(program, text)
        number = next(number for number, shown in rows(page, "source").items() if text in shown)
        point_at(page, "source", number, click=True)
        eventually(page, lambda number=number: highlighted(page, "source") == {number})
        for pane in stages.panes:
            if pane.name in visible(page):
                frames = (str(program), line)
                expected = {i for i, place in enumerate(pane.text.places) if any(frame[:2] == frames for frame in place)}
                assert expected
                assert highlighted(page, pane.name) == expected & set(rows(page, pane.name)) != set(), pane.name  # clicking scrolled there
        ActionChains(page).move_to_element(page.find_element(By.ID, "name")).perform()
        settle(page)
        assert highlighted(page, "asm")  # pinned
        page.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
        eventually(page, lambda: highlighted(page, "asm") == set())


def test_an_instruction_highlights_its_line(page: webdriver.Chrome, program: Path, stages: Stages) -> None:
    text = stages.panes[-1].text
    number = next(i for i, line in enumerate(text.lines) if "vle32.v" in line and text.places[i])
    page.execute_script(f"document.querySelector('#pane-asm .scroller').scrollTop = {(number - 5) * ROW}")
    point_at(page, "asm", number)
    eventually(page, lambda: number in highlighted(page, "asm"))
    (file, line, column), *_ = text.places[number]
    assert file == str(program)
    (source,) = rows(page, "source", ".same").values()
    assert source.startswith(str(line))
    # The token that the column names is underlined.
    token = page.execute_script("return document.querySelector('#pane-source .row.same u.from').textContent")
    assert token
    assert program.read_text().splitlines()[line - 1][column - 1 :].startswith(token)
    # Leaving the pane lets go; the keys reach it too.
    ActionChains(page).move_to_element(page.find_element(By.ID, "name")).perform()
    eventually(page, lambda: highlighted(page, "source") == set())


def test_a_line_drawn_anew_under_the_pointer_is_clicked(page: webdriver.Chrome) -> None:
    point_at(page, "source", 5)
    ActionChains(page).click_and_hold().perform()
    page.execute_script("panes[0].draw(true)")
    ActionChains(page).release().perform()
    assert page.execute_script("return pinned && [pinned.pane.name, pinned.i]") == ["source", 5]


def test_keys(page: webdriver.Chrome, data: dict[str, Any]) -> None:
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys("2")
    assert visible(page) == ["source", "ttir", "xsmt", "loops", "asm"]
    body.send_keys("35")  # the fourth, smt, is closed
    assert visible(page) == ["source", "ttir", "asm"]
    page.refresh()  # which is remembered
    assert visible(page) == ["source", "ttir", "asm"]
    body = page.find_element(By.TAG_NAME, "body")
    assert page.find_element(By.ID, "figures").is_displayed()
    body.send_keys("0")
    assert not page.find_element(By.ID, "figures").is_displayed()
    body.send_keys("]")
    focused = page.switch_to.active_element
    assert focused.get_attribute("aria-label") == "Triton IR"
    focused.send_keys(Keys.ARROW_DOWN, "j", "j")
    eventually(page, lambda: set(rows(page, "ttir", ".at")) == {2})
    focused.send_keys(Keys.ENTER)
    place = data["places"][data["panes"][0]["places"][2]]
    eventually(page, lambda: [text[: len(str(place[0][1]))] for text in rows(page, "source", ".same").values()] == [str(place[0][1])])
    focused.send_keys("?")
    assert page.find_element(By.ID, "keys").is_displayed()


def test_search(page: webdriver.Chrome, data: dict[str, Any]) -> None:
    page.find_element(By.TAG_NAME, "body").send_keys("/")
    page.switch_to.active_element.send_keys("VFADD")
    panes = [pane["lines"] for pane in data["panes"] if pane["name"] in visible(page)]
    lines = sum("vfadd" in line for lines in [*panes, [text for _, _, text in data["source"]]] for line in lines)
    assert lines > 2
    assert page.find_element(By.ID, "count").text == f"{lines} lines"
    page.switch_to.active_element.send_keys(Keys.ENTER)
    eventually(page, lambda: rows(page, "asm", ".at"))
    marks = page.execute_script("return Array.from(document.querySelectorAll('#pane-asm mark'), mark => mark.textContent)")
    assert set(marks) == {"vfadd"}
    (at,) = rows(page, "asm", ".at").values()
    assert "vfadd" in at


def test_figures_lead_to_loops(page: webdriver.Chrome, data: dict[str, Any]) -> None:
    rows = page.find_elements(By.CSS_SELECTOR, "#loops tbody tr")
    assert len(rows) == len(data["functions"])
    last = data["functions"][-1]
    page.execute_script("arguments[0].scrollIntoView()", rows[-1])
    rows[-1].click()
    assert last["name"] in page.find_element(By.ID, "mix-title").text
    eventually(page, lambda: last["first"] in highlighted(page, "asm"))
    shown = [each.text.split(" · ")[0] for each in page.find_elements(By.CSS_SELECTOR, "#mix span:nth-child(3n)")]
    total = sum(float(text.replace(",", "")) for text in shown)
    assert total == pytest.approx(last["weighted"], abs=1)
    assert (page.find_elements(By.CSS_SELECTOR, "#loops th")[-1].text == "cycles") == (mca.find() is not None)


def test_panes_scroll_together(page: webdriver.Chrome, program: Path, stages: Stages) -> None:
    """Scrolling the assembly to the kernel's exponential brings that of the loops into view; without `sync` it does not."""
    line = (str(program), line_of(program, "tl.exp("))
    lines = {pane.name: [i for i, place in enumerate(pane.text.places) if place and place[0][:2] == line] for pane in stages.panes}
    target = next(i for i in lines["asm"] if "vfmadd.vv" in stages.panes[-1].text.lines[i])

    def scroller(pane: str, what: str) -> float:
        return page.execute_script(f"return document.querySelector('#pane-{pane} .scroller').{what}")

    def shows_it(pane: str) -> bool:
        first, count = scroller(pane, "scrollTop") / ROW, scroller(pane, "clientHeight") / ROW
        return any(first <= i < first + count - 1 for i in lines[pane])

    def scroll_to_target() -> None:
        """So that it is a third down, which is the line that the other panes go by."""
        by = (target + 0.5) * ROW - scroller("asm", "clientHeight") / 3 - scroller("asm", "scrollTop")
        ActionChains(page).scroll_from_origin(ScrollOrigin.from_element(page.find_element(By.ID, "pane-asm")), 0, round(by)).perform()
        eventually(page, lambda: shows_it("asm"))
        settle(page)

    assert not shows_it("asm")
    assert not shows_it("loops")
    page.find_element(By.ID, "sync").click()
    scroll_to_target()
    assert not shows_it("loops")
    page.execute_script("document.querySelector('#pane-asm .scroller').scrollTop = 0")
    settle(page)
    page.find_element(By.ID, "sync").click()
    scroll_to_target()
    eventually(page, lambda: shows_it("loops"))


def test_panes_can_be_resized(page: webdriver.Chrome) -> None:
    width = page.find_element(By.ID, "pane-source").rect["width"]
    grip = next(each for each in page.find_elements(By.CLASS_NAME, "grip") if each.is_displayed())
    ActionChains(page).drag_and_drop_by_offset(grip, -150, 0).perform()
    assert page.find_element(By.ID, "pane-source").rect["width"] == pytest.approx(width - 150, abs=2)


def test_light_and_dark(page: webdriver.Chrome) -> None:
    def lightness() -> float:
        colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour[4:-1].split(","))) / 3

    seen = set()
    for _ in range(2):
        page.find_element(By.ID, "theme").click()
        seen.add(lightness() > 128)
    assert seen == {True, False}


def test_a_line_in_the_address(page: webdriver.Chrome, program: Path, url: str) -> None:
    line = line_of(program, "tl.exp(")
    page.get("about:blank")
    page.get(f"{url}#L{line}")
    settle(page)
    (source,) = rows(page, "source", ".same").values()
    assert source.startswith(str(line))
    assert highlighted(page, "asm")


def test_large_kernels_are_quick(page: webdriver.Chrome, url: str, data: dict[str, Any], tmp_path: Path) -> None:
    """30,000 lines of assembly: only what is seen is drawn, so that the page opens and answers at once."""
    large = {**data, "panes": [dict(pane) for pane in data["panes"]]}
    asm = large["panes"][-1]
    times = 30_000 // len(asm["lines"]) + 1
    asm["lines"], asm["places"] = asm["lines"] * times, asm["places"] * times
    text = Path(url.removeprefix("file://")).read_text()
    start, end = text.index('type="application/json">') + 24, text.index("</script>")
    (tmp_path / "large.html").write_text(text[:start] + json.dumps(large).replace("<", "\\u003c") + text[end:])
    before = time.perf_counter()
    page.get((tmp_path / "large.html").as_uri())
    settle(page)
    assert time.perf_counter() - before < 30  # about 0.3 where nothing else runs
    assert "30," in page.find_element(By.CSS_SELECTOR, "#pane-asm h2").text
    assert len(rows(page, "asm")) < 200
    milliseconds = page.execute_script(
        """const pane = panes.at(-1);
        let least = Infinity;
        for (let turn = 0; turn < 20; turn++) {
          const start = performance.now();
          pane.scroller.scrollTop = turn * 25000;
          pinned = at(pane, turn * 1400);
          reveal(pane);
          for (const each of panes) each.draw(true);
          document.body.offsetHeight;  // lays out
          least = Math.min(least, performance.now() - start);
        }
        return least;"""
    )
    assert milliseconds < 200  # about 20, of the turn that the rest of the machine left alone
    page.execute_script("panes.at(-1).scroller.scrollTop = 1e9")
    settle(page)
    assert len(asm["lines"]) - 1 in rows(page, "asm")
