"""`specdl generate`: a trained language model goes on with a text, or answers one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specdl.cli.common import import_root_option, json_option, load_model, load_run, print_json, show_diagnostics
from specdl.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from specdl.training.generate import Generation, Generator, Options


@click.command("generate")
@click.argument("source", metavar="RUN_OR_SPEC")
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    help="The text to go on with, or to answer; `-` reads it from standard input. May be given several times.",
)
@click.option("--max-tokens", type=click.IntRange(min=1), default=200, show_default=True, help="Stop after so many.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    help="Divides the scores: below 1 surer, 0 always the likeliest token. 0.8, of an encoder with a decoder 0.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Draw among so many of the likeliest tokens.")
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="Draw among those that have this share together.",
)
@click.option("--beam", type=click.IntRange(min=1), help="Search for the likeliest text with so many beams.")
@click.option("--stop", multiple=True, metavar="TEXT", help="End before this text. May be given several times.")
@click.option("--seed", type=click.IntRange(min=0), help="Draw the same tokens again; others each time unless given.")
@click.option("--no-cache", is_flag=True, help="Work out the whole text again for each token.")
@click.option("--variant", metavar="NAME", help="Use this variant of the spec.")
@import_root_option
@json_option
def command(
    source: str,
    prompts: tuple[str, ...],
    max_tokens: int,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    beam: int | None,
    stop: tuple[str, ...],
    seed: int | None,
    no_cache: bool,
    variant: str | None,
    as_json: bool,
) -> None:
    """Let a run, or a spec whose weights are its own, write: it goes on with each --prompt, or answers it.

    The text appears as it is written. How many tokens there were, how fast, and the seed are told on standard error.

    Example: specdl generate runs/char-gpt/latest --prompt "ROMEO:" --max-tokens 300
    """
    if beam is not None and (temperature, top_k, top_p, seed) != (None, None, None, None):
        raise click.UsageError("--beam searches for the likeliest text; nothing is drawn, so leave the others out")
    if temperature == 0 and (top_k is not None or top_p is not None):
        raise click.UsageError("at --temperature 0 nothing is drawn, so leave --top-k and --top-p out")
    generator = _generator(source, variant, cache=not no_cache)
    from specdl.training.generate import Options

    if generator.obstacle is not None:
        found = generator.obstacle
        message = "each token is worked out from the beginning, and the longer the text the slower"
        told = Diagnostic("W0030", message, found.span, found.message, help=found.help, severity="warning")
        show_diagnostics(SpecError([told]))
    options = Options(max_tokens, temperature, top_k, top_p, beam, tuple(map(_unescaped, stop)), seed)
    texts = [sys.stdin.read() if prompt == "-" else prompt for prompt in prompts or ("",)]
    rows = []
    for at, prompt in enumerate(texts):
        if at and not as_json and not generator.answers:
            click.echo()
        made = generator(prompt, options) if as_json else _write(generator, prompt, options, named=len(texts) > 1)
        rows.append(
            {
                "prompt": prompt,
                "text": made.text,
                "tokens": made.tokens,
                "ended": made.ended,
                **({} if made.seed is None else {"seed": made.seed}),
                **({} if made.score is None else {"score": made.score}),
            }
        )
    if as_json:
        print_json({"run": source, "texts": rows})


def _write(generator: Generator, prompt: str, options: Options, *, named: bool) -> Generation:
    """Writes one text as it comes. What is answered stands before the answer where there are several (`named`)."""
    made = generator.stream(prompt, options)
    begin = prompt if not generator.answers else f"{prompt.strip()} → " if named else ""
    click.echo(begin, nl=False)
    for part in made:
        click.echo(part, nl=False)
        sys.stdout.flush()
    click.echo()
    speed = len(made.tokens) / made.seconds if made.seconds else 0.0
    words = [f"{len(made.tokens)} tokens", f"{speed:.0f} a second"]
    words += [] if made.seed is None else [f"seed {made.seed}"]
    words += [] if made.score is None else [f"score {made.score:.4f}"]
    click.echo(f"[{', '.join(words)}]", err=True)
    return made


def _unescaped(text: str) -> str:
    r"""A text to stop at, in which `\n` and `\t` are a new line and a tab."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _generator(source: str, variant: str | None, *, cache: bool) -> Generator:
    path = Path(source)
    if path.suffix == ".onnx":
        message = f"`{source}` is an ONNX file: `generate` wants the run or the spec that it came from"
        raise SpecError([Diagnostic("E0605", message, help="name the folder that `specdl train` made")])
    if path.suffix in {".yaml", ".yml"} or source.startswith("zoo:"):
        model = load_model(source, variant, ())
        if model.spec.data.get("weights") is None:
            message = f"`{source}` is not the folder of a run, and its spec has no `weights`"
            raise SpecError([Diagnostic("E0605", message, help="name a folder that `specdl train` made")])
        from specdl.training.generate import of_spec

        return of_spec(model, model.module(), cache=cache)
    if variant is not None:
        raise click.UsageError("--variant is for specs; a run has its own parameters")
    model = load_run(path)
    from specdl.training.generate import of_run

    return of_run(model, path, cache=cache)
