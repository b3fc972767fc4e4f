"""Steps and samples compute what is written: compared with the same lines in PyTorch, by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from specdl.api import Model, compile_source, load
from specdl.backends.torch_load import load_networks, load_sample, load_steps
from specdl.backends.torch_source import emit_torch
from specdl.source import parse_text
from tests.conftest import CASES


def model(name: str) -> Model:
    return load(CASES / "models" / f"{name}.yaml")


def batch(size: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "image": torch.rand(size, 1, 8, 8, generator=generator),
        "label": torch.randint(10, (size,), generator=generator),
    }


def backward(*terms: torch.Tensor) -> None:
    torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]


def gradients(module: nn.Module) -> list[torch.Tensor | None]:
    return [parameter.grad for parameter in module.parameters()]


def test_a_gan_computes_its_two_losses() -> None:
    gan = model("gan")
    networks, steps, given = gan.modules(), gan.step_functions(), batch()
    generator, discriminator = networks["generator"], networks["discriminator"]

    torch.manual_seed(7)
    terms, values = steps["discriminator"](networks, given)
    torch.manual_seed(7)
    fake = discriminator(generator(torch.randn(5, 64)).detach())
    real = discriminator(given["image"])
    # The same operations in the same order: equal to the bit.
    assert torch.equal(terms["bce_with_logits"], F.binary_cross_entropy_with_logits(real, torch.ones(5, 1)))
    assert torch.equal(terms["bce_with_logits_2"], F.binary_cross_entropy_with_logits(fake, torch.zeros(5, 1)))
    assert values == {}

    backward(*terms.values())
    assert all(gradient is None for gradient in gradients(generator)), "a gradient passed `stop_gradient`"
    assert all(gradient is not None for gradient in gradients(discriminator))
    backward(steps["generator"](networks, given)[0]["bce_with_logits"])
    assert all(gradient is not None for gradient in gradients(generator))


def test_a_gradient_penalty_is_that_of_the_paper() -> None:
    gan = model("wgan_gp")
    networks, given = gan.modules(), batch()
    torch.manual_seed(3)
    terms, _ = gan.step_functions()["critic"](networks, given)

    torch.manual_seed(3)
    fake = networks["generator"](torch.randn(5, 128)).detach()
    mix = torch.rand(5, 1, 1, 1)
    between = (mix * given["image"] + (1 - mix) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(networks["critic"](between).sum(), between, create_graph=True)
    penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    # `norm` sums the squares in another order.
    torch.testing.assert_close(terms["penalty"], penalty, rtol=1e-5, atol=1e-7)

    backward(terms["penalty"])
    found = [gradient.clone() for gradient in gradients(networks["critic"]) if gradient is not None]
    networks["critic"].zero_grad()
    backward(penalty)
    for mine, theirs in zip(found, [item for item in gradients(networks["critic"]) if item is not None], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


def test_evaluation_leaves_out_what_needs_a_gradient() -> None:
    gan = model("wgan_gp")
    networks, given = gan.modules(), batch()
    for network in networks.values():
        network.eval()
    with torch.inference_mode():
        terms, _ = gan.step_functions()["critic"](networks, given)
    assert set(terms) == {"wasserstein"}


def test_a_gradient_leaves_the_batch_as_it_is() -> None:
    text = """
specdl: 1
models:
  critic: {inputs: {image: [1, 8, 8]}, layers: [flatten, {linear: 4}, tanh]}
data: {source: digits}
steps:
  - name: critic
    update: critic
    layers:
      - score = critic(image)
      - slope = gradient(score, image)
    losses: ["mean(slope)"]
