"""What a Python program uses: `load` a spec, then ask the model for a module, source, ONNX or a diagram."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specdl.analysis.cost import Cost, total_cost
from specdl.analysis.unused import warn_of_unused
from specdl.custom import allowing, python_file, split
from specdl.diagnostics import Diagnostic, Diagnostics, SpecError
from specdl.elaborate import bind_sections, elaborate
from specdl.ir.program import Program, same_layers
from specdl.passes import run_passes
from specdl.source import Source, load_source, without_collector
from specdl.spec.file import Spec
from specdl.spec.linking import parse_spec
from specdl.spec.written import section_spans

if TYPE_CHECKING:
    from torch import nn

    from specdl.backends.onnx_verify import Verification
    from specdl.backends.torch_load import StepFunction
    from specdl.data.inference import Inference
    from specdl.data.text_inference import TextInference
    from specdl.spec.recipe import Recipe
    from specdl.spec.weights import Weights
    from specdl.training.loop import Run


@dataclass(frozen=True)
class Model:
    """A compiled spec. Nothing here imports torch until it is needed.

    `recipe` is what the sections about data and training say; None where there are none.
    """

    spec: Spec
    program: Program
    recipe: Recipe | None
    params: Mapping[str, Any]
    warnings: tuple[Diagnostic, ...] = ()
    weights: Mapping[str, Weights] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name

    @property
    def title(self) -> str:
        """The name with the variant, unless the variant's own name says it all (`resnet18`)."""
        variant = self.spec.variant
        if variant is None:
            return self.name
        return variant if self.name in variant else f"{self.name} {variant}"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The network's inputs, in the order of `forward`."""
        return tuple(value.name for value in self.program.main.inputs)

    @property
    def required_inputs(self) -> tuple[str, ...]:
        """Those of the network's inputs that can't be left out."""
        return tuple(value.name for value in self.program.main.inputs if not value.optional)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The network's outputs in evaluation."""
        main = self.program.main
        return main.output_names[: len(main.outputs) - main.training_outputs]

    @cached_property
    def cost(self) -> Cost:
        """Parameters, FLOPs and memory of all networks together."""
        return total_cost(self.program)

    @property
    def parameters(self) -> int:
        """The number of parameters, shared ones once."""
        return self.cost.parameters

    def source(self) -> str:
        """The PyTorch source: imports only torch and the standard library."""
        from specdl.backends.torch_source import emit_torch

        return emit_torch(self.program).text

    def module(self, network: str | None = None, *, weights: bool = True) -> nn.Module:
        """An `nn.Module` of a network (the first, unless named), initialised from torch's current seed.

        Where the spec's `weights` name a file it is loaded, unless `weights` is False. Raises `SpecError` where it
        doesn't fit.
        """
        from specdl.backends.torch_load import load_module

        module = load_module(self.program.only(network))
        chosen = network or next(iter(self.program.networks))
        if weights and chosen in self.weights and self.weights[chosen].loads:
            from specdl.weights.load import load_weights_of

            load_weights_of(self.weights[chosen], self.program, module, chosen)
        return module

    def modules(self) -> dict[str, nn.Module]:
        """Fresh modules of all networks, by name."""
        from specdl.backends.torch_load import load_networks

        return load_networks(self.program)

    def step_functions(self) -> dict[str, StepFunction]:
        """The training steps, as functions of the networks and a batch."""
        from specdl.backends.torch_load import load_steps

        return load_steps(self.program)

    def export_onnx(
        self,
        path: str | Path,
        module: nn.Module | None = None,
        *,
        verify: bool = True,
        opset: int | None = None,
        network: str | None = None,
        without: Collection[str] = (),
        inference: Inference | TextInference | None = None,
    ) -> Verification:
        """Writes ONNX with the weights of `module` (fresh ones unless given), and compares it with the module.

        `network` names one of several; the first unless given. Its optional inputs are inputs of the file, but for
        those in `without`. `inference` is how it is used on files, as the spec's data has it unless given (a run knows
        the names of its classes); it becomes the file's metadata, and a file beside it with `.json` behind its name,
        for a network of texts with the `tokenizer.json` that it needs.
        Raises `SpecError` when ONNX Runtime's outputs differ from PyTorch's by more than the tolerance.
        """
        from specdl.backends.onnx import export_onnx
        from specdl.data.text_inference import TextInference

        program = self.program.only(network)
        module = self.module(network) if module is None else module
        if inference is None and self.recipe is not None:
            from specdl.training.inference import inference_of

            inference = inference_of(self)
        if isinstance(inference, TextInference) and not inference.complete:
            inference = None  # texts alone don't tell what a file's inputs are
        notes = {} if inference is None else inference.metadata()
        beside = None if inference is None else inference.text()
        files = {} if inference is None else inference.files()
        if inference is not None:
            inference.check_place(Path(path))
        return export_onnx(
            program,
            module,
            path,
            verify=verify,
            opset=opset,
            without=without,
            metadata=notes,
            sidecar=beside,
            companions=files,
        )

    def diagram(self, path: str | Path, **options: Any) -> Path:
        """Draws a network (`network`, else the first) or a step (`step`) as .svg, .png or .dot."""
        from specdl.backends.diagram import render_diagram

        return render_diagram(self.program, path, **{"title": self.title, **options})

    def resolved_files(self) -> dict[str, str]:
        """The spec and copies of what it imports, as YAML texts by relative path: they need nothing else.

        `spec.yaml` has the variant, the overrides and what the spec extends in it.
        """
        from specdl.spec.resolved import resolved_files

        data = None if self.recipe is None else self.recipe.data
        paths: dict[tuple[Any, ...], Any] = {} if data is None else dict(data.paths)
        for network, weights in self.weights.items():
            names = [weights.absolute(*item) for item in weights.loads]
            place = ("weights", network, "load") if self.spec.several else ("weights", "load")
            if names:
                paths[place] = names[0] if len(names) == 1 else names
        return {**self._custom_files(), **resolved_files(self.spec, paths)}

    def _custom_files(self) -> dict[str, str]:
        """The Python files of custom layers, which a run keeps beside its spec."""
        from specdl.backends.torch_source import custom_layers

        found: dict[str, str] = {}
        for op in custom_layers(self.program):
            if op.folder is not None:
                module, _ = split(op.layer)
                text = python_file(op.folder, module).read_text(encoding="utf-8")
                found[f"{module.replace('.', '/')}.py"] = text
        return found

    def bound_text(self) -> str:
        """The spec as one file: its variant chosen, what it extends and imports in it, all files' parameters bound.

        It compiles to the same networks, which is checked. Raises `SpecError` where one file can't say the same.
        """
        from specdl.elaborate import file_params
        from specdl.formatting import write_plain
        from specdl.source import parse_text
        from specdl.spec.single import single_file

        text = write_plain(single_file(self.spec, file_params, self.program.functions))
        with contextlib.suppress(SpecError):
            if same_layers(compile_source(parse_text(text, self.spec.file)).program, self.program):
                return text
        help = "`specdl show --ir` prints what it compiles to"
        raise SpecError([Diagnostic("E0021", "this spec can't be shown as one file that does the same", help=help)])

    def resolved_text(self) -> str:
        """The spec as YAML with its variant, its overrides and what it extends; see `resolved_files` for imports."""
        return self.resolved_files()["spec.yaml"]


