"""What a compiled spec, a run or an ONNX file says of how its network is used, on image files or on texts."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from specdl.analysis.soft_labels import compared, soft_labels
from specdl.data.images import is_image
from specdl.data.inference import FILE, KEY, Inference, Kind, from_json, steps_for
from specdl.data.pipeline import Step
from specdl.data.text_inference import Continuation, TextInference, TextKind, is_text, steps_to
from specdl.data.text_inference import from_json as text_from_json
from specdl.data.transforms.base import Transform, Unchanged
from specdl.data.transforms.denoising import ShiftRight
from specdl.data.transforms.language import MaskTokens, NextToken
from specdl.data.transforms.text import Tokenize
from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.dims import extent
from specdl.ir.types import STRING, TensorType
from specdl.spec.data import Data
from specdl.spec.label import label_field
from specdl.training.examples import open_pipeline, steps_of
from specdl.training.model import Model
from specdl.training.run_folder import write_atomically
from specdl.training.tokenizers import Tokenizers, tokenizer_files, tokenizers_in_files


def inference_of(
    model: Model, classes: Mapping[str, tuple[str, ...]] | None = None, tokenizers: Tokenizers | None = None
) -> Inference | TextInference | None:
    """How the network of a spec is used; None where the spec doesn't say, or its inputs are neither image nor text.

    `classes` are the names that the data has; those that the spec knows unless given. `tokenizers` are those of its
    text; those in files of their own unless given.
    """
    data = None if model.recipe is None else model.recipe.data
    if data is None:
        return None
    if data.vocabularies or any(type.text for type in data.raw.values()):
        return _text_inference(model, data, classes, tokenizers_in_files(data) if tokenizers is None else tokenizers)
    if len(model.required_inputs) != 1:
        return None
    (target,) = model.required_inputs
    steps, sources = steps_for(target, open_pipeline(data).evaluation)
    if len(sources) != 1:
        return None
    (source,) = sources
    if source not in data.raw or not is_image(data.raw[source]):
        return None
    label = label_field(model.input_names, data.fields)
    names = {**{name: found for name in data.raw if (found := data.source.real_classes(name))}, **(classes or {})}
    named = names.get(label) if label is not None else None
    scored = named is not None or label in soft_labels(model.program)
    kind = _kind(data.fields.get(label) if label is not None else None, scored)
    return Inference(target, source, data.raw[source], steps, kind, named)


def _kind(label: TensorType | None, scored: bool) -> Kind:
    """What a network puts out that is compared with such a field; `scored` where that is known to be classes."""
    if label is not None and label.rank > 2:
        return "mask" if label.rank in {3, 4} else "values"
    if scored or label is None or (label.rank == 1 and not label.floating):
        return "classes"
    return "numbers"


def _text_inference(
    model: Model, data: Data, classes: Mapping[str, tuple[str, ...]] | None, tokenizers: Tokenizers
) -> TextInference | None:
    """How a network of texts is used; None where its inputs come from something else too."""
    steps: list[Step] = []
    objectives: list[dict[str, Any]] = []
    makers: dict[str, Transform] = {}
    for entry in data.transforms:
        makers.update(dict.fromkeys(entry.outputs, entry.transform))
        if not entry.when.evaluation:
            continue
        if not entry.transform.objective:
            steps += [_of_text_alone(step, data) for step in steps_of([entry], tokenizers, training=False)]
            continue
        recorded = {"transform": entry.transform.name, "inputs": list(entry.inputs), "outputs": list(entry.outputs)}
        objectives.append({**recorded, "arguments": entry.transform.recorded()})
        if entry.inputs[0] != entry.outputs[0]:
            steps.append(Step(Unchanged(), entry.inputs[:1], entry.outputs[:1]))
    label = label_field(model.input_names, data.fields)
    if label in {entry.outputs[0] for entry in data.transforms if isinstance(entry.transform, Tokenize)}:
        label = None if isinstance(makers[str(label)], Tokenize) else label  # the other text of a pair is no label
    pairs = compared(model.program)
    if label is None:  # of several, the tokens that it learned to say
        said = [field for _, field in pairs if isinstance(makers.get(field), (MaskTokens, NextToken, ShiftRight))]
        label = said[0] if len(said) == 1 else None
    grows = _grows(data, label)
    untold = {
        value.name
        for value in model.program.main.inputs
        if value.optional and not _told(steps_to(_fields([value.name], data), steps)[1], data)
    }
    inputs = [name for name in model.input_names if name in data.fields and name not in untold]
    needed, sources = steps_to(_fields(inputs, data), steps)
    if grows in inputs and not all(name in data.raw for name in sources):  # a decoder's own words come from training
        inputs = [name for name in inputs if name not in (grows, f"{grows}_mask", f"{grows}_length")]
        needed, sources = steps_to(_fields(inputs, data), steps)
    at_hand = {at for at, entry in enumerate(data.transforms) if entry.tokenizer in tokenizers}
    made = {entry.tokenizer for entry in data.transforms if isinstance(entry.transform, Tokenize)}
    if not sources or not _told(sources, data) or not made <= at_hand:
        return None
    files = tokenizer_files(data)
    names = {**{name: found for name in data.raw if (found := data.source.real_classes(name))}, **(classes or {})}
    spoken = data.vocabularies.get(label) if label is not None else None
    kind = _text_kind(data.fields.get(label) if label is not None else None, makers.get(label or ""))
    if kind == "masked_token":
        needed = tuple(_with_masks(step) for step in needed)
    return TextInference(
        inputs=tuple(inputs),
        sources=tuple(name for name in data.raw if name in sources),
        steps=needed,
        kind=kind,
        tokenizers={name: tokenizers[at] for at, name in files.items()},
        output=None if spoken is None else files[spoken],
        classes=names.get(label) if label is not None else None,
        objectives=tuple(objectives),
        split=tuple(name for name in data.raw if name in sources and data.raw[name].rank == 2),
        longest=_bounds(model, [name for name in inputs if name not in data.brought]),
        ragged=data.paddings,
        continues=_continuation(makers.get(label or ""), grows, model.input_names, tokenizers, spoken),
        said=next((name for name, field in pairs if field == label and name != model.output_names[-1]), None),
    )


def _told(sources: Collection[str], data: Data) -> bool:
    """Whether fields are texts of the data, which are all that there is of a text in use."""
    return all(name in data.raw and data.raw[name].text for name in sources)


def _fields(inputs: Collection[str], data: Data) -> list[str]:
    """The fields that inputs are or come with: of `tokens_mask`, `tokens`."""
    return [name.rpartition("_")[0] if name in data.brought else name for name in inputs]


def _grows(data: Data, label: str | None) -> str | None:
    """The field whose next tokens a network learns to say."""
    entry = next((entry for entry in reversed(data.transforms) if label in entry.outputs), None)
    return entry.outputs[0] if entry is not None and isinstance(entry.transform, (NextToken, ShiftRight)) else None


def _continuation(
    maker: Transform | None, grows: str | None, inputs: Collection[str], tokenizers: Tokenizers, spoken: int | None
) -> Continuation | None:
    """How a network writes text that learned from a transform's labels."""
    if grows not in inputs or grows is None or spoken is None:
        return None
    start = maker.begins(tokenizers[spoken].vocabulary) if isinstance(maker, ShiftRight) else None
    return Continuation(grows, start)


