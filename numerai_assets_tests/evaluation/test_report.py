"""The page: whole in itself, and everything in it is text, never markup of a name."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from numerai_assets.evaluation import breakdowns, figures
from numerai_assets.evaluation.report import NOTHING_YET, Section, Shown, html_report
from numerai_assets_tests.browser import CHROMIUM, new_page
from numerai_assets_tests.evaluation.synthetic_scores import synthetic_scores

EVIL = '<script>alert("x")</script>'


class Tags(HTMLParser):
    """Tags of a page and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def full_page() -> str:
    """A page with every kind of figure, a table and a section without data, of methods with names to be escaped."""
    scores = {"benchmark": synthetic_scores(), EVIL: synthetic_scores(seed=1)}
    exposures = pd.DataFrame({"wisdom": [0.1, 0.2], "faith": [0.3, 0.1]}, index=[900, 901])
    live = pd.DataFrame({"corr60": [0.01, 0.5], "mmc60": [0.0, 0.02]}, index=[1300, 1301])
    slices = pd.DataFrame({EVIL: [0.4, 0.6]}, index=[1, 2])
    shown = [
        Shown(figures.cumulative(scores), "Cumulative scores"),
        Shown(figures.drawdowns(scores), "Drawdowns"),
        Shown(figures.heat_map(breakdowns.score_correlations(scores), greatest=1), "Correlations"),
        Shown(figures.calibration_curves(slices), "Slices"),
        Shown(figures.heat_map(exposures.T, is_signed=False), "Exposures"),
        Shown(figures.tracking(live, scores["benchmark"]), "Live"),
        Shown(figures.drift({"round 1": 0.2}, 0.1), "Drift"),
    ]
    methods = Shown(breakdowns.compared_methods(scores), "Methods")
    return html_report("sandbox", [Section("All", [methods, *shown]), Section("Live", missing="Wait for a round.")])


def test_what_is_shown_is_escaped_wherever_it_comes_from() -> None:
    table = pd.DataFrame({EVIL: [EVIL], "b": ["a & b"]})

    page = Tags(html_report(EVIL, [Section(EVIL, [Shown(table, EVIL)], EVIL), Section("b", missing=EVIL)]))

    assert page.named("script") == []
    assert sum(text.count(EVIL) for text in page.text) == 8
    assert "a & b" in page.text


def test_a_figure_is_data_that_no_name_in_it_can_end() -> None:
    figure = figures.drawdowns({EVIL: synthetic_scores()})
    figure.update_layout(title=EVIL)

    text = html_report("h", [Section("s", [Shown(figure)])])

    data = text.split('id="f1-data">')[1].split("</script>")[0]
    assert json.loads(data)["layout"]["title"]["text"] == EVIL
    assert EVIL not in text


def test_the_page_names_no_resource_but_itself_and_forbids_requests() -> None:
    page = Tags(full_page())

    assert not [a for _, a in page.tags if "src" in a]
    assert page.named("link") == []
    assert all(str(a["href"]).startswith("#s") for a in page.named("a"))
    (policy,) = [a for a in page.named("meta") if a.get("http-equiv")]
    assert str(policy["content"]).startswith("default-src 'none';")
    assert "http" not in str(policy["content"])


def test_what_draws_the_figures_is_in_the_page_once_and_only_with_figures() -> None:
    without = html_report("h", [Section("s", [Shown(pd.DataFrame({"a": [1]}))])])
    many = full_page()

    assert len(without) < 10_000
    assert len(html_report("h", [Section("s", [Shown(figures.drift({}, 0.1))])])) < len(many) < 6_000_000
    assert many.count("<noscript>") == 1


def test_a_table_has_its_columns_and_rows_with_four_digits_and_blanks_for_nan() -> None:
    table = pd.DataFrame({"score": ["corr60", "mmc60"], "mean": [0.0123456, float("nan")], "eras": [12, 3]})

    page = Tags(html_report("h", [Section("s", [Shown(table)])]))

    assert len(page.named("tr")) == 3
    assert [a["class"] for a in page.named("th")] == ["text", "number", "number"]
    assert len(page.named("td")) == 6
    shown = [t for t in page.text if t.strip()]
    start = shown.index("score")
    assert shown[start : start + 8] == ["score", "mean", "eras", "corr60", "0.0123", "12", "mmc60", "3"]


def test_a_section_without_data_says_what_it_waits_for_and_so_does_the_table_of_contents() -> None:
    page = Tags(html_report("h", [Section("Live", missing="no round was scored")]))

    assert page.named("table") == page.named("div") == []
    assert f"{NOTHING_YET} no round was scored" in page.text
    assert "(nothing yet)" in page.text


def test_sections_stand_in_their_order_and_the_table_of_contents_leads_to_each() -> None:
    page = Tags(html_report("h", [Section(title) for title in ("one", "two")]))

    assert [text for text in page.text if text in ("one", "two")] == ["one", "two", "one", "two"]
    assert [a["id"] for a in page.named("section")] == [str(a["href"])[1:] for a in page.named("a")]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_every_figure_without_an_error_or_a_request(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(full_page(), encoding="utf-8")
    said: list[str] = []
    asked: list[str] = []
    with new_page(1100, 900, color_scheme=scheme) as page:
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.locator("#f7 .main-svg").first.wait_for()
        drawn = [page.locator(f"#f{number} .main-svg").count() > 0 for number in range(1, 8)]
        legend = page.locator("#f1 .legendtext").all_text_contents()
        ink = page.locator("#f2 .ytick text").first.evaluate("node => getComputedStyle(node).fill")
    assert said == []
    assert asked == [path.as_uri()]
    assert drawn == [True] * 7
    assert "benchmark" in legend
    assert ink == {"light": "rgb(36, 41, 47)", "dark": "rgb(223, 227, 232)"}[scheme]
