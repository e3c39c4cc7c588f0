"""The page as a reader uses it, in a headless Chromium from a disk, without a network."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium, or set CHROMIUM"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, site: Path) -> Iterator[Any]:
    """The open page; whatever it complains of, or asks of a network, is an error."""
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url))
    opened.goto((site / "index.html").as_uri())
    yield opened
    context.close()
    assert not complaints


def column(page: Any, target: str) -> list[float]:
    return [
        float(text.split("\n")[0])
        for text in page.locator(f'#table1 td button[data-target="{target}"]').all_inner_texts()
    ]


def test_loads_in_two_seconds_with_all_cells(chromium: Any, site: Path):
    context = chromium.new_context(offline=True)
    opened = context.new_page()
    opened.goto((site / "index.html").as_uri(), wait_until="load")
    # From the request to the load event, as the browser itself measures it.
    taken = opened.evaluate("performance.getEntriesByType('navigation')[0].loadEventStart")
    assert 0 < taken < 2000
    assert opened.locator("#table1 td button").count() == 9 * 24
    assert "Ours" in opened.locator("#strict-table tbody").text_content()
    scaled = opened.locator("section[aria-labelledby=scaled] tbody").inner_text()
    assert "Ours, paired" in scaled and "(–)" in scaled, "here nothing lies between the two rows that bound it"
    context.close()


def test_the_table_sorts_both_ways_and_back(page: Any):
    before = column(page, "mm/ct")
    assert before != sorted(before)
    header = page.locator('#table1 button[data-column="mm/ct"]')
    header.click()
    assert column(page, "mm/ct") == sorted(before, reverse=True)
    assert page.locator('th[aria-sort="descending"]').count() == 1
    header.click()
    assert column(page, "mm/ct") == sorted(before)
    page.locator('#table1 button[data-column="order"]').click()
    assert column(page, "mm/ct") == before
    assert "Sorted by the order of the paper" in page.locator("#status").inner_text()


def test_a_sorted_table_stays_sorted_when_another_figure_is_chosen(page: Any):
    page.select_option("#metric", "hd95_mm")
    page.locator('#table1 button[data-column="ms/ge"]').click()
    assert column(page, "ms/ge") == sorted(column(page, "ms/ge")), "lower is better, and comes first"
    page.select_option("#metric", "volume_error")
    assert column(page, "ms/ge") == sorted(column(page, "ms/ge"))
    assert "volume error" in page.locator("#caption").inner_text()


def test_a_cell_that_is_closed_before_its_slices_come_shows_none_of_them(page: Any):
    """Slices of the first cell arrive while the second one is open."""
    page.evaluate("() => { window.real = document.head.append.bind(document.head); document.head.append = () => {}; }")
    page.locator('#table1 button[data-cell="mm/ct/ours"]').click()
    page.locator("#close").click()
    page.evaluate("() => { document.head.append = window.real; }")
    page.locator('#table1 button[data-cell="mo/octa/ours"]').click()
    page.locator("#slice").wait_for(state="visible")
    page.evaluate("() => fedfactorySlices('mm/ct', [{case: 'other', slices: [{}]}])")
    assert page.locator("#case option").all_inner_texts() == ["case0"]


def test_a_script_that_is_none_of_the_page_does_not_run(chromium: Any, site: Path):
    """The policy of the page: whatever gets into it as text runs nothing, and nothing is asked of a network."""
    context = chromium.new_context()
    opened, said = context.new_page(), []
    opened.on("console", lambda message: said.append(message.text))
    opened.goto((site / "index.html").as_uri())
    opened.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.head.append(script);
          const image = document.createElement("img");
          image.src = "https://elsewhere.invalid/x.png";
          document.body.append(image);
        }"""
    )
    assert opened.evaluate("() => window.ran") is None
    opened.wait_for_timeout(200)
    assert sum("Content Security Policy" in text for text in said) == 2
    context.close()


def test_another_figure_can_be_shown(page: Any):
    dice = column(page, "ms/ge")
    page.select_option("#metric", "hd95_mm")
    distances = column(page, "ms/ge")
    # Made up so that 1 % of Dice is half a millimetre.
    assert distances == pytest.approx([50 - value / 2 for value in dice], abs=0.11)
    best = page.locator('#table1 td.best button[data-target="ms/ge"]').all_inner_texts()
    assert float(best[0].split("\n")[0]) == min(distances)


def test_a_cell_opens_shows_its_subjects_and_closes_by_key(page: Any):
    page.locator('#table1 button[data-cell="mm/ct/ours"]').click()
    dialog = page.locator("dialog#cell")
    assert dialog.is_visible()
    assert page.locator("#cell-title").inner_text() == "MM CT: Ours"
    assert page.locator("#subjects tr").count() == 5
    assert page.locator("#subjects th").first.inner_text() == "subject<0>", "a name is text, never markup"
    assert "results/demo/mm/ct/ours/seed0/scores.csv" in page.locator("#command").inner_text()
    assert "in the paper" in dialog.inner_text()
    assert page.locator("#links a").first.get_attribute("href") == "mm/ct/ours/seed0/cell.json"
    assert page.evaluate("location.hash") == "#mm/ct/ours"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_slider_moves_and_contours_are_switched(page: Any):
    page.locator('#table1 button[data-cell="mm/ct/ours"]').click()
    slider = page.locator("#slice")
    slider.wait_for(state="visible")
    before, number = page.locator("#picture").get_attribute("src"), page.locator("#slice-number").inner_text()
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#slice-number").inner_text() != number
    assert page.locator("#picture").get_attribute("src") != before
    assert page.locator("#viewer path").evaluate_all("list => list.map(p => p.dataset.method)") == ["truth", "ours"]
    page.locator('#legend input[value="ours"]').uncheck()
    page.locator('#legend input[value="nnunet"]').check()
    assert set(page.locator("#viewer path").evaluate_all("list => list.map(p => p.dataset.method)")) == {
        "truth",
        "nnunet",
    }
    # What is drawn lies where the structure is: the outline of the truth is inside the picture.
    box = page.locator("#viewer").bounding_box()
    outline = page.locator('#viewer path[data-method="truth"]').bounding_box()
    assert box["x"] <= outline["x"] and outline["x"] + outline["width"] <= box["x"] + box["width"] + 1
    assert box["width"] > 200


