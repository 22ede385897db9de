"""The page: whole in itself, and everything in it is text, never markup of a name."""

import base64
from html.parser import HTMLParser

import pandas as pd

from numerai_assets.evaluation.report import Section, html_report

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


def test_what_is_shown_is_escaped_wherever_it_comes_from() -> None:
    table = pd.DataFrame({EVIL: [EVIL], "b": ["a & b"]})

    page = Tags(html_report(EVIL, [Section(EVIL, table, note=EVIL, png=b"png")]))

    assert page.named("script") == []
    assert page.text.count(EVIL) == 5
    assert page.named("img")[0]["alt"] == EVIL
    assert "a & b" in page.text


def test_the_picture_is_inside_the_page() -> None:
    png = bytes(range(256)) * 3

    page = Tags(html_report("h", [Section("s", pd.DataFrame({"a": [1]}), png=png)]))

    (image,) = page.named("img")
    kind, _, content = str(image["src"]).partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == png
    assert not [a for _, a in page.tags if str(a.get("src", "")).startswith("http") or "href" in a]


def test_a_table_has_its_columns_and_rows_with_four_digits_and_blanks_for_nan() -> None:
    table = pd.DataFrame({"score": ["corr60", "mmc60"], "mean": [0.0123456, float("nan")], "eras": [12, 3]})

    page = Tags(html_report("h", [Section("s", table)]))

    assert len(page.named("tr")) == 3
    assert len(page.named("th")) == 3
    assert len(page.named("td")) == 6
    assert [t for t in page.text if t.strip()][-8:] == ["score", "mean", "eras", "corr60", "0.0123", "12", "mmc60", "3"]


def test_an_empty_table_and_no_picture_leave_the_note() -> None:
    page = Tags(html_report("h", [Section("Nothing yet", pd.DataFrame(), note="no round was scored")]))

    assert page.named("table") == page.named("img") == []
    assert {"Nothing yet", "no round was scored"} <= set(page.text)


def test_sections_stand_in_their_order() -> None:
    page = Tags(html_report("h", [Section(title, pd.DataFrame()) for title in ("one", "two")]))

    assert page.text.index("one") < page.text.index("two")
