"""Liquid templates, the marketers' own language: checked when saved, rendered with limits so that none can run away."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liquid import Environment
from liquid.exceptions import LiquidError, TemplateNotFoundError, UnknownFilterError


class _BoundedEnvironment(Environment):
    context_depth_limit = 20
    loop_iteration_limit = 10_000
    output_stream_limit = 512_000


_TEXT = _BoundedEnvironment(autoescape=False)
_HTML = _BoundedEnvironment(autoescape=True)


@dataclass(frozen=True, slots=True)
class Template:
    """`subject` and `text` are plain; `html` is optional and escapes what it inserts."""

    id: str
    name: str
    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str | None


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """`field` is the part of the template (`subject`, `text`, `html`) that cannot be parsed or rendered, and why."""

    field: str
    detail: str


def find_fault(template: Template) -> TemplateFault | None:
    """The first field that isn't valid Liquid, or names a filter or a template that there isn't.

    Names are known only when a template is filled. Whatever else goes wrong with nothing filled in may go well with a profile.
    """
    for field, environment, source in _parts(template):
        try:
            parsed = environment.from_string(source)
        except LiquidError as error:
            return TemplateFault(field, str(error))
        try:
            parsed.render()
        except (UnknownFilterError, TemplateNotFoundError) as error:
            return TemplateFault(field, str(error))
        except LiquidError:
            continue
    return None


def render(template: Template, data: Mapping[str, Any]) -> Rendered | TemplateFault:
    """Fill a template. Unknown names are empty, as Liquid has it; a subject never spans lines (header injection)."""
    done: dict[str, str] = {}
    for field, environment, source in _parts(template):
        try:
            done[field] = environment.from_string(source).render(**data)
        except LiquidError as error:
            return TemplateFault(field, str(error))
    return Rendered(subject=" ".join(done["subject"].split()), text=done["text"], html=done.get("html"))


def _parts(template: Template) -> list[tuple[str, Environment, str]]:
    parts: list[tuple[str, Environment, str]] = [("subject", _TEXT, template.subject), ("text", _TEXT, template.text)]
    if template.html is not None:
        parts.append(("html", _HTML, template.html))
    return parts
