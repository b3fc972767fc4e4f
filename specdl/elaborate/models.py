"""The networks of a spec: its own, those that earlier runs trained, and averages of others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specdl.diagnostics import Diagnostics, Note, Span, SpecError, did_you_mean
from specdl.elaborate.drafts import FunctionDraft, Presence, Ref
from specdl.elaborate.elaborator import Elaborator
from specdl.elaborate.initial import Patterns
from specdl.elaborate.scopes import Abandoned, EntryScope, Frame, Poisoned, Site
from specdl.elaborate.ties import Line, find_ties
from specdl.ir.dims import BATCH, Dim, SymDim, symbol
from specdl.ir.program import Origin
from specdl.ir.types import DTYPES, TensorType
from specdl.source import SpanTree, load_source
from specdl.spec.file import Spec
from specdl.spec.linking import parse_spec
from specdl.spec.models import NETWORK, Average, NetworkSpec, Trained
from specdl.spec.validate import show

MAX_INPUT_SIZE = 2**40
"""The largest size of an input's axis: PyTorch counts elements with 63 bits."""

_MULTIPLE = re.compile(r"(?:([1-9]\d{0,5}) ?\* ?)?([A-Za-z_]\w*)")
"""A size that is known at run time: a name, or a multiple of one."""

MAX_RUNS = 8
"""How many runs may each begin with the networks of another."""


@dataclass(slots=True)
class Network:
    """An elaborated network; `elaborator` has the blocks that it uses."""

    spec: NetworkSpec
    draft: FunctionDraft
    frame: Frame
    elaborator: Elaborator
    origin: Origin | None = None

    @property
    def name(self) -> str:
        """Its name in the spec."""
        return self.spec.name

    @property
    def inference_outputs(self) -> int:
        """How many of its outputs exist outside of training."""
        return len(self.draft.outputs) - self.draft.training_outputs


