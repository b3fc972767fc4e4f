"""The command line: one file a command, loaded when it is called, so that `specdl --help` answers at once."""

from __future__ import annotations

import codecs
import contextlib
import errno
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any

import click

import specdl

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: dict[str, str] = {
    "init": "Begin a project from a template.",
    "check": "Check specs and tell every mistake in them.",
    "explain": "Explain the code of an error, or a word of the language.",
    "fmt": "Format specs in place, comments kept.",
    "show": "Print a spec as one file, or its typed IR.",
    "diff": "Compare two architectures layer by layer.",
    "summary": "Show layers, shapes, parameters and FLOPs.",
    "diagram": "Draw the model as SVG, PNG or DOT.",
    "eject": "Write the model as readable PyTorch source.",
    "data": "Look at a spec's data before training.",
    "train": "Train a spec.",
    "eval": "Measure a trained run.",
    "predict": "Run a trained model on files.",
    "generate": "Let a trained language model write.",
    "vectors": "Name the words near a word, by the vectors that a run learned.",
    "export": "Write verified ONNX.",
    "weights": "Compare a file of weights with a network, before loading.",
    "zoo": "List, show and copy the specs that come with specdl.",
    "completion": "Print the script by which a shell completes specdl.",
    "schema": "Write the JSON Schema of the language, for editors.",
}
"""Commands and their one-line help; the module `specdl.cli.<name>` holds a command `command`."""


class _Commands(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"specdl.cli.{cmd_name}").command
        command.short_help = COMMANDS[cmd_name]
        if ctx.resilient_parsing:  # a shell asks for completions
            from specdl.cli.completing import add_completers

            add_completers(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The names of the commands, none of them imported."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return found or [item for item in super().shell_complete(ctx, incomplete) if item.value.startswith("-")]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; an output that can't be written is told apart from what click makes of it."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:
                return _unwritable(error)
            from specdl.diagnostics import EnvironmentFailure

            where = "" if error.filename is None else f" `{error.filename}`"
            raise EnvironmentFailure(f"reading or writing{where} failed: {error.strerror or error}") from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from specdl.diagnostics import did_you_mean

            close = did_you_mean(args[0], COMMANDS)
            ctx.fail(f"no such command '{args[0]}'" + (f"; {close}" if close else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(specdl.__version__, prog_name="specdl")
def group() -> None:
    """Write a neural network as YAML; train it, eject its PyTorch source, export ONNX, draw it.

    Example: specdl train specs/digits_cnn.yaml train.epochs=5
    """


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits.

    0 done; 1 the spec is wrong; 2 usage; 3 training failed; 4 the environment failed; 130 interrupted; 141 nobody
    reads the output any more.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="specdl")
    code = _run(arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            code = _unwritable(error, told=code == 4)  # what was buffered fails a second time
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    try:
        return _answer(arguments)
    except OSError as error:  # the help, or a message about a failure, couldn't be written
        return _unwritable(error)


def _answer(arguments: list[str] | None) -> int:
    from specdl.diagnostics import EnvironmentFailure, SpecError

    try:
        result: Any = group.main(args=arguments, prog_name="specdl", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SpecError as error:
        from specdl.cli.common import show_diagnostics

        show_diagnostics(error)
        return 1
    except EnvironmentFailure as error:
        click.echo(f"error: {error}", err=True)
        return 4
    except MemoryError:
        click.echo("error: memory ran out", err=True)
        return 4
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    return result if isinstance(result, int) else 0


def _unwritable(error: OSError, *, told: bool = False) -> int:
    """The exit code after an output could not be written, once that was said and the buffers lead nowhere."""
    if error.errno != errno.EPIPE and not told:
        with contextlib.suppress(OSError):
            click.echo(f"error: can't write the output: {error.strerror}", err=True)
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)
    return 128 + 13 if error.errno == errno.EPIPE else 4


_PLAIN = {"─": "-", "│": "|", "├": "|", "└": "`", "·": "|", "→": "->", "×": "x", "●": "*", "…": "..."}


def _spell(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a terminal's encoding lacks: a plain one that looks like it, else `?`."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


codecs.register_error("specdl", _spell)