def test_going_back_closes_a_cell_and_forward_opens_it_again(page: Any):
    page.locator('#table1 button[data-cell="mm/ct/ours"]').click()
    page.go_back()
    assert not page.locator("dialog#cell").is_visible() and "#" not in page.url
    page.go_forward()
    assert page.locator("#cell-title").inner_text() == "MM CT: Ours"
    page.locator("#close").click()
    page.wait_for_function("() => !location.hash")
    assert page.locator("#table1").is_visible()


def test_two_cells_of_a_target_beside_each_other(page: Any):
    page.locator('#table1 button[data-cell="mm/ct/ours"]').click()
    page.locator("#slice").wait_for(state="visible")
    assert page.locator("#compared th").all_inner_texts() == ["Ours"]
    page.select_option("#other", "nnunet")
    assert page.locator("#compared th").all_inner_texts() == ["Ours", "nnU-Net"]
    first, second = page.locator("#cell-metrics tr").first.locator("td").all_inner_texts()
    for text, method in ((first, "ours"), (second, "nnunet")):
        shown = page.locator(f'#table1 button[data-cell="mm/ct/{method}"]').text_content()
        assert text.split()[0] == shown[: len(text.split()[0])]
    assert page.locator('#viewer path[data-method="nnunet"]').count(), "its contours, too"


def test_protocol_parts_and_names_choose_what_is_shown(page: Any):
    page.select_option("#protocol", "strict")
    assert page.locator("#strict-table").is_visible() and not page.locator("#table1").is_visible()
    page.select_option("#protocol", "paper")
    rows = page.locator("#table1 tbody tr:visible")
    everything = rows.count()
    page.locator('#sections input[value="Bounds"]').uncheck()
    assert rows.count() == everything - 7
    page.locator("#find").fill("ours octa")
    first, second = rows.locator("th").all_inner_texts()
    assert first.startswith("Ours") and second.startswith("Ours, paired‡")
    assert page.locator("#table1 thead button:visible").all_inner_texts() == ["Method", "OCTA"]
    page.locator("#find").fill("nowhere")
    assert "Nothing has such a name" in page.locator("#status").inner_text()
    page.locator("#find").fill("")
    page.locator('#sections input[value="Bounds"]').check()
    assert rows.count() == everything


def test_every_table_is_saved_as_csv(page: Any):
    with page.expect_download() as saved:
        page.locator("#paper-table button.csv").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    assert saved.value.suggested_filename == "table1.csv"
    assert lines[1].startswith('"Method","G","Siemens"') and len(lines) == 2 + 24
    assert any(line.startswith("\"'+TL") for line in lines), "a spreadsheet takes it for text"
    assert page.locator("main .scroll table").count() == page.locator("button.csv").count()


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_names_of_rows_stay_where_a_table_is_wider_than_the_screen(page: Any, width: int):
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("#paper-table .scroll").evaluate("box => { box.scrollLeft = 10000; }")
    name = page.locator("#table1 tbody th").first.bounding_box()
    last = page.locator("#table1 tbody tr").first.locator("td").last.bounding_box()
    assert name["x"] >= 0 and last["x"] + last["width"] <= width + 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page itself does not scroll sideways"


def test_a_cell_has_an_address(chromium: Any, site: Path):
    opened = chromium.new_context(offline=True).new_page()
    opened.goto((site / "index.html").as_uri() + "#mo/octa/sam")
    assert opened.locator("#cell-title").inner_text() == "MO OCTA: SAM"


def test_everything_is_reached_by_keyboard(page: Any):
    page.locator("#metric").focus()
    names = []
    for _ in range(30):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.dataset.column || document.activeElement.dataset.cell"))
    assert {"order", "mm/ct", "ms/siemens/nnunet"} <= set(names)
    page.locator('#table1 button[data-cell="ms/siemens/nnunet"]').focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog#cell").is_visible()


def test_a_screen_reader_finds_names_for_all(page: Any):
    assert page.locator("button:not([aria-label])").evaluate_all("b => b.every(x => x.textContent.trim())")
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("#table1 thead th:not([scope])").count() == 0
    label = page.locator('#table1 button[data-cell="mm/ct/ours"]').get_attribute("aria-label")
    assert label.startswith("Ours, MM CT: Dice (%) ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(page: Any, scheme: str):
    page.emulate_media(color_scheme=scheme)
    ink, paper = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))

    def luminance(colour: str) -> float:
        values = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(", ")]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dim = sorted((luminance(ink), luminance(paper)), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) > 7, "WCAG AAA"
    assert (luminance(paper) > 0.5) == (scheme == "light")


def test_prints_the_table_without_what_only_a_screen_needs(page: Any):
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".controls").first.is_visible()
    assert page.locator("#table1").is_visible()
    width = page.evaluate("document.getElementById('table1').scrollWidth")
    assert width < 1120, "an A4 page across, at 96 dots an inch"
