"""The page in a real browser, headless Chromium; skipped where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from detect.cli import main
from detect.rasters import read_map
from tests.detect.report.conftest import NAMES, Case, page_data

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--no-sandbox",  # which root has none of
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DRAWN = "[...document.querySelectorAll('#cards canvas')].filter((canvas) => canvas.width > 1).length"
# Colour of the middle of a pixel of a picture on the first card, which is `width` pixels wide.
COLOUR = """([x, y, width]) => {
  const canvas = document.querySelector('#cards canvas'), cell = canvas.width / width;
  const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, -(x + 0.5) * cell, -(y + 0.5) * cell);
  return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here; `apt-get install chromium` brings it")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser, case: Case) -> Iterator[Open]:
    """Open a report; at the end nothing may have been said on the console, and nothing asked of the network."""
    faults: list[str] = []
    contexts = []

    def open_report(page: Path = case.page, **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(120_000)  # milliseconds, for a machine with much else to do
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda message: faults.append(message.text))
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("dialog", lambda dialog: faults.append(dialog.message))
        opened.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else faults.append(request.url),
        )
        opened.goto(page.as_uri())
        opened.evaluate("document.getElementById('cards').scrollIntoView({behavior: 'instant'})")
        wait(opened, f"{DRAWN} > 0")
        return opened

    yield open_report
    for context in contexts:
        context.close()
    assert not faults


def wait(page: Page, condition: str) -> None:
    """Until a condition holds; Playwright's own way needs `eval`, which the page's policy forbids."""
    for _ in range(1200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"did not come true: {condition}")


def set_slider(page: Page, level: int) -> None:
    page.evaluate(
        """(level) => {
          const slider = document.getElementById('threshold');
          slider.value = level;
          slider.dispatchEvent(new Event('input'));
          slider.dispatchEvent(new Event('change'));
        }""",
        level,
    )


def names(page: Page) -> list[str]:
    return page.eval_on_selector_all("#cards li:not([hidden]) .name", "(found) => found.map((one) => one.textContent)")  # type: ignore[no-any-return]


def test_counts_are_those_of_detect_extract(open_page: Open, case: Case, tmp_path: Path) -> None:
    page = open_page()
    thresholds = page_data(case.page)["thresholds"]
    seen = []
    for level in (0, 5, 11, 16, len(thresholds) - 1):
        set_slider(page, level)
        command = page.inner_text("#command")
        assert command.endswith(f" --threshold {thresholds[level]}")
        words = [str(case.run), str(case.images), "--from-maps", str(case.maps), "--out", str(tmp_path / "a.json")]
        result = CliRunner().invoke(main, ["extract", *words, *command.split()[-2:], "--json"])
        assert result.exit_code == 0, result.output
        shown = int(page.inner_text("#objects"))
        assert shown == json.loads(result.stdout)["objects"]
        found = json.loads((tmp_path / "a.json").read_text())
        assert int(page.inner_text("#holding")) == len({item["image_id"] for item in found["annotations"]})
        seen.append(shown)
    assert len(set(seen)) > 3


def test_the_run_s_own_threshold_comes_first_and_comes_back(open_page: Open, case: Case) -> None:
    page = open_page()
    assert int(page.inner_text("#objects")) == case.made.objects
    assert page.is_disabled("#reset")
    page.keyboard.press("]")
    page.keyboard.press("]")
    assert page.input_value("#threshold") == str(page_data(case.page)["chosen"] + 2)
    page.click("#reset")
    assert int(page.inner_text("#objects")) == case.made.objects


def test_the_mask_is_redrawn(open_page: Open, case: Case) -> None:
    """Without the map, the picture and the boxes beside it, a pixel is tinted where the extraction takes it."""
    page = open_page()
    for layer in ("map", "boxes", "truth"):
        page.uncheck(f"[data-layer={layer}]")
    data = page_data(case.page)
    page.fill("#search", data["cards"][0]["name"])
    map_HW = read_map((case.maps / data["cards"][0]["name"]).with_suffix(".tiff"))
    y, x = np.argwhere(map_HW == map_HW.max())[0].tolist()
    page.select_option("#sort", "given")

    def is_tinted(expected: bool) -> bool:
        """Whether it comes to that; what is drawn follows what is chosen a little later."""
        for _ in range(100):
            red, _, blue = page.evaluate(COLOUR, [x, y, map_HW.shape[1]])
            if (blue - red > 30) == expected and (blue - red < 10) != expected:
                return True
            page.wait_for_timeout(100)
        return False

    assert is_tinted(True)
    page.uncheck("[data-layer=mask]")
    assert is_tinted(False)
    page.check("[data-layer=mask]")
    assert is_tinted(True)
    highest = len(data["thresholds"]) - 1
    assert not data["cards"][0]["boxes"][highest]
    set_slider(page, highest)
    assert is_tinted(False)


