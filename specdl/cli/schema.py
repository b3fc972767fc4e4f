"""`specdl schema`: the language as a JSON Schema, for editors."""

from __future__ import annotations

import click


@click.command("schema")
@click.option("-o", "--output", metavar="FILE", help="Where to write; stdout unless given.")
def command(output: str | None) -> None:
    """Write the JSON Schema of the language, with which an editor completes, explains and checks specs.

    A spec whose first line is `# yaml-language-server: $schema=FILE` uses it.

    Example: specdl schema -o specdl.schema.json
    """
    from specdl.files import write_text
    from specdl.spec.schema import schema_text

    if output is None:
        click.echo(schema_text(), nl=False)
    else:
        write_text(output, schema_text())
        click.echo(f"wrote {output}")