class Models:
    """Elaborates the networks of one spec. `depth` counts the runs that begin with another, down to this spec."""

    def __init__(self, elaborator: Elaborator, depth: int = 0) -> None:
        self.elaborator, self.depth = elaborator, depth
        self.ties: dict[str, list[Line]] = {}
        self.patterns = Patterns((), elaborator.diagnostics)

    def all(self) -> dict[str, Network]:
        """The networks of the spec, in its order, without those that have a mistake."""
        spec = self.elaborator.spec
        made: dict[str, Network | None] = {}
        self.elaborator.read_sizes(self.scope())
        self.ties = self.checked_ties()
        self.patterns = self.read_patterns()
        for item in spec.networks:
            self.check_name(item)
            if not isinstance(item.origin, Average):
                made[item.name] = self.network(item)
        for item in spec.networks:  # an average may stand above what it averages
            if isinstance(item.origin, Average):
                made[item.name] = self.average(item, made)
        if all(made.values()):
            self.patterns.finish()
            self.check_size_names()
        return {item.name: network for item in spec.networks if (network := made[item.name]) is not None}

    def check_name(self, network: NetworkSpec) -> None:
        """Records a network that has the name of a block."""
        block = self.elaborator.spec.blocks.get(network.name)
        if block is not None:
            notes = [Note("the block is here", block.span)]
            message = f"a block and a network are both called `{network.name}`"
            self.elaborator.diagnostics.add("E0704", message, network.span, notes=notes)

    def network(self, network: NetworkSpec) -> Network | None:
        """One network, its own or of a run. None after a mistake."""
        if isinstance(network.origin, Trained):
            return self.trained(network, network.origin)
        elaborator = self.elaborator
        spec = elaborator.spec
        only = "models" not in spec.data
        name = spec.name if only else network.name
        draft = FunctionDraft(elaborator.unique_key(name), name, "network", network.span)
        frame = Frame(draft, {}, elaborator.home)
        # Where the inputs are missing, that alone is said.
        flow = None if network.inputs else Ref(draft, "", None, network.span)
        for input_name, data in network.inputs.items():
            ref = declare_input(input_name, data, network.spans.child("inputs"), elaborator, frame, network=True)
            frame.values[input_name] = ref
            if ref.presence is not None:
                frame.optional[input_name] = ref
            flow = flow or ref
        if not network.layers:
            return None
        failures = elaborator.failures
        try:
            last = elaborator.entries(network.layers, Site(frame, draft, flow=flow))
            place = network.spans.key("layers")
            elaborator.outputs(draft, frame, last, network.outputs, network.spans.child("outputs"), place)
        except (Poisoned, Abandoned):
            return None
        if elaborator.failures == failures:  # else weights may be missing
            self.special_weights(network.name, draft, "" if only else f"{network.name}.")
        return Network(network, draft, frame, elaborator)

    def scope(self) -> EntryScope:
        """The names that expressions outside of the layers see: the spec's parameters."""
        draft = FunctionDraft("", "", "network", Span(self.elaborator.spec.file, 1, 1, 1, 2))
        return EntryScope(Frame(draft, {}, self.elaborator.home), {}, None)

    def special_weights(self, name: str, draft: FunctionDraft, prefix: str) -> None:
        """Ties weights of a finished network, and says how they begin."""
        lines, elaborator = self.ties.get(name, ()), self.elaborator
        if not lines and not self.patterns.rules:
            return
        functions = elaborator.finished(draft)
        function = functions[draft.key]
        draft.ties = find_ties(lines, function, functions, elaborator.diagnostics, prefix=prefix)
        draft.init = self.patterns.apply(name, function, functions, draft.ties)

    def read_patterns(self) -> Patterns:
        """The patterns of `init`."""
        elaborator, spec = self.elaborator, self.elaborator.spec
        rules = elaborator.rules(spec.init, spec.spans.child("init"), self.scope())
        names = [network.name for network in spec.networks] if spec.several else []
        return Patterns(rules, elaborator.diagnostics, several=names)

    def check_size_names(self) -> None:
        """Records bounds of a size that no input has."""
        elaborator = self.elaborator
        for name in elaborator.sizes:
            if name not in elaborator.size_names:
                known = sorted(elaborator.size_names)
                listing = f"there are {', '.join(f'`{item}`' for item in known)}" if known else "no input has one"
                span = elaborator.spec.spans.child("sizes").key(name)
                message = f"no input has the size `{name}`"
                elaborator.diagnostics.add("E0368", message, span, help=did_you_mean(name, known) or listing)

    def checked_ties(self) -> dict[str, list[Line]]:
        """The lines of `tie` for each network. Where there are several, keys begin with the name of theirs."""
        elaborator, spec = self.elaborator, self.elaborator.spec
        lines = elaborator.tied(spec.ties, self.scope())
        if not spec.several:
            return {NETWORK: lines}
        own = [network.name for network in spec.networks if network.origin is None]
        found: dict[str, list[Line]] = {}
        for line in lines:
            alias, key = line.alias.partition("."), line.key.partition(".")
            if all(
                self.names_network(word, own, span)
                for word, span in ((line.alias, line.written.alias.span), (line.key, line.written.key.span))
            ):
                if alias[0] == key[0]:
                    found.setdefault(alias[0], []).append(Line(alias[2], key[2], line.written))
                    continue
                message = f"`{alias[0]}` and `{key[0]}` are two networks, each with weights of its own"
                help = "put what shares weights into one network"
                elaborator.diagnostics.add("E0363", message, line.written.alias.span, help=help)
        return found

    def names_network(self, key: str, own: Sequence[str], span: Span) -> bool:
        """Whether a key begins with the name of one of the spec's own networks; else its mistake is recorded."""
        first = key.partition(".")[0]
        if first in own:
            return True
        other = any(network.name == first for network in self.elaborator.spec.networks)
        why = "is of a run or an average, whose weights are tied there" if other else "is no network"
        help = None
        if not other and own:
            help = did_you_mean(first, own) or f"a key begins with its network's name: `{own[0]}.{key}`"
        self.elaborator.diagnostics.add("E0363", f"`{first}` {why}", span, help=help)
        return False

    def resolve(self, value: Any, spans: SpanTree) -> Any:
        """A value of a network's key, its expressions evaluated. Raises `Poisoned`."""
        return self.elaborator.resolve(value, spans, self.scope())

    # ---- networks of earlier runs --------------------------------------------------------------------

    def trained(self, network: NetworkSpec, origin: Trained) -> Network | None:
        """A network of an earlier run, elaborated from the spec that the run's folder keeps."""
        spans = network.spans
        try:
            folder = self.resolve(origin.folder, spans.child("from"))
            wanted = self.resolve(origin.network, spans.child("network"))
            freeze = self.resolve(origin.freeze, spans.child("freeze"))
            if not isinstance(folder, str):
                raise self.fail("E0710", f"`from` is the folder of a run, got {show(folder)}", spans.at("from"))
            if not isinstance(freeze, bool):
                raise self.fail("E0203", f"`freeze` is true or false, got {show(freeze)}", spans.at("freeze"))
            found = self.of_run(folder, wanted, network)
            if network.outputs is not None:
                found.draft.outputs.clear()
                found.draft.output_names.clear()
                place = spans.child("outputs")
                found.elaborator.diagnostics = self.elaborator.diagnostics
                found.elaborator.outputs(found.draft, found.frame, None, network.outputs, place, place.span)
        except Poisoned:
            return None
        found.draft.name = network.name
        name = None if wanted is None else str(wanted)
        return Network(
            network, found.draft, found.frame, found.elaborator, Origin(run=folder, network=name, frozen=freeze)
        )

    def of_run(self, folder: str, wanted: Any, network: NetworkSpec) -> Network:
        """The network of a run's folder, with its own elaborator. Raises `Poisoned`."""
        diagnostics, spans = self.elaborator.diagnostics, network.spans
        path = _find_spec(folder, Path(self.elaborator.spec.file).parent)
        if path is None:
            message, help = f"there is no run `{folder}`", "name a folder that `specdl train` made"
            raise self.fail("E0710", message, spans.at("from"), help=help)
        if self.depth >= MAX_RUNS:
            raise self.fail("E0710", f"more than {MAX_RUNS} runs begin with another here", spans.at("from"))
        inner = Diagnostics()
        others: dict[str, Network] = {}
        try:
            spec: Spec | None = parse_spec(load_source(path), inner)
            if spec is not None:
                elaborator = Elaborator(spec, inner)
                elaborator.keys = self.elaborator.keys
                elaborator.bind_file_params(elaborator.home)
                others = Models(elaborator, self.depth + 1).all()
        except SpecError as error:
            inner.items.extend(error.diagnostics)
            inner.texts.update(error.texts)
        if inner.failed:
            first = next(item for item in inner.sorted() if item.severity == "error")
            notes = [Note(first.message, first.span)]
            diagnostics.texts.update(inner.texts)
            message = f"the spec of the run `{folder}` has mistakes"
            raise self.fail("E0710", message, spans.at("from"), notes=notes)
        if wanted is not None and wanted not in others:
            help = did_you_mean(str(wanted), others) or f"it has {_listing(others)}"
            raise self.fail("E0703", f"the run has no network {show(wanted)}", spans.at("network"), help=help)
        return next(iter(others.values())) if wanted is None else others[wanted]

    # ---- averages ------------------------------------------------------------------------------------

    def average(self, network: NetworkSpec, made: Mapping[str, Network | None]) -> Network | None:
        """The moving average of another network: the same function with weights of its own."""
        assert isinstance(network.origin, Average)
        spans = network.spans
        try:
            of = self.resolve(network.origin.of, spans.child("ema"))
            decay = self.resolve(network.origin.decay, spans.child("decay"))
            if not isinstance(of, str) or of not in made:
                help = did_you_mean(str(of), made) or f"there are {_listing(made)}"
                raise self.fail("E0703", f"there is no network {show(of)} to average", spans.at("ema"), help=help)
            number = isinstance(decay, (int, float)) and not isinstance(decay, bool)
            if not number or not 0 <= decay < 1:
                message = f"`decay` is a number from 0 and below 1, got {show(decay)}"
                raise self.fail("E0203", message, spans.at("decay"), help="such as 0.996")
        except Poisoned:
            return None
        base = made[of]
        origin = Origin(average_of=of, decay=float(decay))
        return None if base is None else Network(network, base.draft, base.frame, base.elaborator, origin)

    def fail(self, code: str, message: str, span: Span, *, help: str | None = None, notes: Any = ()) -> Poisoned:
        """Records a mistake, and gives the exception to raise."""
        self.elaborator.diagnostics.add(code, message, span, help=help, notes=notes)
        return Poisoned()