@dataclass(frozen=True)
class Library:
    """A checked block library."""

    spec: Spec


def load(
    path: str | Path,
    variant: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    import_root: str | Path | None = None,
    allow_python: bool = False,
) -> Model:
    """Compiles a spec. Raises `SpecError` with every mistake in it.

    `allow_python` lets its custom layers be imported from Python files beside it: that code can do anything.

    `import_root` is the folder in which files that it imports or extends may lie; its own folder unless given.
    """
    with allowing(allow_python):
        return compile_source(load_source(path), variant, overrides, import_root=import_root)


def compile_source(
    source: Source,
    variant: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    import_root: str | Path | None = None,
) -> Model:
    """Compiles a source that is already loaded; text that is no file can't import any. Raises `SpecError`."""
    found = _compile(source, variant, overrides, import_root)
    if isinstance(found, Model):
        return found
    help = f"import it in a spec: `imports: [{Path(source.file).name}]`"
    message = f"`{source.file}` has blocks only; a network has `inputs` and `layers`"
    raise SpecError([Diagnostic("E0127", message, source.spans.span.part(0, 1), help=help)], found.spec.texts)


def check(
    path: str | Path,
    variant: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    import_root: str | Path | None = None,
) -> Model | Library:
    """Compiles a spec, or checks a block library by itself. Raises `SpecError` with every mistake in it."""
    return _compile(load_source(path), variant, overrides, import_root)


