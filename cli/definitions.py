"""A definition as people write it, YAML, read into what JSON can carry: a date, a code stays the text that stands there."""

import json
import re
from pathlib import Path

import yaml

from cli.errors import CliError, fail

_DEFINITION = "A definition: id: vip, name: VIP, rule: {view: aggregates.orders.count, gte: 3}"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_BOOLEAN = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """No dates, and of the words for a truth value only `true` and `false` (YAML 1.2): NO is a country, `on` a word."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own attribute, replaced and not shared
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_TIMESTAMP, _BOOLEAN)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_definition(file: Path) -> object:
    """What the file says. Raises CliError, in a line, for what isn't YAML or what JSON has no word for."""
    try:
        content: object = yaml.load(file.read_text(encoding="utf-8-sig"), _Loader)  # noqa: S506 - a SafeLoader
        json.dumps(content, allow_nan=False)
    except UnicodeDecodeError:
        fail(f"{file} isn't UTF-8 text.", hint="Store it as UTF-8.")
    except yaml.YAMLError as error:
        fail(f"{file} isn't YAML: {describe_mistake(error)}.", hint=_DEFINITION)
    except RecursionError:
        fail(f"{file} is nested too deeply.", hint=_DEFINITION)
    except (TypeError, ValueError) as error:
        raise CliError(f"{file} holds something that JSON can't carry: {error}.", hint=_DEFINITION) from error
    return content


def describe_mistake(error: yaml.YAMLError) -> str:
    """What and where, without the excerpt over several lines."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())
