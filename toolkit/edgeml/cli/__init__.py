"""The command line. A file a command; the folder is the list. A command parses, calls one function of the API, prints.

Each file has `app`, a `typer.Typer`: with one command of the file's name, or with a callback and subcommands.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from typing import Final, NoReturn

import typer
from typer.core import TyperGroup

from edgeml_targets.contract.errors import EdgemlError

INTERRUPTED: Final = 130
UNKNOWN: Final = ("No such command", "No such option")
UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer carries its own click since 0.26
RESUMING: Final = {"train", "retrain"}
NOT_COMMANDS: Final = {"terminal", "options"}
ORDER: Final = (
    "init doctor data import train compress eval bench bundle flash agent serve fleet retrain lifecycle demo".split()
)


class _InOrder(TyperGroup):
    def list_commands(self, ctx: object) -> list[str]:
        del ctx
        return sorted(self.commands, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))


def build() -> typer.Typer:
    """Return the whole command line, commands in the order of a day's work."""
    app = typer.Typer(
        name="edgeml",
        cls=_InOrder,
        help=__doc_for_people__,
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_main_options)
    found = {m.name.removesuffix("_"): m.name for m in pkgutil.iter_modules(__path__) if m.name not in NOT_COMMANDS}
    for name in sorted(found):
        _add(app, name, importlib.import_module(f"{__name__}.{found[name]}").app)
    return app


def _add(app: typer.Typer, name: str, own: typer.Typer) -> None:
    """Add a file's commands; its single command of the file's own name is called without a second word."""
    commands = own.registered_commands
    if own.registered_callback is None and not own.registered_groups and len(commands) == 1:
        callback = commands[0].callback
        if callback is not None and (commands[0].name or callback.__name__).removesuffix("_") == name:
            app.command(name, cls=commands[0].cls, help=commands[0].help)(callback)
            return
    app.add_typer(own, name=name)


__doc_for_people__: Final = """Make a model small and fast for each device, prove it by measuring, deploy it, watch it, retrain it.

Example: edgeml compress model.onnx --calibration samples.npy --target x86_64-litert --out out
"""


def main() -> NoReturn:
    """Run the command line: 0 done, 1 a gate failed or a budget is not met, 2 bad usage or input, 130 interrupted."""
    debug = "--debug" in sys.argv[1:]
    try:
        status = build()(standalone_mode=False, args=[a for a in sys.argv[1:] if a != "--debug"]) or 0
        if status == INTERRUPTED:  # typer turns Ctrl-C into this status and says nothing
            _say_interrupted()
        sys.exit(status)
    except EdgemlError as error:
        if debug:
            raise
        _say(str(error))
        sys.exit(error.exit_code)
    except UsageError as error:
        if debug:
            raise
        context = getattr(error, "ctx", None)
        if context and type(error).__name__ == "NoArgsIsHelpError":  # nothing was asked for: the help is the answer
            typer.echo(context.get_help(), err=True)
            sys.exit(2)
        said = getattr(error, "format_message", error.__str__)()
        if context and said.startswith(UNKNOWN):  # how it is called says no more of a wrong value than the line itself
            typer.echo(context.get_usage(), err=True)
        _say(said)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        _say_interrupted()
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `edgeml ... | head`: whoever read us has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _print_version(asked: bool) -> None:
    if asked:
        from edgeml import __version__

        typer.echo(f"edgeml {__version__}")
        raise typer.Exit


def _main_options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_print_version, is_eager=True),
) -> None:
    del debug, version  # `main` reads the one wherever it stands on the line, the other was answered


def _say_interrupted() -> None:
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    on = "; the same command goes on with a training after its last whole epoch" if command in RESUMING else ""
    _say(f"interrupted{on}")


def _say(message: str) -> None:
    from edgeml.cli.terminal import say_error

    say_error(" ".join(message.split()))
