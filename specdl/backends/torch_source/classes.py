"""Which classes the source has, and what their constructors take.

Functions of one block that differ only in numbers become one class whose constructor takes those numbers:
`Bottleneck(in_channels, width, stride=2)`. Chains in a named group become an `nn.Sequential` in place. What
differs in more than numbers becomes a class of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from specdl.backends.torch_source.constructor import LOOP_NAMES, Slot, extended
from specdl.backends.torch_source.forward import Forward, equal_runs, write_forward
from specdl.backends.torch_source.text import Repeat, Verbatim, class_name, plain_name, variable_name
from specdl.ir.program import Function, Node, Program
from specdl.ir.state import own_weights, rule_for
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Op

Form = Literal["sequential", "list", "module", "dict"]
"""What a function is in PyTorch: a chain, a class over `nn.ModuleList`, `nn.Module` or `nn.ModuleDict`."""


@dataclass(slots=True)
class Child:
    """A module of a function: its attribute, and how it is made. `call` holds `Slot`s where numbers stand."""

    node: Node
    name: str
    call: Any


@dataclass(slots=True)
class Shape:
    """A function without its numbers: two functions with equal keys become one class."""

    function: Function
    form: Form
    children: list[Child]
    forward: Forward | None
    numbers: dict[Slot, Any]
    defaults: dict[Slot, Any]
    key: Hashable
    fills: dict[str, list[tuple[str, Call]]] = field(default_factory=dict)
    """Of layers that say how their weights begin: the weights' names, and the calls with `Slot`s for numbers."""


@dataclass(slots=True)
class SourceClass:
    """A class of the source: the functions that it stands for, and its constructor's parameters."""

    name: str
    form: Form
    shapes: list[Shape]
    parameters: list[tuple[str, Slot]] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    expressions: dict[Slot, Any] = field(default_factory=dict)

    @property
    def first(self) -> Shape:
        """The function from which the text is written."""
        return self.shapes[0]