@without_collector()
def _compile(
    source: Source, variant: str | None, overrides: Mapping[str, Any] | None, import_root: str | Path | None
) -> Model | Library:
    diagnostics = Diagnostics()
    spec = parse_spec(source, diagnostics, variant=variant, overrides=overrides, root=import_root)
    if spec is None:
        raise SpecError(diagnostics.sorted(), diagnostics.texts)
    if spec.library:
        from specdl.elaborate.library import check_library

        check_library(spec, diagnostics)
        diagnostics.raise_if_failed()
        return Library(spec)
    elaborator, sections = bind_sections(spec, diagnostics)
    given = {key: sections.pop(key) for key in ("weights", "freeze", "budget") if key in sections}
    recipe: Recipe | None = None
    spans = section_spans(spec)
    if sections:
        from specdl.spec.recipe import measured_values, parse_recipe

        recipe = parse_recipe(sections, spans, diagnostics, [network.name for network in spec.networks])
    fields = None if recipe is None or recipe.data is None else recipe.data.fields
    measured = () if recipe is None else measured_values(recipe)
    texts = () if recipe is None or recipe.data is None else recipe.data.texts
    program = elaborate(elaborator, fields, measured, texts)
    if program is not None and recipe is not None and recipe.data is not None:
        from specdl.analysis.classes import check_classes
        from specdl.analysis.metrics import check_metrics
        from specdl.analysis.soft_labels import check_training_types
        from specdl.analysis.vocabularies import check_vocabularies, known_sizes

        check_classes(program, recipe.data, diagnostics)
        check_vocabularies(program, recipe.data, known_sizes(recipe.data), diagnostics, at_most=True)
        check_training_types(program, recipe.data, diagnostics)
        check_metrics(program, recipe, recipe.data, diagnostics)
    if program is not None and recipe is not None:
        from specdl.analysis.optimizers import check_optimizers

        check_optimizers(program, recipe, spec.spans, diagnostics)
    weights: dict[str, Weights] = {}
    if program is not None and given:
        from specdl.elaborate.given import bind_weights, freeze

        weights = bind_weights(given.get("weights"), replace(spec, spans=spans), program, diagnostics)
        program = freeze(given.get("freeze"), spec, program, diagnostics)
        _check_budget(given.get("budget"), spec, program, elaborator.sizes, diagnostics)
    diagnostics.raise_if_failed()
    assert program is not None
    frozen = program.frozen
    program = run_passes(program)
    warn_of_unused(program, spec, diagnostics)
    warnings = tuple(item for item in diagnostics.sorted() if item.severity == "warning")
    program = replace(program, frozen=frozen)
    return Model(spec, program, recipe, dict(elaborator.params), warnings, weights)


def _check_budget(data: Any, spec: Spec, program: Program, bounds: Mapping[str, Any], diagnostics: Diagnostics) -> None:
    """Compares the networks with the section `budget`."""
    if data is None or diagnostics.failed:
        return
    from specdl.analysis.budget import check_budget
    from specdl.spec.budget import parse_budget

    budget = parse_budget(data, spec.spans.child("budget"), diagnostics)
    if budget is not None:
        largest = {name: most for name, (_, most) in bounds.items() if most is not None}
        check_budget(program, budget, largest, diagnostics)


def train(
    path: str | Path,
    variant: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    allow_python: bool = False,
    **options: Any,
) -> Run:
    """Trains a spec and gives the run: its folder and its metrics."""
    from specdl.training.loop import train as run

    return run(load(path, variant, overrides, allow_python=allow_python), **options)
