"""DeiT, and ViT's smaller sizes, against timm: the same keys, strictly loaded, and the same outputs in both modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import specdl
from specdl.backends.onnx_verify import TOLERANCE
from tests.conftest import SPECS

timm = pytest.importorskip("timm", reason="the `dev` extra installs it")

DEIT = SPECS / "vision" / "deit.yaml"
SIZES = ("tiny_patch16_224", "small_patch16_224", "base_patch16_224", "base_patch16_384")
VARIANTS = [f"deit_{size}" for size in SIZES] + [
    f"deit_{size}".replace("_patch16", "_distilled_patch16") for size in SIZES
]
RUN = ["deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"]


def reference(name: str) -> nn.Module:
    module: nn.Module = timm.create_model(name, pretrained=False)
    return module


def randomised(name: str) -> nn.Module:
    """timm's module with numbers that hide nothing: it begins with biases of zero, and almost with tokens of zero."""
    torch.manual_seed(0)
    module = reference(name).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1 or parameter.shape[0] == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_keys_and_shapes(name: str) -> None:
    model = specdl.load(DEIT, name)
    with torch.device("meta"):
        ours, theirs = model.module(), reference(name)
    assert model.parameters == sum(parameter.numel() for parameter in theirs.parameters())
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes


@pytest.mark.parametrize("name", RUN)
def test_outputs_gradients_and_onnx(name: str, tmp_path: Path) -> None:
    import onnxruntime

    model = specdl.load(DEIT, name)
    theirs, ours = randomised(name), model.module().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(2, 3, 224, 224)
    expected, found = theirs(image), ours(image)
    # The same kernels run in the same order; only the split into query, key and value is another one.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    expected.square().mean().backward()
    found.square().mean().backward()
    gradients = dict(ours.named_parameters())
    for key, parameter in theirs.named_parameters():
        assert parameter.grad is not None
        # Gradients add thousands of products; 1e-4 of their size is the promise.
        scale = max(parameter.grad.abs().max().item(), 1e-3)
        torch.testing.assert_close(gradients[key].grad, parameter.grad, rtol=1e-4, atol=1e-4 * scale)
    file = tmp_path / "deit.onnx"
    assert model.export_onnx(file, ours).verified
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    three = torch.randn(3, 3, 224, 224)
    (logits,) = session.run(None, {"image": three.numpy()})
    with torch.no_grad():
        wanted = theirs(three)
    # ONNX Runtime fuses and sums in another order (see TOLERANCE).
    scale = max(1.0, wanted.abs().max().item())
    torch.testing.assert_close(torch.from_numpy(logits), wanted, rtol=0, atol=TOLERANCE * scale)


def test_training_has_both_heads_and_evaluation_their_mean() -> None:
    name = "deit_tiny_distilled_patch16_224"
    theirs: Any = randomised(name)
    # Stochastic depth draws; without it both are the same in training too.
    model = specdl.load(DEIT, name, {"params.drop_path": 0.0})
    ours = model.module()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(2, 3, 224, 224)
    theirs.set_distilled_training(True)
    with torch.no_grad():
        cls, dist = theirs.train()(image)
        found = dict(zip(model.program.main.output_names, ours.train()(image), strict=True))
        # The same kernels in the same order, as above.
        torch.testing.assert_close(found["head"], cls, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found["head_dist"], dist, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.eval()(image), (cls + dist) / 2, rtol=1e-5, atol=1e-5)
    assert model.output_names == ("logits",)


def test_flops_equal_pytorchs_counter() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter:
        reference("deit_small_distilled_patch16_224").eval()(torch.empty(1, 3, 224, 224))
    assert specdl.load(DEIT, "deit_small_distilled_patch16_224").cost.flops == counter.get_total_flops()


@pytest.mark.parametrize(
    ("variant", "name"), [("vit_ti_16", "vit_tiny_patch16_224"), ("vit_s_16", "vit_small_patch16_224")]
)
def test_vits_smaller_sizes_have_timms_counts(variant: str, name: str) -> None:
    """Their keys are torchvision's, which hasn't these sizes."""
    with torch.device("meta"):
        theirs = reference(name)
    model = specdl.load(SPECS / "vision" / "vit.yaml", variant)
    assert model.parameters == sum(parameter.numel() for parameter in theirs.parameters())
