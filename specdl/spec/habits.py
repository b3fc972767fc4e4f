"""What people write who come from PyTorch, Keras, Lightning or Ultralytics, and what to write here instead.

Each table maps a word of theirs to a word of ours, or to a sentence where there is no such word. They only ever
become the help of an error: a spec has one way to say a thing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from specdl.diagnostics import did_you_mean, nearest

_MODULES = re.compile(
    r"\A(?:(?:torch|torchvision|transforms|optim|nn|functional|F|tf|keras|layers|ops|timm|einops)\.)+"
)
"""The modules in which other libraries keep what they are asked for."""

# ---- arguments ---------------------------------------------------------------------------------------

_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "filters": ("out_channels",),
    "channels": ("out_channels", "hidden_size"),
    "out": ("out_channels", "out_features"),
    "out_dim": ("out_features", "out_channels"),
    "output_size": ("out_features", "hidden_size"),
    "units": ("out_features", "hidden_size"),
    "features": ("out_features", "hidden_size"),
    "hidden": ("hidden_size",),
    "hidden_dim": ("hidden_size",),
    "layers": ("num_layers",),
    "n_layers": ("num_layers",),
    "kernel": ("kernel_size",),
    "k": ("kernel_size",),
    "ksize": ("kernel_size",),
    "pool_size": ("kernel_size",),
    "window": ("kernel_size",),
    "size": ("kernel_size", "output_size"),
    "strides": ("stride",),
    "s": ("stride",),
    "pad": ("padding",),
    "p": ("padding",),
    "dilation_rate": ("dilation",),
    "rate": ("p",),
    "prob": ("p",),
    "dropout": ("p",),
    "dropout_p": ("dropout",),
    "dropout_rate": ("dropout", "p"),
    "use_bias": ("bias",),
    "epsilon": ("eps",),
    "alpha": ("negative_slope",),
    "slope": ("negative_slope",),
    "axis": ("dim",),
    "axes": ("dims", "dim"),
    "keepdims": ("keepdim",),
    "input_dim": ("num_embeddings",),
    "vocab_size": ("num_embeddings",),
    "output_dim": ("embedding_dim",),
    "embed_dim": ("embedding_dim",),
    "num_heads": ("heads",),
    "n_heads": ("heads", "num_heads"),
    "nhead": ("heads", "num_heads"),
    "heads": ("num_heads",),
    "is_causal": ("causal",),
    "groups": ("num_groups",),
    "scale": ("scale_factor",),
    # objectives, data and training
    "learning_rate": ("lr",),
    "decay": ("weight_decay",),
    "l2": ("weight_decay",),
    "beta": ("betas",),
    "beta_1": ("betas",),
    "beta_2": ("betas",),
    "num_epochs": ("epochs",),
    "max_epochs": ("epochs",),
    "steps": ("max_steps",),
    "iterations": ("max_steps",),
    "gradient_clip_val": ("clip",),
    "grad_clip": ("clip",),
    "accumulate_grad_batches": ("accumulate",),
    "gradient_accumulation_steps": ("accumulate",),
    "amp": ("precision",),
    "mixed_precision": ("precision",),
    "accelerator": ("device",),
    "random_state": ("seed",),
    "batch": ("batch_size",),
    "bs": ("batch_size",),
    "dataset": ("source",),
    "validation_split": ("split",),
    "val_split": ("split",),
    "augmentations": ("transforms",),
    "warmup": ("warmup_steps",),
}
"""Other libraries' words for our arguments; the first that the operator has is meant."""