def _bounds(model: Model, inputs: Collection[str]) -> dict[str, int]:
    """How many tokens an input of any length may have, where that is bounded."""
    types = {value.name: value.type for value in model.program.main.inputs if value.name in inputs}
    ends = {name: extent(type.shape[1])[1] for name, type in types.items() if type.ragged}
    return {name: int(end) for name, end in ends.items() if math.isfinite(end)}


def _of_text_alone(step: Step, data: Data) -> Step:
    """A step as it is without the label: the tags of words are not known of other texts."""
    inputs = step.inputs
    if isinstance(step.transform, Tokenize) and len(inputs) == 2 and not data.raw.get(inputs[1], _TEXT).text:
        return Step(step.transform, inputs[:1], step.outputs[:1])
    return step


_TEXT = TensorType((), STRING)


def _with_masks(step: Step) -> Step:
    transform = step.transform
    return replace(step, transform=transform.with_masks()) if isinstance(transform, Tokenize) else step


def _text_kind(label: TensorType | None, maker: Transform | None) -> TextKind:
    """What a network of texts puts out that is compared with such a field, which a transform made or none."""
    if isinstance(maker, MaskTokens):
        return "masked_token"
    if isinstance(maker, (NextToken, ShiftRight)):
        return "next_token"
    if label is None or label.rank > 2:
        return "values"
    if label.rank == 2 and label.dtype == "int64":
        return "token_classes"
    return "classes" if label.rank == 1 and not label.floating else "numbers"


def keep_inference(folder: Path, inference: Inference | TextInference | None) -> None:
    """Writes it into the folder of a run."""
    if inference is not None:
        write_atomically(folder / FILE, inference.text())


def inference_of_run(model: Model, folder: Path) -> Inference | TextInference | None:
    """What a run kept; what its spec says where it kept nothing. Raises `SpecError` where it is damaged."""
    path = folder / FILE
    if not path.exists():
        return inference_of(model)
    try:
        return _from_json(json.loads(path.read_text(encoding="utf-8")), folder)
    except (OSError, ValueError) as error:
        raise _damaged(str(path), error) from error


def _from_json(data: Any, folder: Path) -> Inference | TextInference:
    return text_from_json(data, folder) if is_text(data) else from_json(data)


def inference_of_onnx(metadata: Mapping[str, Any], path: str | Path) -> Inference | TextInference:
    """What an ONNX file's metadata says. Raises `SpecError` where it says nothing, or is damaged."""
    if KEY not in metadata:
        message = f"`{path}` doesn't say how an image or a text becomes its input, and what its output means"
        help = "export it with `specdl export` from a run, or from a spec that has `data`"
        raise SpecError([Diagnostic("E0620", message, help=help)])
    try:
        return _from_json(json.loads(metadata[KEY]), Path(path).parent)
    except ValueError as error:
        raise _damaged(f"{path}: {KEY}", error) from error


def _damaged(what: str, error: Exception) -> SpecError:
    return SpecError([Diagnostic("E0621", f"`{what}` can't be used: {error}", help="export or train again")])
