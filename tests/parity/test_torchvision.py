"""The vision specs against torchvision's own constructors: parameters, keys, outputs, gradients, source and ONNX.

torchvision's modules are the reference that nobody here wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

import specdl
from specdl.backends.onnx import emit_onnx
from specdl.backends.onnx_verify import TOLERANCE
from tests.conftest import CASES, SPECS

ZOO: list[tuple[Path, str | None, str]] = [
    *(
        (SPECS / "vision" / file, name, name)
        for file, names in {
            "resnet.yaml": "resnet18 resnet34 resnet50 resnet101 resnet152 wide_resnet50_2 wide_resnet101_2 "
            "resnext50_32x4d resnext101_32x8d resnext101_64x4d",
            "densenet.yaml": "densenet121 densenet161 densenet169 densenet201",
            "vgg.yaml": "vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg13_bn vgg16_bn vgg19_bn",
            "efficientnet.yaml": " ".join(f"efficientnet_b{size}" for size in range(8)),
            "vit.yaml": "vit_b_16 vit_b_32 vit_l_16 vit_l_32 vit_h_14",
        }.items()
        for name in names.split()
    ),
    *((SPECS / "vision" / f"{name}.yaml", None, name) for name in ("alexnet", "googlenet", "mobilenet_v2")),
    (SPECS / "resnet.yaml", "resnet18", "resnet18"),
    *(
        (CASES / "elaborate" / "convnext_tiny.yaml", name, name)
        for name in ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large")
    ),
]

RUN: list[Any] = [
    *("resnet18", "densenet121", "convnext_tiny", "googlenet", "efficientnet_b0", "mobilenet_v2", "vit_b_16"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("alexnet", "vgg11", "vgg16_bn", "resnet50", "resnet152", "wide_resnet50_2", "resnext50_32x4d")
    ),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet161", "efficientnet_b4")),
]
"""One of each family runs, and larger ones in the slow suite; the others are compared by shape."""


def reference(name: str) -> nn.Module:
    options: dict[str, Any] = {"init_weights": False} if name == "googlenet" else {}
    return getattr(torchvision.models, name)(weights=None, **options)


def entry(name: str) -> tuple[Path, str | None, str]:
    return next(item for item in ZOO if item[2] == name)


@pytest.fixture(scope="module", autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("path", "variant", "name"), ZOO, ids=[item[2] for item in ZOO])
def test_parameters_keys_and_shapes(path: Path, variant: str | None, name: str) -> None:
    model = specdl.load(path, variant)
    with torch.device("meta"):
        ours, theirs = model.module(), reference(name)
    assert model.parameters == sum(parameter.numel() for parameter in theirs.parameters())
    expected = {key: (value.shape, value.dtype) for key, value in theirs.state_dict().items()}
    assert {key: (value.shape, value.dtype) for key, value in ours.state_dict().items()} == expected


def randomised(module: nn.Module) -> nn.Module:
    """The module with numbers that hide nothing: running averages and layer scales are not all zeros or ones."""
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.8, 1.2)
        elif name.endswith(("running_mean", "layer_scale")):
            value.uniform_(-0.2, 0.2)
    return module.eval()


@pytest.mark.parametrize("name", RUN)
def test_outputs_gradients_and_source(name: str, tmp_path: Path) -> None:
    path, variant, _ = entry(name)
    model = specdl.load(path, variant)
    theirs = randomised(reference(name))
    ours = model.module().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(2, 3, 224, 224)
    expected, found = theirs(image), ours(image)
    # The same kernels run in the same order: the promise is 1e-5, and nothing but it is allowed.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    expected.square().mean().backward()
    found.square().mean().backward()
    wanted = {key: parameter.grad for key, parameter in theirs.named_parameters() if parameter.grad is not None}
    for key, parameter in ours.named_parameters():
        if key in wanted:
            # Gradients add thousands of products; 1e-4 of their size is the promise.
            scale = wanted[key].abs().max().item()
            torch.testing.assert_close(parameter.grad, wanted[key], rtol=1e-4, atol=1e-4 * max(scale, 1e-3))
    ejected = tmp_path / "model.py"
    ejected.write_text(model.source())
    namespace: dict[str, Any] = {"__name__": "ejected"}
    exec(compile(ejected.read_text(), str(ejected), "exec"), namespace)
    alone = namespace[namespace["__all__"][0]]().eval()
    alone.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(alone(image), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", RUN)
def test_onnx_equals_torchvision(name: str, tmp_path: Path) -> None:
    import onnxruntime

    path, variant, _ = entry(name)
    model = specdl.load(path, variant)
    theirs = randomised(reference(name))
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    file = tmp_path / "model.onnx"
    file.write_bytes(emit_onnx(model.program, state).SerializeToString())
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    size = model.program.main.inputs[0].type.shape[-1]  # EfficientNet-B4 takes 380
    assert isinstance(size, int)
    image = torch.randn(3, 3, size, size)
    with torch.no_grad():
        expected = theirs(image)
    (found,) = session.run(None, {"image": image.numpy()})
    scale = max(1.0, expected.abs().max().item())
    # ONNX Runtime folds batch norms into convolutions and sums in another order (see TOLERANCE).
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=TOLERANCE * scale)


def test_flops_equal_pytorchs_counter() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    for name in ("resnet18", "resnet50", "densenet121", "vit_b_16"):
        path, variant, _ = entry(name)
        counter = FlopCounterMode(display=False)
        with torch.device("meta"), counter:
            reference(name).eval()(torch.empty(1, 3, 224, 224))
        assert specdl.load(path, variant).cost.flops == counter.get_total_flops(), name


def test_positions_of_another_resolution_are_scaled() -> None:
    """The weights of one image size at another: as torchvision's, whose table was scaled for it."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    small = {"layers": 2, "heads": 2, "width": 32, "classes": 10}
    numbers = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 128, "num_classes": 10, "patch_size": 16}
    trained = randomised(torchvision.models.VisionTransformer(image_size=64, **numbers)).state_dict()
    for value in trained.values():
        value.normal_(std=0.2)  # the head begins with zeros, which would hide everything
    theirs = torchvision.models.VisionTransformer(image_size=96, **numbers).eval()
    theirs.load_state_dict(interpolate_embeddings(96, 16, trained.copy()), strict=True)
    params = {f"params.{name}": value for name, value in (small | {"image": 96, "trained": 64}).items()}
    model = specdl.load(SPECS / "vision" / "vit.yaml", None, params)
    ours = model.module().eval()
    ours.load_state_dict(trained, strict=True)
    image = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        # The same kernels in the same order.
        torch.testing.assert_close(ours(image), theirs(image), rtol=1e-5, atol=1e-5)


