"""All operators, in one visible table.

A family is imported when one of its operators is asked for: a spec uses a dozen of them, and making the
classes of all takes longer than checking ResNet-152. For the same reason, modules of operators leave
`from __future__ import annotations` out: pydantic would compile the text of every annotation again for
every class below it, which is a third of the time that importing them takes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from specdl.ops.base import Op

FAMILIES: dict[str, str] = {
    "linear": "linear",
    "convolution": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    "pooling": (
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
        "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"
    ),
    "normalization": (
        "batch_norm1d batch_norm2d batch_norm3d instance_norm1d instance_norm2d group_norm layer_norm "
        "layer_norm2d rms_norm"
    ),
    "activation": (
        "relu relu6 leaky_relu prelu elu celu selu gelu silu mish sigmoid tanh softplus hardsigmoid hardswish "
        "hardtanh softmax log_softmax glu swiglu geglu"
    ),
    "dropout": "dropout dropout1d dropout2d alpha_dropout stochastic_depth",
    "embedding": "embedding embedding_bag",
    "positional": "sinusoidal_positions rotary_positions rotary_embedding relative_position_bias alibi",
    "recurrent": "lstm gru rnn",
    "attention": "attention multi_head_attention",
    "shape": (
        "flatten unflatten reshape permute transpose squeeze unsqueeze chunk split expand identity cast positions"
    ),
    "rearrange": "rearrange",
    "gathering": "gather take_along_dim",
    "padding": "pad",
    "upsampling": "interpolate pixel_shuffle pixel_unshuffle",
    "merge": "add mul sub div concat stack matmul",
    "elementwise": (
        "exp log sqrt rsqrt sin cos reciprocal erf abs neg square sign floor ceil round zeros_like ones_like "
        "stop_gradient clamp logical_not bitwise_not"
    ),
    "comparison": (
        "maximum minimum pow floor_divide remainder eq ne lt le gt ge logical_and logical_or logical_xor "
        "bitwise_and bitwise_or bitwise_xor where"
    ),
    "reduction": "mean sum amax amin logsumexp var std norm any all prod argmax argmin cumsum cumprod",
    "random_ops": "randn_like rand_like randn rand randint",
    "parameter": "parameter buffer linspace arange constant",
    "custom": "custom",
}
"""The modules of this package, and the operators that each declares in its `OPS`. A new operator is added here."""


class _Operators(Mapping[str, "type[Op]"]):
    """Operators by their name in a spec; a family's module is imported at the first look at one of them."""

    def __init__(self) -> None:
        self._homes = {name: module for module, names in FAMILIES.items() for name in names.split()}
        self._loaded: dict[str, type[Op]] = {}

    def __getitem__(self, name: str) -> type[Op]:
        if name not in self._loaded:
            module = importlib.import_module(f"specdl.ops.{self._homes[name]}")
            self._loaded.update({op.operator: op for op in module.OPS})
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


OPERATORS: Mapping[str, type[Op]] = _Operators()
"""Operators by their name in a spec."""


def all_ops() -> tuple[type[Op], ...]:
    """Every operator of the language."""
    return tuple(OPERATORS.values())
