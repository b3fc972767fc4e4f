"""`specdl vectors`: the words near a word, and a file of all vectors."""

from __future__ import annotations

from pathlib import Path

import click

from specdl.cli.common import allow_python_option, json_option, load_run, print_json


@click.command("vectors")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--top", type=click.IntRange(min=1), default=8, help="How many neighbours to name.")
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="LAYER",
    help="The layer whose vectors are meant, the first embedding of tokens unless given; several are added up.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write all vectors in word2vec's format."
)
@allow_python_option
@json_option
def command(
    run: Path, words: tuple[str, ...], top: int, tables: tuple[str, ...], output: Path | None, as_json: bool
) -> None:
    """Name the words whose vectors are nearest to those of each WORD, by the cosine of the angle between them.

    A vector is a row of an embedding that RUN learned. The file of all vectors is text that gensim and others read.

    Example: specdl vectors runs/word2vec/latest monday france
    """
    if not words and output is None:
        raise click.UsageError("name a WORD, or a file for all vectors with --output")
    model = load_run(run)
    from specdl.training.word_vectors import word_vectors

    vectors = word_vectors(model, run, tables)
    found = {word: vectors.neighbours(word, top) for word in words}
    if output is not None:
        vectors.save(output)
    if as_json:
        neighbours = {
            word: [{"word": item.word, "cosine": item.cosine} for item in items] for word, items in found.items()
        }
        print_json({"run": str(run), "neighbours": neighbours, "file": None if output is None else str(output)})
        return
    for word, items in found.items():
        click.echo(f"{word}: {', '.join(f'{item.word} {item.cosine:.2f}' for item in items)}")
    if output is not None:
        click.echo(f"{output}")
