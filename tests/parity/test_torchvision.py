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
    *((SPECS / "resnet.yaml", name, name) for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")),
    *(
        (CASES / "elaborate" / "densenet121.yaml", name, name)
        for name in ("densenet121", "densenet161", "densenet169", "densenet201")
    ),
    *(
        (CASES / "elaborate" / "convnext_tiny.yaml", name, name)
        for name in ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large")
    ),
    (CASES / "elaborate" / "googlenet.yaml", None, "googlenet"),
    *((CASES / "elaborate" / "efficientnet.yaml", f"efficientnet_b{i}", f"efficientnet_b{i}") for i in range(8)),
    *((CASES / "elaborate" / "vit.yaml", name, name) for name in ("vit_b_16", "vit_b_32", "vit_l_16")),
]

RUN = ["resnet18", "densenet121", "convnext_tiny", "googlenet", "efficientnet_b0", "vit_b_16"]
"""One of each family runs; the others are compared by shape."""


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
    image = torch.randn(3, 3, 224, 224)
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


def test_a_segmentation_network_over_an_imported_backbone() -> None:
    """DeepLabV3: the keys, and both outputs at another size than the backbone's own."""
    model = specdl.load(CASES / "imports" / "deeplabv3_resnet50" / "spec.yaml", None, {"params.size": 65})
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
