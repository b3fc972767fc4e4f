"""The IR becomes PyTorch source that a person could have written; what trains is what is ejected.

A block is a class, a named chain an `nn.Sequential`, a value a variable with a sensible name. Every line
knows its place in the spec, so that a traceback into the source can name the line of YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from specdl.backends.torch_source.classes import Builder, Child, SourceClass, folded, is_stored, sequential
from specdl.backends.torch_source.constructor import fillings, patterns, ties
from specdl.backends.torch_source.forward import Line
from specdl.backends.torch_source.steps import LAYERS, StepSource, emit_sample, emit_step
from specdl.backends.torch_source.support import support_class
from specdl.backends.torch_source.text import lines as call_lines
from specdl.backends.torch_source.text import literal, plain_name
from specdl.diagnostics import Span
from specdl.ir.program import Function, Program

if TYPE_CHECKING:
    from specdl.ops.custom import Custom


@dataclass(frozen=True, slots=True)
class TorchSource:
    """Python text. `model` is the network's class; `places` maps a line's number to its place in the spec.

    `models` are the classes of all networks in the text, by the networks' names.
    """

    text: str
    model: str
    places: dict[int, Span]
    models: Mapping[str, str] = field(default_factory=dict)
    custom: tuple[str, ...] = ()
    folder: Path | None = None
    """The user's own layers in it, and the folder of their files; None where the user hasn't allowed them."""


def emit_torch(program: Program, network: str | None = None) -> TorchSource:
    """The source of a network, or of all: a file that imports only torch and the standard library."""
    names = list(program.networks) if network is None else [network]
    keys = [program.networks[name] for name in names]
    builder = Builder(program, keys)
    writer = _Writer()
    models = {name: builder.classes[key].name for name, key in zip(names, keys, strict=True)}
    listed = ", ".join(f'"{name}"' for name in dict.fromkeys(models.values()))
    main = models[names[0]]
    body = _Writer()
    for name in builder.support:
        body.add("", "", *support_class(name).splitlines())
    written: set[str] = set()
    for source_class in builder.classes.values():
        if source_class.name not in written:
            written.add(source_class.name)
            _write_class(body, builder, source_class)
    code = "\n".join(body.lines)
    writer.add(*_docstring(program, program.functions[keys[0]]), "")
    own = custom_layers(program, keys)
    modules = sorted({name for op in own for name in op.torch_imports()})
    writer.add(*_imports(code))
    if modules:
        writer.add("", *(f"import {name}  # yours: it lies beside this file" for name in modules))
    writer.add("", f"__all__ = [{listed}]")
    offset = len(writer.lines)
    writer.lines.extend(body.lines)
    places = {number + offset: span for number, span in body.places.items()}
    folder = next((op.folder for op in own), None)
    layers = tuple(op.layer for op in own)
    return TorchSource("\n".join(writer.lines) + "\n", main, places, models, layers, folder)


def custom_layers(program: Program, keys: Iterable[str] | None = None) -> list[Custom]:
    """The user's own layers in some functions and what they call; in all unless given."""
    found: list[Custom] = []
    waiting = list(program.functions if keys is None else keys)
    seen: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        for node in program.functions[key].nodes:
            if isinstance(node.callee, str):
                waiting.append(node.callee)
            elif node.callee.operator == "custom":
                found.append(cast("Custom", node.callee))
    return found


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.places: dict[int, Span] = {}

    def add(self, *lines: str, span: Span | None = None) -> None:
        """Appends lines; `span` is their place in the spec."""
        for line in lines:
            self.lines.append(line)
            if span is not None:
                self.places[len(self.lines)] = span


