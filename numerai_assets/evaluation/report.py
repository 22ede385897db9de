"""One self-contained HTML page of tables and figures, with the library that draws them.

The page loads nothing: its own content policy forbids every request. It has about 5 MB, of which 4.8 are plotly.js, included
once; the package ships no smaller bundle. Without scripts the tables and texts remain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from numerai_assets.evaluation import look

NOTHING_YET = "Nothing yet."

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<style>
 :root { color-scheme: light dark; --page: #fff; --ink: {{ look.INK }}; --soft: {{ look.SOFT }};
  --line: {{ look.LINE }}; --grid: {{ look.GRID }}; }
 @media (prefers-color-scheme: dark) {
  :root { --page: #16191d; --ink: #dfe3e8; --soft: #9aa4af; --line: #39414a; --grid: #2b3138; } }
 body { font: 15px/1.5 {{ look.FONT }}; margin: 0; background: var(--page); color: var(--ink); }
 main, header { max-width: 64rem; margin: 0 auto; padding: 0 1.2rem; }
 h1 { font-size: 1.5rem; margin: 2rem 0 0; }
 h2 { font-size: 1.2rem; margin-top: 2.6rem; border-bottom: 1px solid var(--line); }
 h3 { font-size: 1rem; margin: 1.4rem 0 .2rem; }
 a { color: inherit; } p.note, p.missing { color: var(--soft); margin: .3rem 0 .6rem; }
 nav ul { list-style: none; padding: 0; margin: 1rem 0; columns: 16rem; } nav li { margin: .1rem 0; }
 nav .missing { color: var(--soft); } .scrolls { overflow-x: auto; }
 table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; margin: .4rem 0; }
 th, td { padding: .2rem .65rem; border-bottom: 1px solid var(--grid); text-align: right; vertical-align: top; }
 th { color: var(--soft); font-weight: 600; white-space: nowrap; } th.text, td.text { text-align: left; }
 td.text { overflow-wrap: break-word; min-width: 6rem; }
 footer { color: var(--soft); max-width: 64rem; margin: 3rem auto; padding: 0 1.2rem; }
 @media print { nav { display: none; } }
</style></head><body>
<header><h1>{{ title }}</h1><p class="note">{{ heading }}</p>
<nav><ul>{% for section in sections %}<li><a href="#s{{ loop.index }}">{{ section.title }}</a>
{%- if not section.shown %} <span class="missing">(nothing yet)</span>{% endif %}</li>{% endfor %}</ul></nav></header>
<main>{% set count = namespace(figures=0) %}
{% for section in sections %}<section id="s{{ loop.index }}"><h2>{{ section.title }}</h2>
{% if section.note %}<p class="note">{{ section.note }}</p>{% endif %}
{% if not section.shown %}<p class="missing">{{ nothing }} {{ section.missing }}</p>{% endif %}
{% for item in section.shown %}{% if item.caption %}<h3>{{ item.caption }}</h3>{% endif %}
{% if item.figure %}{% set count.figures = count.figures + 1 %}<div class="figure" id="f{{ count.figures }}"></div>
<script type="application/json" id="f{{ count.figures }}-data">{{ item.figure }}</script>
{% else %}<div class="scrolls"><table><thead><tr>
{%- for name, kind in item.columns %}<th class="{{ kind }}">{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in item.rows %}<tr>{% for cell, kind in row %}<td class="{{ kind }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}
{% endfor %}</section>
{% endfor %}</main>
<footer>This page is self-contained: it loads nothing and sends nothing.</footer>
{% if count.figures %}<noscript><p class="missing">The figures need JavaScript.</p></noscript>
<script>{{ plotly }}</script>
<script>
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue(name).trim();
  for (const place of document.querySelectorAll("div.figure")) {
    const spec = JSON.parse(document.getElementById(place.id + "-data").textContent);
    spec.layout.font = {color: colour("--ink"), family: "{{ look.FONT }}", size: {{ look.FONT_SIZE }}};
    for (const name of Object.keys(spec.layout).filter(name => /^[xy]axis/.test(name)))
      spec.layout[name] = {gridcolor: colour("--grid"), zerolinecolor: colour("--line"), ...spec.layout[name]};
    Plotly.react(place, spec.data, spec.layout, {responsive: true, displaylogo: false});
  }
}
draw();
dark.addEventListener("change", draw);
</script>{% endif %}
</body></html>
"""


@dataclass(frozen=True)
class Shown:
    """One figure or one table, under a caption."""

    content: "go.Figure | pd.DataFrame"
    caption: str = ""

    @property
    def figure(self) -> Markup | None:
        """The figure as JSON that cannot end its script element; None for a table."""
        if isinstance(self.content, pd.DataFrame):
            return None
        return Markup(self.content.to_json().replace("<", "\\u003c"))

    @property
    def columns(self) -> list[tuple[str, str]]:
        return [(str(name), _kind(self.content[name])) for name in self.content.columns]

    @property
    def rows(self) -> list[list[tuple[str, str]]]:
        kinds = [kind for _, kind in self.columns]
        return [
            [(_cell(value), kind) for value, kind in zip(row, kinds, strict=True)]
            for row in self.content.itertuples(index=False)
        ]


@dataclass(frozen=True)
class Section:
    """One part of the page. missing: what to do before there is something to show."""

    title: str
    shown: Sequence[Shown] = ()
    note: str = ""
    missing: str = ""


def html_report(heading: str, sections: Sequence[Section], *, title: str = "numerai_assets report") -> str:
    """The page as one string; everything shown is escaped. The caller leaves out tables without rows."""
    page = Environment(autoescape=True).from_string(_PAGE)
    return page.render(
        title=title, heading=heading, sections=sections, plotly=Markup(get_plotlyjs()), nothing=NOTHING_YET, look=look
    )


def _kind(column: pd.Series) -> str:
    return "number" if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) else "text"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4f}"
    return "" if value is None else str(value)