class Builder:
    """Turns the functions below some networks (given by key) into classes, callees first."""

    def __init__(self, program: Program, networks: Sequence[str]) -> None:
        self.program = program
        self.reachable = _reachable(program, networks)
        self.called_again = _called_again(program, self.reachable)
        self.extended = extended(program, self.reachable)
        self.shapes: dict[str, Shape] = {}
        self.classes: dict[str, SourceClass] = {}
        self.support: dict[str, None] = {}
        self.ids: dict[Hashable, str] = {}
        for key in self.reachable:
            self.shapes[key] = self.shape(program.functions[key])
        self.group()

    def inline(self, key: str) -> bool:
        """Whether a function is written in place, as an `nn.Sequential`, rather than as a class."""
        shape = self.shapes[key]
        return shape.form == "sequential" and shape.function.kind in {"group", "iteration"}

    # ---- functions without their numbers -------------------------------------------------------------

    def shape(self, function: Function) -> Shape:
        """The form, the children and the forward of a function."""
        types = function.types()
        numbers: dict[Slot, Any] = {}
        defaults: dict[Slot, Any] = {}
        if self.is_chain(function):
            children = [Child(node, node.name, self.made(node, types, numbers, defaults)) for node in function.nodes]
            fills = self.fills(function, numbers)
            key: Hashable = (
                "sequential",
                tuple((child.name, self.skeleton(child)) for child in children),
                _key_of(fills),
            )
            return self.keyed(Shape(function, "sequential", children, None, numbers, defaults, key, fills))
        owners = [
            node
            for node in function.nodes
            if node.shares is None and self.needs_module(node, types, (function.key, node.name) in self.called_again)
        ]
        form = self.form(function, owners, types)
        names = self.child_names(owners, form, types)
        children = [Child(node, names[node.name], self.made(node, types, numbers, defaults)) for node in owners]
        attributes = self.attributes(function, form, names, types)
        same = {key: self.ids[shape.key] for key, shape in self.shapes.items()}
        forward = write_forward(function, attributes, equal_runs(function, same, attributes))
        skeleton = tuple((child.name, self.skeleton(child)) for child in children)
        text = tuple((line.text, line.training_only, line.indent) for line in forward.lines)
        own = function.name if function.kind != "iteration" else "iteration"
        ties = tuple((tie.alias, tie.key) for tie in function.ties)
        fills = self.fills(function, numbers)
        key = (
            own,
            form,
            skeleton,
            forward.inputs,
            text,
            ties,
            tuple(rule.meaning for rule in function.init),
            _key_of(fills),
        )
        return self.keyed(Shape(function, form, children, forward, numbers, defaults, key, fills))

    def fills(self, function: Function, numbers: dict[Slot, Any]) -> dict[str, list[tuple[str, Call]]]:
        """How the weights of a function's layers begin, where these say so themselves."""
        found: dict[str, list[tuple[str, Call]]] = {}
        types = function.types()
        for node in function.nodes:
            if not node.init or isinstance(node.callee, str):
                continue
            for weight in own_weights(node, types):
                rule = None if weight.buffer else rule_for(node.init, weight.name)
                if rule is None:
                    continue
                call = rule.initializer.fill(None)
                slots = {name: Slot(node.name, f"{weight.name}_{name}") for name, _ in call.keywords}
                numbers.update({slots[name]: value for name, value in call.keywords})
                named = tuple(slots.items())
                found.setdefault(node.name, []).append((weight.name, Call(call.function, (), named)))
        return found

    def keyed(self, shape: Shape) -> Shape:
        """Gives each different shape an id, by which its callers' keys are made."""
        self.ids.setdefault(shape.key, f"class {len(self.ids)}")
        return shape

    def is_chain(self, function: Function) -> bool:
        """Whether a group or block is a chain of modules, as `nn.Sequential` runs them."""
        if function.key in self.extended:
            return False
        if function.kind in {"network", "step"} or len(function.inputs) != 1 or len(function.outputs) != 1:
            return False
        if function.kind == "block" and not function.counted:
            return False
        if not function.nodes or len({node.name for node in function.nodes}) != len(function.nodes):
            return False
        types = function.types()
        value = function.inputs[0].name
        for node in function.nodes:
            alone = node.inputs == (value,) and len(node.outputs) == 1 and node.shares is None and node.guard is None
            if not alone or node.skip or node.training_only or not self.has_module(node, types):
                return False
            value = node.outputs[0]
        return value == function.outputs[0]

    def has_module(self, node: Node, types: Mapping[str, TensorType]) -> bool:
        """Whether the node can be an `nn.Module` in a chain."""
        if isinstance(node.callee, str):
            return True
        return not node.callee.stored and node.callee.torch_module(*_given(node, types)) is not None

    def needs_module(self, node: Node, types: Mapping[str, TensorType], called_again: bool = False) -> bool:
        """Whether the node has an attribute of its own: it has weights, or no form as a function.

        One that is not run needs none, unless a `call` runs its module.
        """
        if isinstance(node.callee, str):
            return True
        given = _given(node, types)
        if node.callee.weights(*given):
            return True
        if node.skip and not called_again:
            return False
        return node.callee.torch_function(["x"] * len(node.inputs), *given) is None

    def form(self, function: Function, owners: Sequence[Node], types: Mapping[str, TensorType]) -> Form:
        """The base class that gives the children the names they must have."""
        weighted = [node.name for node in owners if self.weighted(node, types) and not is_stored(node)]
        if function.kind == "network" or all(plain_name(name) for name in weighted):
            return "module" if all(plain_name(name) for name in weighted) else "dict"
        counts = [node.name for node in owners] == [str(index) for index in range(len(owners))]
        return "list" if counts and function.key not in self.extended else "dict"

    def weighted(self, node: Node, types: Mapping[str, TensorType]) -> bool:
        """Whether the node's name is part of a key of the `state_dict`."""
        if isinstance(node.callee, Op):
            return bool(node.callee.weights(*_given(node, types)))
        callee = self.program.functions[node.callee]
        inner = callee.types()
        return any(self.weighted(child, inner) for child in callee.nodes)

    def child_names(self, owners: Sequence[Node], form: Form, types: Mapping[str, TensorType]) -> dict[str, str]:
        """The attribute of each child; a numbered one without weights is called after its operator."""
        names: dict[str, str] = {}
        taken = {node.name for node in owners if self.weighted(node, types)}
        for node in owners:
            name = node.name
            if form != "list" and not plain_name(name) and not self.weighted(node, types):
                base = node.callee.operator if isinstance(node.callee, Op) else "layer"
                number, name = 1, base
                while name in taken:
                    number += 1
                    name = f"{base}_{number}"
            taken.add(name)
            names[node.name] = name
        return names

    def attributes(
        self, function: Function, form: Form, names: Mapping[str, str], types: Mapping[str, TensorType]
    ) -> dict[str, str]:
        """How `forward` writes each node's module."""
        found: dict[str, str] = {}
        for node in function.nodes:
            if node.shares is not None and self.needs_module(node, types):
                first, *rest = node.shares.split(".")
                text = _attribute(form, names[first])
                for step in rest:
                    text += f".{step}" if plain_name(step) else f"[{step}]"
                found[node.name] = text
            elif node.name in names and node.shares is None:
                found[node.name] = _attribute(form, names[node.name], is_stored(node))
        return found

    def made(
        self, node: Node, types: Mapping[str, TensorType], numbers: dict[Slot, Any], defaults: dict[Slot, Any]
    ) -> Any:
        """The constructor of a node's module, with a slot for each number."""
        if isinstance(node.callee, str):
            return node.callee
        given = _given(node, types)
        call = node.callee.torch_module(*given)
        assert call is not None
        if call.function in [name.rpartition(".")[2] for name in node.callee.support]:  # an LSTM may be PyTorch's own
            self.support.update(dict.fromkeys(node.callee.support))
        fields = type(node.callee).model_fields
        keywords = dict(call.keywords)
        names = _positional_names(node.callee, call)
        arguments = [
            _slotted(value, node.name, name, numbers) for name, value in zip(names, call.arguments, strict=True)
        ]
        # An argument left out is its default, so that layers with and without it can share a class.
        named: list[tuple[str, Any]] = []
        for name in [*fields, *(key for key in keywords if key not in fields)]:
            taken = Slot(node.name, name) in numbers
            if taken or (name not in keywords and (name not in fields or fields[name].is_required())):
                continue
            value = keywords.get(name, fields[name].default if name in fields else None)
            named.append((name, _slotted(value, node.name, name, numbers)))
            if name in fields and not fields[name].is_required():
                defaults[Slot(node.name, name)] = fields[name].default
        return Call(call.function, tuple(arguments), tuple(named)), tuple(sorted(keywords))

    def skeleton(self, child: Child) -> Hashable:
        """A child without its numbers."""
        if isinstance(child.call, str):
            shape = self.shapes[child.call]
            return ("function", self.ids.get(shape.key, shape.key), tuple(rule.meaning for rule in child.node.init))
        call, _ = child.call
        named = tuple((name, _structure(item)) for name, item in call.keywords)
        return ("operator", call.function, named, *(_structure(item) for item in call.arguments))

    # ---- classes -------------------------------------------------------------------------------------

    def group(self) -> None:
        """Groups functions by their shape, names the classes and finds their parameters."""
        by_key: dict[Hashable, list[Shape]] = {}
        for key, shape in self.shapes.items():
            if not self.inline(key):
                by_key.setdefault((shape.function.name, shape.function.kind == "block", shape.key), []).append(shape)
        names = self.names(list(by_key.values()))
        for shapes, name in zip(by_key.values(), names, strict=True):
            made = SourceClass(name, shapes[0].form, shapes)
            for shape in shapes:
                self.collect(shape)
                self.classes[shape.function.key] = made
            self.find_parameters(made)
        for key in self.shapes:
            if self.inline(key):
                self.collect(self.shapes[key])

    def collect(self, shape: Shape) -> None:
        """Adds the numbers that the constructors of called functions take to those of the caller."""
        for child in shape.children:
            if isinstance(child.call, str):
                numbers, defaults = self.child_numbers(child.node.name, child.call)
                shape.numbers.update(numbers)
                shape.defaults.update(defaults)

    def child_numbers(self, prefix: str, key: str) -> tuple[dict[Slot, Any], dict[Slot, Any]]:
        """The numbers that making one callee takes, and their defaults, as slots of its caller."""
        shape = self.shapes[key]
        if not self.inline(key):
            made = self.classes[key]
            numbers = {Slot(prefix, name): shape.numbers[slot] for name, slot in made.parameters}
            return numbers, {Slot(prefix, name): value for name, value in made.defaults.items()}
        numbers = {Slot(f"{prefix}/{slot.node}", slot.argument): value for slot, value in shape.numbers.items()}
        defaults = {Slot(f"{prefix}/{slot.node}", slot.argument): value for slot, value in shape.defaults.items()}
        for child in shape.children:
            if isinstance(child.call, str):
                inner = self.child_numbers(f"{prefix}/{child.node.name}", child.call)
                numbers.update(inner[0])
                defaults.update(inner[1])
        return numbers, defaults

    def names(self, groups: Sequence[Sequence[Shape]]) -> list[str]:
        """A class name for each group: the block's or group's own, told apart by what it has more."""
        bases = [_base_name(shapes[0]) for shapes in groups]
        loops = {base for base, shapes in zip(bases, groups, strict=True) if shapes[0].form != "list"}
        for index, shapes in enumerate(groups):
            if shapes[0].form == "list" and bases[index] in loops and not bases[index].endswith("s"):
                bases[index] += "s"
        networks = [index for index, shapes in enumerate(groups) if shapes[0].function.kind == "network"]
        networks = networks or [len(groups) - 1]
        support = {name.rsplit(".", 1)[1] for name in self.support}
        taken: set[str] = set(support)
        names = [""] * len(groups)
        for index in networks:
            if bases[index] in support:
                bases[index] += "Model"  # the network is called as a class that it uses
            number, names[index] = 1, bases[index]
            while names[index] in taken:
                number += 1
                names[index] = f"{bases[index]}{number}"
            taken.add(names[index])
        # The plainest of several variants of a block takes the plain name.
        for index in sorted(range(len(groups)), key=lambda item: (len(groups[item][0].children), item)):
            if index in networks:
                continue
            name = bases[index]
            if name in taken:
                plain = next((other for other, known in enumerate(names) if known == bases[index]), None)
                extra = [] if plain is None else _extra(groups[plain][0], groups[index][0])
                if extra:
                    name = f"{bases[index]}With{class_name(extra[0])}"
                elif plain is None or not _same_place(groups[plain][0], groups[index][0]):
                    name = _parented(groups[index][0], bases[index])
            number, wanted = 1, name
            while name in taken:
                number += 1
                name = f"{wanted}{number}"
            taken.add(name)
            names[index] = name
        return names

    def find_parameters(self, made: SourceClass) -> None:
        """Finds the numbers that differ between a class's functions, and says each by as few parameters as it can."""
        if len(made.shapes) == 1:
            return
        columns: dict[tuple[Any, ...], str] = {}
        chosen: dict[str, Slot] = {}
        order = {child.node.name: position for position, child in enumerate(made.first.children)}
        for slot in sorted(made.first.numbers, key=lambda item: order[item.node.split("/")[0]]):
            column = tuple(_key(shape.numbers[slot]) for shape in made.shapes)
            if len(set(column)) == 1:
                continue
            if column in columns:
                made.expressions[slot] = Verbatim(columns[column])
                continue
            multiple = _multiple(column, columns)
            if multiple is not None:
                made.expressions[slot] = Verbatim(multiple)
                continue
            name = self.parameter_name(made, slot, column, chosen)
            chosen[name] = slot
            columns[column] = name
            made.expressions[slot] = Verbatim(name)
            made.parameters.append((name, slot))
            if slot in made.first.defaults and _key(made.first.defaults[slot]) in column:
                made.defaults[name] = made.first.defaults[slot]
        made.parameters.sort(key=lambda item: item[0] in made.defaults)

    def parameter_name(self, made: SourceClass, slot: Slot, column: tuple[Any, ...], chosen: Mapping[str, Slot]) -> str:
        """The block's own parameter where its values are these, else the argument's name."""
        for name in made.first.function.parameters:
            values = tuple(_key(shape.function.parameters.get(name)) for shape in made.shapes)
            if values == column and variable_name(name) and name not in chosen and name not in LOOP_NAMES:
                return name
        layer = slot.node.replace("/", "_")
        options = [slot.argument, f"{layer}_{slot.argument}"]
        name = next(
            (option for option in options if variable_name(option) and option not in chosen), f"value_{len(chosen)}"
        )
        return name

    # ---- constructors --------------------------------------------------------------------------------

    def constructor(self, child: Child, expressions: Mapping[Slot, Any], shape: Shape, used: set[str]) -> Any:
        """The call that makes a child, with parameters where the class's functions differ."""
        if isinstance(child.call, str):
            return self.construct(child.call, child.node.name, expressions)
        call, _ = child.call
        arguments = tuple(_filled(item, expressions, shape) for item in call.arguments)
        named = tuple(
            (name, _filled(item, expressions, shape))
            for name, item in call.keywords
            if name in used or any(slot in expressions for slot in _slots(item))
        )
        return Call(call.function, arguments, named)

    def construct(self, key: str, prefix: str, expressions: Mapping[Slot, Any]) -> Any:
        """The call that makes the module of a function, seen from its caller."""
        shape = self.shapes[key]
        if not self.inline(key):
            made = self.classes[key]
            values = [
                (name, expressions.get(Slot(prefix, name), shape.numbers[slot])) for name, slot in made.parameters
            ]
            positional = tuple(value for name, value in values[:2] if name not in made.defaults)
            named = [
                (name, value)
                for name, value in values[len(positional) :]
                if name not in made.defaults or isinstance(value, Verbatim) or _key(value) != _key(made.defaults[name])
            ]
            return Call(made.name, positional, tuple(named))
        inner = {
            Slot(slot.node.removeprefix(f"{prefix}/"), slot.argument): value
            for slot, value in expressions.items()
            if slot.node.startswith(f"{prefix}/")
        }
        items = [
            (
                child.name,
                self.constructor(child, inner, shape, set(child.call[1]) if not isinstance(child.call, str) else set()),
            )
            for child in shape.children
        ]
        return sequential("nn.Sequential", items)


