"""The plain page at a service's root: what it is, a few figures, where to go. Server-rendered, no scripts, no personal data."""

from collections.abc import Sequence
from typing import Final

from jinja2 import Environment

_PAGE: Final = Environment(autoescape=True).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  :root { color-scheme: light dark }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2rem }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884 }
  td.figure { text-align: right; font-variant-numeric: tabular-nums } .soft { opacity: .7 }
</style></head><body>
<h1>{{ title }}</h1><p class="soft">{{ about }}</p>
{% for heading, columns, rows in tables %}
<h2>{{ heading }}</h2>
{% if rows %}<table><thead><tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}<tr>
{% for cell in row %}<td{% if cell is number %} class="figure"{% endif %}>{{ cell }}</td>{% endfor %}
</tr>{% endfor %}
</tbody></table>
{% else %}<p class="soft">Nothing yet.</p>{% endif %}
{% endfor %}
<p><a href="/docs">API documentation</a> · <a href="/metrics">metrics</a> · <a href="/readyz">readiness</a></p>
</body></html>
"""
)

Table = tuple[str, Sequence[str], Sequence[Sequence[object]]]
"""Heading, column names, rows; numbers stand to the right."""


def render_page(title: str, about: str, tables: Sequence[Table]) -> str:
    """The page as HTML; everything shown is escaped."""
    return _PAGE.render(title=title, about=about, tables=tables)
