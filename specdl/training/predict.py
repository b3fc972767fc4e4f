"""What a network says about image files: one that was trained, one with weights from elsewhere, or an ONNX file.

A file becomes an input as `data/inference.py` has it recorded, the same way for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from specdl.data.images import Unreadable
from specdl.data.inference import Inference
from specdl.data.text_inference import TextInference
from specdl.diagnostics import Diagnostic, Diagnostics, SpecError
from specdl.training.evaluate import load_network
from specdl.training.guesses import Guess, best
from specdl.training.inference import inference_of, inference_of_onnx, inference_of_run
from specdl.training.model import Model
from specdl.training.predict_text import TextPredictor

_BATCH = 64

Network = Callable[[torch.Tensor], torch.Tensor]
"""An input gives the last output."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network says about a file: the likeliest classes, best first, or the output itself.

    `output` is the last output for this file alone, without the batch axis.
    """

    file: str
    top: tuple[Guess, ...]
    output: torch.Tensor

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.top[0].label

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.top[0].probability


@dataclass(frozen=True, slots=True)
class Predictor:
    """A network and how it is used."""

    network: Network
    inference: Inference

    def __call__(self, files: Sequence[str | Path], *, top: int = 3) -> list[Prediction]:
        """What it says about each file, with the `top` likeliest classes.

        Raises `SpecError` that names every file that can't be read, with the reason, before anything is computed.
        """
        inputs = _read_all(files, self.inference)
        outputs: list[torch.Tensor] = []
        start = 0
        while start < len(inputs):
            end = start + 1
            while end < len(inputs) and end - start < _BATCH and inputs[end].shape == inputs[start].shape:
                end += 1
            outputs += self.network(torch.cat(inputs[start:end])).unbind()
            start = end
        return [_prediction(str(file), row, self.inference, top) for file, row in zip(files, outputs, strict=True)]


def predict(model: Model, folder: Path, files: Sequence[str | Path], *, top: int = 3) -> list[Prediction]:
    """What the network of a run says about image files; see `Predictor`."""
    predictor = of_run(model, folder)
    if isinstance(predictor, TextPredictor):
        raise SpecError([Diagnostic("E0607", "this network reads texts, not image files")])
    return predictor(files, top=top)


def of_run(model: Model, folder: Path) -> Predictor | TextPredictor:
    """The network of a run, at its best checkpoint. Raises `SpecError` where it is one of neither images nor texts."""
    return _predictor(load_network(model, folder), inference_of_run(model, folder), model)


def of_spec(model: Model, network: torch.nn.Module) -> Predictor | TextPredictor:
    """A network of a spec with its weights. Raises `SpecError` where it is one of neither images nor texts."""
    return _predictor(network.eval(), inference_of(model), model)


def _predictor(
    network: torch.nn.Module, inference: Inference | TextInference | None, model: Model
) -> Predictor | TextPredictor:
    found = _require(inference, model)
    if isinstance(found, TextInference):
        at = -1 if found.said is None else model.output_names.index(found.said)
        return TextPredictor(lambda inputs: _output(network, at, **inputs), found)
    return Predictor(lambda batch: _output(network, -1, batch), found)


def _output(network: torch.nn.Module, at: int, *inputs: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        output = network(*inputs, **named)
    found: torch.Tensor = output[at] if isinstance(output, (tuple, list)) else output
    return found


def of_onnx(path: str | Path) -> Predictor | TextPredictor:
    """An ONNX file that `specdl export` wrote. Raises `SpecError` for another one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that derive from nothing else
        reason = "there is no such file" if not Path(path).exists() else str(error)
        raise SpecError([Diagnostic("E0622", f"ONNX Runtime can't open `{path}`: {reason}")]) from error
    inference = inference_of_onnx(session.get_modelmeta().custom_metadata_map, path)
    names = [value.name for value in session.get_inputs()]
    wanted = list(inference.inputs) if isinstance(inference, TextInference) else [inference.input]
    if set(names) != set(wanted):
        told = ", ".join(f"`{name}`" for name in wanted)
        message = f"`{path}` has the inputs {', '.join(names)}, its metadata says {told}"
        more = [name for name in names if name not in wanted]
        help = f"export it with {' '.join(f'`--without {name}`' for name in more)}" if more else None
        raise SpecError([Diagnostic("E0621", message, help=help)])
    said = inference.said if isinstance(inference, TextInference) else None
    outputs = [value.name for value in session.get_outputs()]
    at = -1 if said is None else outputs.index(said)

    def run(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        try:
            found = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        except Exception as error:
            raise SpecError([Diagnostic("E0622", f"ONNX Runtime can't run `{path}`: {error}")]) from error
        return torch.from_numpy(found[at])

    if isinstance(inference, TextInference):
        return TextPredictor(run, inference)
    name = inference.input
    return Predictor(lambda batch: run({name: batch}), inference)


def _require(inference: Inference | TextInference | None, model: Model) -> Inference | TextInference:
    if isinstance(inference, TextInference) and not inference.complete:
        message = "`predict` gives a network texts, and its decoder reads what it writes itself"
        raise SpecError([Diagnostic("E0607", message, help="`specdl generate` lets it write")])
    if inference is not None:
        return inference
    if model.recipe is None or model.recipe.data is None:
        help = "`data` says how a file becomes an input: its `fields`, `transforms` and classes"
        raise SpecError([Diagnostic("E0607", "`predict` needs a spec with `data`", help=help)])
    inputs = ", ".join(f"`{name}`" for name in model.required_inputs)
    if any(type.text for type in model.recipe.data.raw.values()):
        message = f"`predict` makes inputs of texts alone, and not all of {inputs} come from some"
        help = "a tokenizer that is made from data exists once it was trained: name the run's folder"
        raise SpecError([Diagnostic("E0607", message, help=help)])
    raise SpecError([Diagnostic("E0607", f"`predict` reads one image file for one input, but the inputs are {inputs}")])


def _prediction(file: str, output: torch.Tensor, inference: Inference, top: int) -> Prediction:
    if inference.kind != "classes":
        return Prediction(file, (), output)
    return Prediction(file, best(output, inference.classes, top), output)


def _read_all(files: Sequence[str | Path], inference: Inference) -> list[torch.Tensor]:
    diagnostics = Diagnostics()
    images: list[torch.Tensor] = []
    for file in files:
        try:
            images.append(inference.read(file))
        except Unreadable as error:
            diagnostics.add("E0608", f"can't read the image `{file}`: it {error}")
    diagnostics.raise_if_failed()
    return images