def sequential(function: str, items: Sequence[tuple[str, Any]]) -> Call:
    """An `nn.Sequential` of named children: numbered ones by position, others in an `OrderedDict`."""
    if [name for name, _ in items] == [str(index) for index in range(len(items))]:
        return Call(function, tuple(folded([item for _, item in items])))
    if all(plain_name(name) for name, _ in items):
        return Call(function, (Call("OrderedDict", (), tuple(items)),))
    return Call(function, (Call("OrderedDict", (list(items),)),))


def folded(items: Sequence[Any]) -> list[Any]:
    """Runs of three or more equal calls as one `*(… for _ in range(n))`."""
    out: list[Any] = []
    position = 0
    while position < len(items):
        length = 1
        while position + length < len(items) and items[position + length] == items[position]:
            length += 1
        out.extend([Repeat(items[position], length)] if length >= 3 else items[position : position + length])
        position += length
    return out


def _positional_names(op: Op, call: Call) -> list[str]:
    """What the arguments of a call are called: first those that follow from shapes, then fields by their values."""
    keywords = dict(call.keywords)
    names = [name for name in type(op).inferred if name not in keywords][: len(call.arguments)]
    for value in call.arguments[len(names) :]:
        free = [name for name in type(op).model_fields if name not in keywords and name not in names]
        equal = [name for name in free if getattr(op, name) == value]
        # A field that was left to be inferred (`normalized_shape`) is None.
        unset = [name for name in free if getattr(op, name) is None]
        names.append(next(iter([*equal, *unset]), f"argument{len(names)}"))
    return names


