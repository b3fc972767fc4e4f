"""`specdl init`: a folder to begin with."""

from __future__ import annotations

import re
from pathlib import Path

import click

from specdl.templates import template, template_names

_NAME = re.compile(r"[A-Za-z][\w.-]*")
"""A model's name that is also a word in YAML and in a shell."""


class _Templates(click.Command):
    """Says in the help what each template is."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Templates"):
            formatter.write_dl([(name, template(name).partition("\n")[0].lstrip("# ")) for name in template_names()])


@click.command("init", cls=_Templates)
@click.argument("folder", metavar="NAME", type=click.Path(path_type=Path))
@click.option("--template", "chosen", type=click.Choice(template_names()), default="cnn", help="What to start from.")
def command(folder: Path, chosen: str) -> None:
    """Make a folder NAME with a commented spec that trains, its schema for editors, and the next commands.

    Example: specdl init digits --template resnet
    """
    from specdl.files import write_text
    from specdl.source import resolve_scalar
    from specdl.templates import project_files

    name = folder.resolve().name
    if not _NAME.fullmatch(name) or not isinstance(resolve_scalar(name), str):
        raise click.UsageError(f"'{name}' is not a name for a model; begin with a letter, then letters, digits, - _ .")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise click.UsageError(f"'{folder}' exists and isn't an empty folder; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in project_files(chosen, name).items():
        write_text(folder / file, text)
        click.echo(f"wrote {folder / file}")
    click.echo(f"next: cd {folder} && specdl train spec.yaml")