def _listing(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _find_spec(folder: str, beside: Path) -> Path | None:
    """The spec that a run's folder keeps, or that of the latest run in it; sought beside the spec, then from here."""
    for start in (beside, Path()):
        for name in ("spec.yaml", "latest/spec.yaml"):
            if (start / folder / name).is_file():
                return start / folder / name
    return None


_DTYPES = {"long": "int64", "int": "int64", "float": "float32", "double": "float64", "half": "float16"}
"""Other words for dtypes."""


def declare_input(
    name: str, data: Any, inputs: SpanTree, elaborator: Elaborator, frame: Frame, *, network: bool = False
) -> Ref:
    """An input of a `network` (or of `sample`) as it is declared; of unknown type after a mistake.

    `data` is its shape without the batch, or {shape, dtype, optional}; `inputs` is the tree of all of them.
    """
    draft, diagnostics = frame.draft, elaborator.diagnostics
    spans, span = inputs.child(name), inputs.key(name)
    broken = Ref(draft, name, None, span)
    if not name.isidentifier() or name in {"_", "input"}:
        diagnostics.add(
            "E0106", f"`{name}` is not a name for an input", span, help="names have letters, digits and `_`"
        )
        return broken
    dtype: Any = "float32"
    optional: Any = False
    shape: Any = data
    shape_spans = spans
    if isinstance(data, Mapping):
        known = ["shape", "dtype", *(["optional"] if network else [])]
        for key in data:
            if key not in known:
                listing = " and ".join([", ".join(f"`{item}`" for item in known[:-1]), f"`{known[-1]}`"])
                help = did_you_mean(key, known) or f"it has {listing}"
                if key == "optional":
                    help = "only an input of a network can be optional"
                diagnostics.add("E0201", f"an input has no `{key}`", spans.key(key), help=help)
                return broken
        optional = data.get("optional", False)
        if "shape" not in data:
            diagnostics.add(
                "E0202", f"the input `{name}` needs a `shape`", span, help="e.g. `{shape: [T], dtype: int64}`"
            )
            return broken
        shape, dtype, shape_spans = data["shape"], data.get("dtype", "float32"), spans.child("shape")
    if dtype not in DTYPES:
        diagnostics.add(
            "E0203",
            f"there is no dtype {show(dtype)}",
            spans.at("dtype"),
            help=f"write `{_DTYPES[dtype]}`"
            if isinstance(dtype, str) and dtype in _DTYPES
            else did_you_mean(str(dtype), DTYPES) or f"one of {', '.join(DTYPES)}",
        )
        return broken
    try:
        sizes = elaborator.resolve(shape, shape_spans, EntryScope(frame, {}, None))
    except Poisoned:
        return broken
    if not isinstance(sizes, tuple):
        diagnostics.add(
            "E0203",
            f"the shape of `{name}` must be a list of sizes without the batch, got {show(sizes)}",
            shape_spans.span,
            help="e.g. `[3, 224, 224]`",
        )
        return broken
    dims: list[Dim] = [BATCH]
    for index, size in enumerate(sizes):
        whole = isinstance(size, int) and not isinstance(size, bool)
        if isinstance(size, SymDim) or (whole and 1 <= size <= MAX_INPUT_SIZE):
            dims.append(size)
        elif isinstance(size, str) and (counted := _MULTIPLE.fullmatch(size)) and counted[2] not in {"N", "None"}:
            elaborator.size_names.add(counted[2])
            dims.append(int(counted[1] or 1) * symbol(counted[2], *elaborator.sizes.get(counted[2], (None, None))))
        else:
            help = "a number from 1, or a name such as `T` (or `8*T`) for a size known at run time"
            if index == 0 and size in ("N", "None", None, -1):
                help = "the batch is implied: leave it out"
            elif whole and size > MAX_INPUT_SIZE:
                help = f"a size is at most {MAX_INPUT_SIZE:,}"
            diagnostics.add("E0203", f"{show(size)} is not a size", shape_spans.at(index), help=help)
            return broken
    if not isinstance(optional, bool):
        diagnostics.add("E0203", f"`optional` is true or false, got {show(optional)}", spans.at("optional"))
        return broken
    before = next(iter(frame.optional.values()), None)
    if optional is False and before is not None:
        message = f"the input `{name}` must be given, so it can't follow one that may be absent"
        help = "write the optional inputs last"
        diagnostics.add("E0173", message, span, notes=[Note("the optional one is here", before.span)], help=help)
    elif optional and not draft.inputs:
        message = "the first input is always given"
        diagnostics.add("E0173", message, spans.key("optional"), help="write the optional inputs last")
        return broken
    return draft.add_input(name, TensorType(tuple(dims), dtype), span, Presence(name) if optional else None)