_NO_ARGUMENTS: dict[str, str] = {
    "activation": "an activation is a layer of its own: `- {value}` on the next line",
    "act": "an activation is a layer of its own: `- relu` on the next line",
    "name": "a name stands before the operator: `{value} = {operator}`",
    "id": "a name stands before the operator: `{value} = {operator}`",
    "input": "inputs stand in parentheses: `{operator}({value})`",
    "inputs": "inputs stand in parentheses: `{operator}(x, y)`",
    "input_shape": "sizes follow from the shapes; those of the network stand under `inputs`",
    "batch_input_shape": "sizes follow from the shapes; those of the network stand under `inputs`",
    "data_format": "images are [C, H, W] here; leave it out",
    "kernel_initializer": "how weights begin is said under `init:`",
    "bias_initializer": "how weights begin is said under `init:`",
    "weight_init": "how weights begin is said under `init:`",
    "kernel_regularizer": "weight decay belongs to the optimizer: `optimizer: {{adamw: {{weight_decay: 1e-4}}}}`",
    "trainable": "what doesn't learn is said under `freeze:`",
    "requires_grad": "what doesn't learn is said under `freeze:`",
    "device": "where it runs is said once: `train: {{device: cuda}}`",
    "dtype": "what it computes with is said once: `train: {{precision: bf16}}`",
    "inplace": "leave it out: it doesn't change the result",
    "return_sequences": "it gives them all; the last one is `compute: output[:, -1]`",
    "return_state": "name what it gives: `output, h, c = {operator}`",
    "proj_size": "leave it out, and put a `linear` behind it",
    "num_workers": "leave it out",
    "shuffle": "leave it out: training data is shuffled",
    "repeat": "layers are repeated by an entry: `- repeat: {value}` with `body: [...]` beneath",
    "if": "a condition stands beside the operator: `when: …`",
    "when": "`when` stands beside the operator, not among its arguments",
}
"""Arguments that exist elsewhere and have no counterpart of their kind."""


def argument_meant(name: str, known: Sequence[str]) -> str | None:
    """The argument that an unknown name stands for: another library's word, or a misspelling."""
    words = (word for word in _ARGUMENTS.get(name.lower(), ()) if word in known)
    return next(words, None) or (None if name in _NO_ARGUMENTS else nearest(name, known))


def argument_help(
    name: str, operator: str, value: object, known: Sequence[str], inferred: Collection[str] = ()
) -> str | None:
    """What to write instead of an argument that doesn't exist. `value` is what it was given."""
    if name in inferred:
        return f"`{name}` follows from the shapes; leave it out"
    if any(word in known for word in _ARGUMENTS.get(name.lower(), ())):
        return f"write `{argument_meant(name, known)}`"
    advice = _NO_ARGUMENTS.get(name)
    if advice is not None:
        return advice.format(operator=operator, value=value if isinstance(value, (str, int)) else "…")
    return did_you_mean(name, known)


# ---- entries -----------------------------------------------------------------------------------------

_TYPE_KEYS = ("type", "op", "operator", "layer", "class", "class_name", "_target_", "module")
_BESIDE = {
    "if": "a condition is written `when: …`",
    "condition": "a condition is written `when: …`",
    "repeat": "layers are repeated by an entry of their own: `- repeat: 3` with `body: [...]` beneath",
    "n": "layers are repeated by an entry of their own: `- repeat: 3` with `body: [...]` beneath",
    "activation": "an activation is a layer of its own, on the next line",
    "inputs": "inputs stand in parentheses: `add(x, y)`",
    "input": "inputs stand in parentheses: `relu(x)`",
    "from": "inputs stand in parentheses: `relu(x)`",
    "name": "a name stands before the operator: `name = operator`",
    "args": "arguments stand behind the operator's colon",
    "kwargs": "arguments stand behind the operator's colon",
    "params": "arguments stand behind the operator's colon",
}


def entry_help(entry: Mapping[str, object], other: str) -> str | None:
    """What to write instead of an entry that says its operator or its name by a key; `other` is the second of them."""
    kind = next((entry[key] for key in _TYPE_KEYS if isinstance(entry.get(key), str)), None)
    if kind is None:
        return _BESIDE.get(other)
    operator = _MODULES.sub("", str(kind))
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", operator).lower()
    name = entry.get("name")
    head = f"{name} = {snake}" if isinstance(name, str) else snake
    return f"the operator is the key, and its arguments stand behind the colon: `{head}: {{…}}`"


def list_help(data: object) -> str:
    """What to write instead of something that isn't a list of layers."""
    if isinstance(data, Mapping) and data:
        name, layer = next(iter(data.items()))
        if isinstance(layer, Mapping) and len(layer) == 1:
            return f"begin each layer with `- `, and give it its name with `=`: `- {name} = {next(iter(layer))}: …`"
        return f"begin each layer with `- `: `- {name}: …`"
    if isinstance(data, str) and data.startswith("-"):
        return "a dash needs a space behind it: `- relu`"
    return "begin each layer with `- `"


# ---- the keys of a spec ------------------------------------------------------------------------------

