"""One HTML page of what has been validated, submitted and scored, readable anywhere: pictures are inside it."""

import base64
from dataclasses import dataclass

import pandas as pd
from jinja2 import Environment

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>numerai_assets report</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
 h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ddd; }
 table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
 th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #eee; }
 th:first-child, td:first-child { text-align: left; } img { max-width: 100%; } p.note { color: #666; }
</style></head><body>
<h1>numerai_assets</h1><p class="note">{{ heading }}</p>
{% for section in sections %}<h2>{{ section.title }}</h2>
{% if section.note %}<p class="note">{{ section.note }}</p>{% endif %}
{% if section.png %}<img alt="{{ section.title }}" src="data:image/png;base64,{{ section.png | b64 }}">{% endif %}
{% if section.rows %}<table><tr>{% for c in section.columns %}<th>{{ c }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
{% endfor %}</body></html>
"""


@dataclass(frozen=True)
class Section:
    """One part of the page: a table, a picture, or both."""

    title: str
    table: pd.DataFrame
    note: str = ""
    png: bytes | None = None

    @property
    def columns(self) -> list[str]:
        return [str(name) for name in self.table.columns]

    @property
    def rows(self) -> list[list[str]]:
        return [[_cell(value) for value in row] for row in self.table.itertuples(index=False)]


def html_report(heading: str, sections: list[Section]) -> str:
    """The page as one string; everything shown is escaped."""
    environment = Environment(autoescape=True)
    environment.filters["b64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment.from_string(_PAGE).render(heading=heading, sections=sections)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4f}"
    return str(value)