def _write_class(out: _Writer, builder: Builder, made: SourceClass) -> None:
    shape = made.first
    base = {"sequential": "nn.Sequential", "list": "nn.ModuleList", "module": "nn.Module", "dict": "nn.ModuleDict"}
    out.add("", "", f"class {made.name}({base[made.form]}):", span=shape.function.span)
    out.add(f'    """{_signature(shape.function, made)}"""', "")
    parameters = "".join(
        f", {name}={literal(made.defaults[name])}" if name in made.defaults else f", {name}"
        for name, _ in made.parameters
    )
    has_init = bool(shape.children) or bool(made.parameters)
    calls = []
    twins = [{child.name: child for child in other.children} for other in made.shapes]
    for child in shape.children:
        used: set[str] = set()
        if not isinstance(child.call, str):
            # A keyword is written where one of the class's functions writes it.
            for children in twins:
                used.update(children[child.name].call[1])
        calls.append((child, builder.constructor(child, made.expressions, shape, used)))
    if has_init:
        out.add(f"    def __init__(self{parameters}):", span=shape.function.span)
        if made.form in {"sequential", "list"}:
            items = [(child.name, call) for child, call in calls]
            if made.form == "sequential":
                built = sequential("super().__init__", items)
                out.add(*call_lines("", built, 8), span=shape.function.span)
            else:
                out.add(*_list_init([call for _, call in items]), span=shape.function.span)
        else:
            out.add("        super().__init__()")
            for child, call in calls:
                out.add(*_assignment(child, call), span=child.node.span)
        for text, span in [
            *fillings(builder, shape, made.expressions),
            *patterns(builder, shape.function, shape.function.init),
            *ties(builder, shape),
        ]:
            out.add(f"        {text}", span=span)
    if shape.forward is not None:
        if has_init:
            out.add("")
        network = shape.function.kind == "network"
        inputs = [
            f"{name}=None" if network and value.optional else name
            for name, value in zip(shape.forward.inputs, shape.function.inputs, strict=True)
        ]
        out.add(f"    def forward({', '.join(['self', *inputs])}):")
        comments = len(made.shapes) == 1
        guarded = False
        for line in shape.forward.lines:
            if line.training_only and not guarded:
                out.add("        if self.training:", span=line.span)
            guarded = line.training_only
            out.add(_line(line, 12 if guarded else 8, comments), span=line.span)


def _assignment(child: Child, call: object) -> list[str]:
    if plain_name(child.name):
        return call_lines(f"self.{child.name} = ", call, 8)
    if is_stored(child.node):
        return call_lines(f'setattr(self, "{child.name}", ', call, 8, ")")
    return call_lines(f'self["{child.name}"] = ', call, 8)


def _list_init(items: Sequence[object]) -> list[str]:
    out = ["        super().__init__(", "            ["]
    for item in folded(items):
        out.extend(call_lines("", item, 16, ","))
    return [*out, "            ]", "        )"]


def _line(line: Line, indent: int, comments: bool) -> str:
    text = " " * (indent + 4 * line.indent) + line.text
    return f"{text}  # {line.comment}" if comments and line.comment and len(text) < 90 else text


def _signature(function: Function, made: SourceClass) -> str:
    """`image [N, 3, 224, 224] -> logits [N, 10]`, where all functions of the class agree."""
    if len(made.shapes) > 1:
        return f"The block `{function.name}`." if function.kind == "block" else f"The group `{function.name}`."
    inference = len(function.outputs) - function.training_outputs
    inputs = ", ".join(f"{value.name} {value.type}{' or None' if value.optional else ''}" for value in function.inputs)
    outputs = ", ".join(
        f"{name} {type}"
        for name, type in zip(function.output_names[:inference], function.output_types()[:inference], strict=True)
    )
    return (
        f"{inputs} -> {outputs}"
        if function.kind == "network"
        else f"{', '.join(str(value.type) for value in function.inputs)} -> {outputs.split(' ', 1)[1]}"
    )


def _docstring(program: Program, function: Function) -> Iterable[str]:
    file = re.sub(r"[^\w .()+-]", "_", function.span.file.rsplit("/", 1)[-1])  # no quotes in a docstring
    yield f'"""{program.name}, from {file}."""'


def _imports(code: str) -> Iterable[str]:
    yield "from __future__ import annotations"
    yield ""
    standard = [f"import {name}" for name in ("math",) if f"{name}." in code]
    if "OrderedDict(" in code:
        standard.append("from collections import OrderedDict")
    if "fnmatchcase(" in code:
        standard.append("from fnmatch import fnmatchcase")
    if standard:
        yield from standard
        yield ""
    if "torch." in code:
        yield "import torch"
    if "F." in code:
        yield "import torch.nn.functional as F"
    yield "from torch import Tensor, nn" if "Tensor" in code else "from torch import nn"


__all__ = ["LAYERS", "StepSource", "TorchSource", "custom_layers", "emit_sample", "emit_step", "emit_torch"]