_IN_TRAIN = "epochs num_epochs max_epochs max_steps seed precision device clip ema accumulate early_stopping checkpoint"
_IN_DATA = "batch_size source split transforms dataset train_data"
_KEYS: dict[str, str] = {
    **{
        name: f"write `train: {{{name.split('_', 1)[-1] if 'epochs' in name else name}: …}}`"
        for name in _IN_TRAIN.split()
    },
    **{name: f"write `data: {{{'source' if 'data' in name else name}: …}}`" for name in _IN_DATA.split()},
    "lr": "write `optimizer: {adamw: {lr: …}}`",
    "learning_rate": "write `optimizer: {adamw: {lr: …}}`",
    "weight_decay": "write `optimizer: {adamw: {weight_decay: …}}`",
    "momentum": "write `optimizer: {sgd: {momentum: …}}`",
    "version": "write `specdl: 1`",
    "model": "write `layers`, or `models` for several networks",
    "network": "write `layers`, or `models` for several networks",
    "architecture": "write `layers`",
    "backbone": "write `layers`; a part of a network is a named group: `backbone = sequence: [...]`",
    "head": "write `layers`; a part of a network is a named group: `head = sequence: [...]`",
    "trainer": "write `train`",
    "training": "write `train`",
    "fit": "write `train`",
    "criterion": "write `loss`",
    "objective": "write `loss`",
    "modules": "write `blocks`",
    "components": "write `blocks`",
    "hyperparameters": "write `params`",
    "hparams": "write `params`",
    "config": "write `params`",
    "arguments": "write `params`",
    "defs": "write `blocks`",
    "functions": "write `blocks`",
    "nc": "write `params: {classes: …}`, and `$classes` where it is read",
    "callbacks": "write what you want of them under `train`: `early_stopping`, `checkpoint`",
}
"""Keys on top of a spec that other tools have."""


def key_help(name: str) -> str | None:
    """What to write instead of a top-level key of another tool."""
    return _KEYS.get(name.lower())


def file_hint(path: Sequence[object], value: object) -> str | None:
    """What to write instead of a key's value of the wrong type."""
    if list(path) == ["layers"]:
        return list_help(value)
    if list(path) == ["inputs"] and isinstance(value, list):
        return f"an input has a name: `inputs: {{x: [{', '.join(map(str, value))}]}}`"
    if list(path) == ["blocks"] and isinstance(value, list):
        return "a block has a name: `blocks: {name: {layers: [...]}}`"
    return None


# ---- what sections choose from -----------------------------------------------------------------------

_CHOICES: dict[str, str] = {
    "cosineannealing": "cosine",
    "cosineannealingwarmrestarts": "cosine",
    "cosinedecay": "cosine",
    "onecycle": "one_cycle",
    "exponentialdecay": "exponential",
    "piecewiseconstantdecay": "multi_step",
    "noam": "inverse_sqrt",
    "acc": "accuracy",
    "categoricalaccuracy": "accuracy",
    "binaryaccuracy": "accuracy",
    "multiclassaccuracy": "accuracy",
    "f1score": "f1",
    "meansquarederror": "mse",
    "meanabsoluteerror": "mae",
    "imagefolder": "image_folder",
    "folder": "image_folder",
    "cifar": "cifar10",
    "randomhorizontalflip": "random_flip",
    "flip": "random_flip",
    "randomresizedcrop": "random_resized_crop",
    "colorjitter": "color_jitter",
    "randaugment": "rand_augment",
}
"""Other libraries' schedulers, metrics, sources and transforms, without underscores, capitals and endings."""

_ENDINGS = re.compile(r"(?:lr|scheduler|optimizer|dataset|metric)\Z")


def choice_help(name: str, known: Collection[str]) -> str | None:
    """What to write instead of an optimizer, scheduler, metric, source or transform that doesn't exist."""
    plain = _MODULES.sub("", name).lower().replace("_", "")
    same = {item.replace("_", ""): item for item in known}
    for word in (plain, _ENDINGS.sub("", plain)):
        found = same.get(word) or _CHOICES.get(word)
        if found in known:
            return f"it is called `{found}` here"
    return did_you_mean(name, known) or did_you_mean(name.lower(), known)


def choice_by_type(value: Mapping[str, object]) -> str | None:
    """What to write instead of `{type: adam, lr: 1e-3}`."""
    key = next((key for key in (*_TYPE_KEYS, "name") if isinstance(value.get(key), str)), None)
    if key is None:
        return None
    rest = ", ".join(f"{name}: {item}" for name, item in value.items() if name != key)
    return f"the name is the key: `{value[key]}: {{{rest}}}`" if rest else f"write `{value[key]}`"


# ---- operators ---------------------------------------------------------------------------------------