def test_auxiliary_heads_train_and_vanish_at_inference() -> None:
    """GoogLeNet's three outputs in training, one in evaluation and in ONNX."""
    model = specdl.load(SPECS / "vision" / "googlenet.yaml", None, {"params.dropout": 0.0, "params.dropout_aux": 0.0})
    theirs = torchvision.models.GoogLeNet(init_weights=False, dropout=0.0, dropout_aux=0.0).train()
    ours = model.module().train()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(4, 3, 96, 96)
    expected = theirs(image)
    found = dict(zip(model.program.main.output_names, ours(image), strict=True))
    wanted = {"logits": expected.logits, "aux1": expected.aux_logits1, "aux2": expected.aux_logits2}
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        # Statistics of a batch divide by small variances, which amplifies the rounding.
        torch.testing.assert_close(value, wanted[name], rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        assert isinstance(ours.eval()(image), torch.Tensor)
    assert model.output_names == ("logits",)


class UNet(nn.Module):
    """Ronneberger et al. 2015, figure 1, written by hand; `padding` 0 is the paper's."""

    def __init__(self, padding: int, channels: int) -> None:
        super().__init__()

        def double(before: int, width: int) -> nn.Sequential:
            first = nn.Conv2d(before, width, 3, padding=padding)
            return nn.Sequential(first, nn.ReLU(), nn.Conv2d(width, width, 3, padding=padding), nn.ReLU())

        widths = [64, 128, 256, 512]
        self.down = nn.ModuleList(double(a, b) for a, b in zip([channels, *widths], widths, strict=False))
        self.bottom = double(512, 1024)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in reversed(widths))
        self.conv = nn.ModuleList(double(2 * width, width) for width in reversed(widths))
        self.last = nn.Conv2d(64, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, conv in zip(self.up, self.conv, strict=True):
            x, skip = up(x), skips.pop()
            cut = (skip.shape[2] - x.shape[2]) // 2
            skip = skip[:, :, cut : cut + x.shape[2], cut : cut + x.shape[3]]
            x = conv(torch.cat([x, skip], 1))
        result: torch.Tensor = self.last(x)
        return result


@pytest.mark.parametrize(("variant", "size"), [(None, 64), ("paper", 188)])
def test_u_net_equals_one_written_by_hand(variant: str | None, size: int) -> None:
    model = specdl.load(SPECS / "vision" / "unet.yaml", variant, {"params.size": size})
    theirs = UNet(0 if variant == "paper" else 1, 1 if variant == "paper" else 3).eval()
    ours = model.module().eval()
    # The same layers in the same order, under other names.
    values = list(theirs.state_dict().values())
    order = [*range(20)]  # down and bottom: two convolutions each, in order
    for level in range(4):
        order += [20 + 2 * level, 21 + 2 * level, *range(28 + 4 * level, 32 + 4 * level)]
    order += [44, 45]
    assert [value.shape for value in ours.state_dict().values()] == [values[index].shape for index in order]
    keys = list(ours.state_dict())
    ours.load_state_dict({key: values[index] for key, index in zip(keys, order, strict=True)})
    image = torch.randn(1, 1 if variant == "paper" else 3, size, size)
    with torch.no_grad():
        # The same kernels in the same order.
        torch.testing.assert_close(ours(image), theirs(image), rtol=1e-5, atol=1e-5)


def test_a_segmentation_network_over_an_imported_backbone() -> None:
    """DeepLabV3: the keys, and both outputs at another size than the backbone's own."""
    model = specdl.load(SPECS / "vision" / "deeplabv3.yaml", None, {"params.size": 65})
    options = {"weights": None, "weights_backbone": None, "aux_loss": True}
    theirs = randomised(torchvision.models.segmentation.deeplabv3_resnet50(**options))
    ours = model.module().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(2, 3, 65, 65)
    with torch.no_grad():
        expected, found = theirs(image), ours(image)
    for name, value in zip(model.output_names, found, strict=True):
        # The same kernels in the same order, as above.
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5)
