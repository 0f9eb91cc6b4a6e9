"""The `rapport` command: one place where everything a person can tell the platform is registered."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import typer

from cli.commands import dead_letters, inspect, keys, lists, platform, schema, segments, send, stock_tools, watch
from cli.errors import run_with_errors

# Each module adds its commands by a function `register(app)`; the order is that of the help page.
BUILT_IN = (platform, inspect, schema, keys, dead_letters, stock_tools, send, watch, segments, lists)
# Larger commands live in packages of their own: command -> module:function. One that isn't there is left out.
PACKAGES = {"demo": "cli.demo.command:demo", "import": "cli.importing.command:import_file"}


def build_app() -> typer.Typer:
    app = typer.Typer(
        name="rapport",
        help="Rapport, the customer data platform: start it, look into it, feed it.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for module in BUILT_IN:
        module.register(app)
    for command, place in PACKAGES.items():
        if (function := find_function(place)) is not None:
            app.command(command)(function)
    return app


def find_function(place: str) -> Callable[..., object] | None:
    module, _, name = place.partition(":")
    package = module.rpartition(".")[0]
    if find_spec(package) is None or find_spec(module) is None:
        return None
    function: Callable[..., object] | None = getattr(import_module(module), name, None)
    return function


app = build_app()


def app_with_errors() -> None:
    """The console script: exit code 1, one line and a hint where something goes wrong."""
    run_with_errors(lambda: app(standalone_mode=False))


if __name__ == "__main__":
    app_with_errors()