def _slotted(value: Any, node: str, argument: str, numbers: dict[Slot, Any]) -> Any:
    """A value with its numbers taken out into slots; those of nested calls are told apart by position."""
    if isinstance(value, Verbatim):
        return value
    if isinstance(value, Call):
        arguments = tuple(
            _slotted(item, node, f"{argument}_{index}" if argument else f"value{index}", numbers)
            for index, item in enumerate(value.arguments)
        )
        keywords = tuple((name, _slotted(item, node, name, numbers)) for name, item in value.keywords)
        return Call(value.function, arguments, keywords)
    if isinstance(value, tuple) and 1 < len(value) <= 5 and all(isinstance(item, int) for item in value):
        return tuple(_slotted(item, node, f"{argument}_{index}", numbers) for index, item in enumerate(value))
    slot = Slot(node, argument or "value")
    numbers[slot] = value
    return slot


def _slots(value: Any) -> Iterator[Slot]:
    """The slots in a constructor's argument."""
    if isinstance(value, Slot):
        yield value
    elif isinstance(value, Call):
        for item in (*value.arguments, *(part for _, part in value.keywords)):
            yield from _slots(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _slots(item)


def _structure(value: Any) -> Hashable:
    """A constructor's argument without its numbers."""
    if isinstance(value, Call):
        names = tuple(name for name, _ in value.keywords)
        inner = (*value.arguments, *(item for _, item in value.keywords))
        return (value.function, names, *(_structure(item) for item in inner))
    if isinstance(value, tuple):
        return tuple(_structure(item) for item in value)
    return "slot" if isinstance(value, Slot) else str(value)


def _filled(item: Any, expressions: Mapping[Slot, Any], shape: Shape) -> Any:
    """A constructor's argument with its slots filled: by a parameter's name, or by the number."""
    if isinstance(item, Slot):
        return expressions.get(item, shape.numbers.get(item))
    if isinstance(item, Call):
        arguments = tuple(_filled(part, expressions, shape) for part in item.arguments)
        keywords = tuple((name, _filled(part, expressions, shape)) for name, part in item.keywords)
        return Call(item.function, arguments, keywords)
    if isinstance(item, tuple):
        return tuple(_filled(part, expressions, shape) for part in item)
    return item


def _key_of(fills: Mapping[str, list[tuple[str, Call]]]) -> Hashable:
    """What some weights are filled with, without the numbers."""
    return tuple((name, tuple((weight, call) for weight, call in calls)) for name, calls in fills.items())


def _key(value: Any) -> Hashable:
    return (type(value).__name__, tuple(value) if isinstance(value, list) else value)


def _multiple(column: tuple[Any, ...], columns: Mapping[tuple[Any, ...], str]) -> str | None:
    """`4 * width` where a column is a whole multiple of a parameter's."""
    if any(kind != "int" for kind, _ in column):
        return None
    for known, name in columns.items():
        if any(kind != "int" or not value for kind, value in known):
            continue
        factors = {value / base for (_, value), (_, base) in zip(column, known, strict=True)}
        if len(factors) == 1 and (factor := factors.pop()) == int(factor) and 1 < factor <= 16:
            return f"{int(factor)} * {name}"
    return None


def _extra(plain: Shape, richer: Shape) -> list[str]:
    """The children that one variant has and the plain one hasn't, if that is all that differs.

    A numbered child is called after its operator or block.
    """
    base = {child.name for child in plain.children}
    if not base < {child.name for child in richer.children}:
        return []
    more = [child for child in richer.children if child.name not in base]
    return [child.node.callee_name if child.name.isdigit() else child.name for child in more]


def _base_name(shape: Shape) -> str:
    """The class name by itself; an iteration of the loop `blocks` is a `Block`."""
    name = shape.function.name
    if shape.function.kind == "iteration" and len(name) > 3 and name.endswith("s") and not name.endswith("ss"):
        name = name[:-1]
    return class_name(name)


def _same_place(one: Shape, other: Shape) -> bool:
    """Whether two groups stand at the same place of different iterations of a loop."""
    return _place(one) == _place(other)


def _place(shape: Shape) -> list[str]:
    """The names of the groups around a function and its own, without the numbers of iterations."""
    steps = [step.split("#")[0] for step in shape.function.key.split("/")]
    return [step for step in steps if not step.isdigit()]


def _parented(shape: Shape, base: str) -> str:
    """The name of a group's class, told apart by the group around it."""
    *outer, _ = _place(shape)
    own = class_name(outer[-1]) if outer else ""
    return base if base.startswith(own) else f"{own}{base}"


def is_stored(node: Node) -> bool:
    """Whether the node is a parameter or buffer of its class, not a module."""
    return isinstance(node.callee, Op) and node.callee.stored


def _attribute(form: Form, name: str, stored: bool = False) -> str:
    if stored and not plain_name(name):
        return f'getattr(self, "{name}")'  # a `ModuleDict` holds modules only
    if form == "list":
        return f"self[{name}]"
    return f"self.{name}" if plain_name(name) else f'self["{name}"]'


def _given(node: Node, types: Mapping[str, TensorType]) -> list[TensorType]:
    return [types[name] for name in node.inputs if name is not None]


def _called_again(program: Program, reachable: Iterable[str]) -> set[tuple[str, str]]:
    """The layers whose modules a `call` runs again: the keys of their functions, and their names there."""
    found: set[tuple[str, str]] = set()
    for key in reachable:
        for node in program.functions[key].nodes:
            function = program.functions[key]
            for step in [] if node.shares is None else node.shares.split("."):
                found.add((function.key, step))
                layer = next(item for item in function.nodes if item.name == step)
                if isinstance(layer.callee, str):
                    function = program.functions[layer.callee]
    return found


def _reachable(program: Program, networks: Sequence[str]) -> list[str]:
    """The functions below some networks, callees first."""
    wanted = set(networks)
    for key in reversed(list(program.functions)):
        if key in wanted:
            wanted.update(node.callee for node in program.functions[key].nodes if isinstance(node.callee, str))
    return [key for key in program.functions if key in wanted]