def test_order_filters_and_search(open_page: Open, case: Case) -> None:
    page = open_page()
    cards = page_data(case.page)["cards"]
    assert names(page) == [card["name"] for card in cards]
    page.select_option("#sort", "confidence")
    assert names(page) == [card["name"] for card in sorted(cards, key=lambda card: card["confidence"])]
    page.select_option("#only", "doubtful")
    assert names(page) == [card["name"] for card in sorted(cards, key=lambda card: card["confidence"])][:2]
    page.select_option("#sort", "highest")
    page.select_option("#only", "empty")
    chosen = page_data(case.page)["chosen"]
    assert set(names(page)) == {card["name"] for card in cards if not card["boxes"][chosen]}
    page.select_option("#only", "all")
    page.fill("#search", "ONE Ä")
    assert names(page) == [NAMES[0]]


def test_keys_alone(open_page: Open) -> None:
    page = open_page()
    first = page.locator("#cards li:not([hidden]) button").first
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.is_visible("#large")
    shown = names(page)
    assert page.inner_text("#large-name") == shown[1]
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#large-name") == shown[2]
    page.keyboard.press("ArrowLeft")
    assert "threshold 0.2001" in page.inner_text("#large-facts")
    page.keyboard.press("1")
    assert not page.is_checked("[data-layer=map]")
    page.keyboard.press("]")
    wait(page, "!document.getElementById('large-facts').textContent.includes('threshold 0.2001')")
    page.keyboard.press("Escape")
    wait(page, "!document.getElementById('large').open")
    wait(page, "document.activeElement.matches('.card')")
    assert page.evaluate("document.activeElement.querySelector('.name').textContent") == shown[1]
    page.keyboard.press("1")
    assert page.is_checked("[data-layer=map]")


def test_names_and_warnings_are_text(open_page: Open, case: Case) -> None:
    page = open_page()
    assert any("onerror=alert" in name for name in names(page))
    assert page.locator("#cards img").count() == 0
    assert "<b>validation</b>" in page.inner_text("#warnings")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_mode(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)

    def brightness(what: str) -> float:
        colour = page.evaluate(f"getComputedStyle(document.querySelector('#summary')).{what}")
        return float(np.mean([float(part) for part in colour.strip("rgba()").split(",")[:3]]))

    paper, ink = brightness("backgroundColor"), brightness("color")
    assert abs(paper - ink) > 150
    assert (paper < ink) == (scheme == "dark")


def test_a_phone_need_not_scroll_sideways(open_page: Open) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, device_scale_factor=2, is_mobile=True, has_touch=True)
    for part in ("training", "calibration", "settings", "glossary"):
        page.evaluate(f"document.getElementById('{part}').open = true")
    page.evaluate("for (const part of document.querySelectorAll('#scores details')) part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#cards button").first.click()
    assert page.evaluate("document.getElementById('large').scrollWidth") <= 360


def test_five_hundred_pictures_stay_quick(open_page: Open, case: Case, tmp_path: Path) -> None:
    text = case.page.read_text(encoding="utf-8")
    data = dict(page_data(case.page))
    data["cards"] = [
        {**card, "name": f"{number} {card['name']}"} for number, card in enumerate(data["cards"] * 84) if number < 500
    ]
    start, rest = text.split('id="data">')
    page_file = tmp_path / "many.html"
    content = json.dumps(data).replace("<", "\\u003c")
    page_file.write_text(f'{start}id="data">{content}</script>{rest.split("</script>", 1)[1]}', encoding="utf-8")
    page = open_page(page_file)
    assert len(names(page)) == 500
    assert 0 < page.evaluate(DRAWN) < 60  # those near the window
    milliseconds = page.evaluate(
        """async () => {
          const slider = document.getElementById('threshold'), started = performance.now();
          for (let level = 0; level < 10; level++) {
            slider.value = level;
            slider.dispatchEvent(new Event('input'));
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
          }
          return (performance.now() - started) / 10;
        }"""
    )
    assert milliseconds < 3000, milliseconds  # two frames are 33; the bound is for a machine with much else to do
    for fraction in (0.25, 0.5, 0.75, 1):
        page.evaluate(f"scrollTo({{top: {fraction} * document.body.scrollHeight, behavior: 'instant'}})")
        page.wait_for_timeout(150)
    wait(page, "document.querySelector('#cards li:last-child canvas').width > 1")
    assert page.evaluate(DRAWN) < 60  # those that were passed hold no memory


def pixels(page: Page) -> NDArray[np.uint8]:
    import cv2

    shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert shot is not None
    return np.asarray(shot, np.uint8)


def test_every_card_is_drawn_when_it_comes_into_view(open_page: Open, case: Case) -> None:
    page = open_page(viewport={"width": 400, "height": 500})
    for place in range(len(NAMES)):
        page.locator("#cards li").nth(place).scroll_into_view_if_needed()
        wait(page, f"document.querySelectorAll('#cards canvas')[{place}].width > 1")
    assert pixels(page).std() > 10
