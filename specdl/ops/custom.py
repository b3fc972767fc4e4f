"""Layers of the user's own: Python classes beside the spec, behind the user's permission."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, PrivateAttr
from pydantic_core import PydanticCustomError

from specdl.custom import CustomError, Facts, facts, split
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, Weight


def _pairs(value: Any) -> Any:
    """Arguments as pairs, which are hashable."""
    if not isinstance(value, Mapping):
        return value
    if any(isinstance(item, Mapping) for item in value.values()):
        raise PydanticCustomError("arguments", "expected numbers, words, lists of them, true or false")
    return tuple((str(name), tuple(item) if isinstance(item, list) else item) for name, item in value.items())


def _sizes(value: Any) -> Any:
    """One shape, or several, as tuples."""
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(tuple(item) if isinstance(item, (list, tuple)) else item for item in value)


class Custom(Op):
    """A layer of your own, an `nn.Module` in a Python file beside the spec; needs `--allow-python`.

    Its shapes are found on PyTorch's meta device, or declared by `output`: then `check`, `summary` and `diagram` need
    no permission and import nothing, but don't count its weights. ONNX is then written by `torch.onnx.export`.
    """

    operator: ClassVar[str] = "custom"
    family: ClassVar[Family] = "custom"
    main: ClassVar[str | None] = "layer"
    inputs: ClassVar[tuple[str, ...]] = ("x", "y?", "z?", "w?")
    outputs: ClassVar[tuple[str, ...]] = ("*outputs",)
    random: ClassVar[bool] = True

    layer: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", description="File and class: `my_layers.Swish2` is in my_layers.py."
    )
    arguments: Annotated[
        tuple[tuple[str, Any], ...], BeforeValidator(_pairs, json_schema_input_type=dict[str, Any])
    ] = Field(default=(), description="Arguments of its constructor.")
    output: Annotated[
        tuple[int | tuple[int, ...], ...] | None,
        BeforeValidator(_sizes, json_schema_input_type=list[int | list[int]] | None),
    ] = Field(default=None, description="What it gives, without the batch: `[64, 8, 8]`, or a list of several shapes.")

    _folder: Path | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path | None:
        """The folder of its file; None without the user's permission."""
        return self._folder

    def permit(self, folder: Path) -> None:
        """Lets it be imported from a folder."""
        self._folder = folder

    def facts(self, types: tuple[TensorType, ...]) -> Facts:
        """What it makes of these inputs. Raises `TypeRuleError`."""
        assert self._folder is not None
        try:
            return facts(self._folder, self.layer, dict(self.arguments), types)
        except CustomError as error:
            raise TypeRuleError(f"[{error.code}] {error.message}", help=error.help) from error

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.output is None:
            return self.facts(types).outputs
        several = bool(self.output) and all(isinstance(item, tuple) for item in self.output)
        shapes: Sequence[Any] = self.output if several else (self.output,)
        return tuple(TensorType((BATCH, *shape)) for shape in shapes)

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        return () if self._folder is None else self.facts(types).weights

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call(self.layer, (), self.arguments)

    def torch_imports(self) -> tuple[str, ...]:
        return (split(self.layer)[0],)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        raise NotImplementedError("a network with a custom layer is exported by PyTorch")

    def title(self) -> str:
        return split(self.layer)[1]


OPS: tuple[type[Op], ...] = (Custom,)
