"""What a network says about image files: one that was trained, one with weights from elsewhere, or an ONNX file.

A file becomes an input as `data/inference.py` has it recorded, the same way for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from specdl.data.images import Unreadable
from specdl.data.inference import Inference
from specdl.diagnostics import Diagnostic, Diagnostics, SpecError
from specdl.training.evaluate import load_network
from specdl.training.inference import inference_of, inference_of_onnx, inference_of_run
from specdl.training.model import Model

_BATCH = 64

Network = Callable[[torch.Tensor], torch.Tensor]
"""An input gives the last output."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A class with its probability."""

    label: str
    probability: float


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
    return of_run(model, folder)(files, top=top)


def of_run(model: Model, folder: Path) -> Predictor:
    """The network of a run, at its best checkpoint. Raises `SpecError` where it isn't one of images."""
    return Predictor(_in_torch(load_network(model, folder)), _require(inference_of_run(model, folder), model))


def of_spec(model: Model, network: torch.nn.Module) -> Predictor:
    """A network of a spec with the weights that it has. Raises `SpecError` where it isn't one of images."""
    return Predictor(_in_torch(network.eval()), _require(inference_of(model), model))


def of_onnx(path: str | Path) -> Predictor:
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
    if names != [inference.input]:
        message = f"`{path}` has the inputs {', '.join(names)}, its metadata says `{inference.input}`"
        raise SpecError([Diagnostic("E0621", message)])

    def run(batch: torch.Tensor) -> torch.Tensor:
        try:
            outputs = session.run(None, {inference.input: batch.numpy()})
        except Exception as error:
            raise SpecError([Diagnostic("E0622", f"ONNX Runtime can't run `{path}`: {error}")]) from error
        return torch.from_numpy(outputs[-1])

    return Predictor(run, inference)


def _in_torch(network: torch.nn.Module) -> Network:
    def run(batch: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            output = network(batch)
        found: torch.Tensor = output[-1] if isinstance(output, (tuple, list)) else output
        return found

    return run


def _require(inference: Inference | None, model: Model) -> Inference:
    if inference is not None:
        return inference
    if model.recipe is None or model.recipe.data is None:
        help = "`data` says how a file becomes an input: its `fields`, `transforms` and classes"
        raise SpecError([Diagnostic("E0607", "`predict` needs a spec with `data`", help=help)])
    inputs = ", ".join(f"`{name}`" for name in model.input_names)
    raise SpecError([Diagnostic("E0607", f"`predict` reads one image file for one input, but the inputs are {inputs}")])


def _prediction(file: str, output: torch.Tensor, inference: Inference, top: int) -> Prediction:
    if inference.kind != "classes":
        return Prediction(file, (), output)
    if output.dim() != 1:
        shape = ["N", *output.shape]
        message = f"`predict` needs scores [N, classes], the network gives [{', '.join(map(str, shape))}]"
        raise SpecError([Diagnostic("E0607", message)])
    names = inference.classes
    if names is not None and len(names) > len(output):
        message = f"the network gives {len(output)} scores, but there are {len(names)} classes"
        raise SpecError([Diagnostic("E0607", message)])
    best = _probabilities(output).topk(min(top, len(output)))
    guesses = [
        Guess(names[at] if names is not None and at < len(names) else str(at), value)
        for at, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return Prediction(file, tuple(guesses), output)


def _probabilities(scores: torch.Tensor) -> torch.Tensor:
    """Softmax of logits or log-probabilities; scores that are probabilities already stay."""
    if bool((scores >= 0).all()) and torch.isclose(scores.sum(), scores.new_ones(()), atol=1e-4):
        return scores
    return scores.float().softmax(0)


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