"""
    made, given = compile_source(parse_text(text, "text.yaml")), batch()
    terms, _ = made.step_functions()["critic"](made.modules(), given)
    assert terms["mean"].requires_grad
    assert not given["image"].requires_grad


def test_a_number_fills_an_input_of_a_block_or_network() -> None:
    made = model("distillation")
    networks, given = made.modules(), batch()
    networks["teacher"].load_state_dict(networks["student"].state_dict())
    for network in networks.values():
        network.eval()
    torch.manual_seed(5)
    terms, values = made.step_functions()["distil"](networks, given)
    torch.manual_seed(5)
    mine, _ = networks["student"](given["image"] + 0.1 * torch.randn_like(given["image"]))
    wanted = (networks["teacher"](given["image"])[0] / 2).softmax(1)
    torch.testing.assert_close(values["mine"], mine, rtol=0, atol=0)
    kl = F.kl_div((mine / 2).log_softmax(1), wanted, reduction="batchmean")
    torch.testing.assert_close(terms["kl"], kl, rtol=0, atol=0)


def test_a_diffusion_model_samples_in_a_loop() -> None:
    ddpm = model("ddpm")
    networks, label = ddpm.modules(), torch.tensor([3, 1, 4])
    network = networks["model"].eval()
    betas = torch.linspace(1e-4, 0.02, 1000)
    table = (1 - betas).cumprod(0)
    with torch.no_grad():
        torch.manual_seed(2)
        (found,) = load_sample(ddpm.program)(networks, {"label": label}).values()
        torch.manual_seed(2)
        x = torch.randn(3, 1, 8, 8)
        for t in range(999, -1, -20):
            time = torch.full((3,), t)
            guided, free = network(x, time, label), network(x, time, torch.full((3,), 10))
            eps = free + 3.0 * (guided - free)
            now, before = table[t], table[max(t - 20, 0)]
            x = before.sqrt() * (x - (1 - now).sqrt() * eps) / now.sqrt() + (1 - before).sqrt() * eps
        # Fifty steps of float32, in which `before` multiplies before the division.
        torch.testing.assert_close(found, x.clamp(-1, 1), rtol=1e-3, atol=1e-4)


def test_run_time_loops_carry_names_and_what_flows() -> None:
    made = model("run_time_loops")
    networks = made.modules()
    net: Any = networks["net"].eval()
    with torch.no_grad():
        torch.manual_seed(4)
        found = load_sample(made.program)(networks, {"batch": torch.zeros(3)})
        torch.manual_seed(4)
        x = torch.randn(3, 4)
        total, guess = torch.zeros(3, 4), torch.zeros(3, 4)
        for row, (t, scale) in enumerate(zip((7, 5, 3, 1), (0.1, 0.2, 0.3, 0.4), strict=True)):
            guess = net(x, torch.full((3,), t))
            x = x - scale * (0.5 * guess)
            x = x + (0.0 if row == 3 else scale) * torch.randn_like(x)
            for index in range(2):
                total = total + x * (index + 1)
        flow = total
        for _ in range(3):
            flow = net(flow, torch.ones(3, dtype=torch.int64))
    wanted = {"x": flow, "last_guess": guess, "total": total}
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def test_all_networks_stand_in_one_source() -> None:
    program = model("gan").program
    source = emit_torch(program)
    assert '__all__ = ["Generator", "Discriminator"]' in source.text
    assert source.models == {"generator": "Generator", "discriminator": "Discriminator"}
    for name, module in load_networks(program).items():
        alone = compile_source(parse_text((CASES / "models" / "gan.yaml").read_text("utf-8"), "gan.yaml")).module(name)
        assert list(module.state_dict()) == list(alone.state_dict())


def test_two_networks_whose_names_make_one_class_name_are_told_apart() -> None:
    text = """
specdl: 1
models:
  net_a: {inputs: {x: [4]}, layers: [linear: 4]}
  netA: {inputs: {x: [4]}, layers: [linear: 5]}
"""
    models = emit_torch(compile_source(parse_text(text, "text.yaml")).program).models
    assert len(set(models.values())) == 2


def test_values_may_be_called_as_the_step_calls_its_own() -> None:
    text = """
specdl: 1
models:
  net: {inputs: {x: [1, 8, 8]}, layers: [flatten, {linear: 4}]}
data: {source: digits}
steps:
  - name: torch
    update: net
    layers:
      - models = net(image)
      - batch = net(image)
      - F = mul(models, batch)
      - LAYERS = dropout(F): 0.5
      - other = net(image)
    losses: [mean(LAYERS), mean(other), mean(models)]
"""
    made = compile_source(parse_text(text, "text.yaml"))
    terms, _ = load_steps(made.program)["torch"](made.modules(), batch())
    assert len(terms) == 3
    assert all(bool(term.isfinite()) for term in terms.values())


def test_dropout_in_a_step_rests_in_evaluation() -> None:
    text = """
specdl: 1
models:
  net: {inputs: {x: [1, 8, 8]}, layers: [flatten, {linear: 64}]}
data: {source: digits}
steps:
  - name: one
    update: net
    layers:
      - net(image)
      - dropped = dropout: 0.5
    losses: [mean(dropped)]
"""
    made, given = compile_source(parse_text(text, "text.yaml")), batch()
    networks, step = made.modules(), made.step_functions()["one"]
    assert step(networks, given)[0]["mean"] != step(networks, given)[0]["mean"]
    networks["net"].eval()
    assert torch.equal(step(networks, given)[0]["mean"], networks["net"](given["image"]).mean())