_OPERATORS: dict[str, str] = {
    "dense": "linear",
    "fc": "linear",
    "fullyconnected": "linear",
    "conv": "conv2d",
    "convolution": "conv2d",
    "convolution2d": "conv2d",
    "convtranspose": "conv_transpose2d",
    "deconv": "conv_transpose2d",
    "batchnorm": "batch_norm2d",
    "batchnormalization": "batch_norm2d",
    "bn": "batch_norm2d",
    "layernormalization": "layer_norm",
    "ln": "layer_norm",
    "groupnormalization": "group_norm",
    "rmsnormalization": "rms_norm",
    "maxpool": "max_pool2d",
    "avgpool": "avg_pool2d",
    "globalaveragepooling2d": "adaptive_avg_pool2d",
    "globalaveragepool": "adaptive_avg_pool2d",
    "globalavgpool": "adaptive_avg_pool2d",
    "globalavgpool2d": "adaptive_avg_pool2d",
    "globalaveragepool2d": "adaptive_avg_pool2d",
    "globalmaxpooling2d": "adaptive_max_pool2d",
    "gap": "adaptive_avg_pool2d",
    "maxpooling1d": "max_pool1d",
    "maxpooling2d": "max_pool2d",
    "maxpooling3d": "max_pool3d",
    "averagepooling1d": "avg_pool1d",
    "averagepooling2d": "avg_pool2d",
    "averagepooling3d": "avg_pool3d",
    "conv1dtranspose": "conv_transpose1d",
    "conv2dtranspose": "conv_transpose2d",
    "conv3dtranspose": "conv_transpose3d",
    "concatenate": "concat",
    "cat": "concat",
    "multiply": "mul",
    "times": "mul",
    "plus": "add",
    "subtract": "sub",
    "minus": "sub",
    "divide": "div",
    "dot": "matmul",
    "bmm": "matmul",
    "swish": "silu",
    "upsample": "interpolate",
    "upsampling2d": "interpolate",
    "resize": "interpolate",
    "view": "reshape",
    "expanddims": "unsqueeze",
    "droppath": "stochastic_depth",
    "mha": "multi_head_attention",
    "multiheadattention": "multi_head_attention",
    "selfattention": "multi_head_attention",
    "sdpa": "attention",
    "scaleddotproductattention": "attention",
    "noop": "identity",
    "detach": "stop_gradient",
    "max": "amax",
    "min": "amin",
    "einops": "rearrange",
    "sequential": "sequence",
    "modulelist": "repeat",
    "lambda": "compute",
    "expression": "compute",
    "parallel": "branches",
    "skip": "residual",
    "shortcut": "residual",
    "loop": "repeat",
    "foreach": "for",
    "reuse": "call",
    "shared": "call",
    # losses
    "ce": "cross_entropy",
    "categoricalcrossentropy": "cross_entropy",
    "sparsecategoricalcrossentropy": "cross_entropy",
    "softmaxcrossentropy": "cross_entropy",
    "bce": "bce_with_logits",
    "binarycrossentropy": "bce_with_logits",
    "meansquarederror": "mse",
    "l2": "mse",
    "meanabsoluteerror": "l1",
    "mae": "l1",
    "huber": "smooth_l1",
    "kldivergence": "kl_div",
}
"""Other libraries' operators and losses, without underscores and capitals."""


def operator_meant(name: str, known: Collection[str]) -> str | None:
    """The operator or block that an unknown name stands for in another library: its own name, or a word of theirs."""
    bare = _MODULES.sub("", name)
    plain = bare.lower().replace("_", "")
    same = {item.replace("_", ""): item for item in known}
    for word in (plain, plain.removesuffix("loss"), plain.removesuffix("layer")):
        found = same.get(word) or _OPERATORS.get(word)
        if found in known:
            return found
    return None


def operator_help(name: str, known: Collection[str]) -> str | None:
    """What to write instead of an operator that doesn't exist."""
    found = operator_meant(name, known)
    return f"it is called `{found}` here" if found is not None else did_you_mean(_MODULES.sub("", name).lower(), known)


def called_help(name: str, known: Collection[str], required: Sequence[str]) -> str | None:
    """What to write instead of `nn.Conv2d(3, 8, 3)`; `required` are the arguments that the operator must have."""
    found = operator_meant(name, known)
    if found is None:
        return None
    arguments = ", ".join(f"{argument}: …" for argument in required) or "…"
    return f"arguments stand behind a colon, by name: `{found}: {{{arguments}}}`"
