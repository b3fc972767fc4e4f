"""The same model as `zoo:char_gpt`, as nanoGPT writes and trains it: `python nanogpt.py tinyshakespeare.txt`.

Network, batches, optimizer and schedule are nanoGPT's (https://github.com/karpathy/nanoGPT, MIT) at its setting for a
CPU. The loss is measured as specdl measures it, on the whole validation text in blocks end to end.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LENGTH, WIDTH, LAYERS, HEADS, BATCH = 64, 128, 4, 4, 12
RATE, LEAST_RATE, WARMUP, EVERY = 1e-3, 1e-4, 100, 250


class CausalSelfAttention(nn.Module):
    """Self-attention that sees what came before: `[N, T, C] -> [N, T, C]`."""

    def __init__(self) -> None:
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.c_proj = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attends."""
        batch, length, width = x.shape
        shape = (batch, length, HEADS, width // HEADS)
        query, key, value = (part.view(shape).transpose(1, 2) for part in self.c_attn(x).split(width, dim=2))
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, length, width))


class Block(nn.Module):
    """Attention, then two linear layers: `[N, T, C] -> [N, T, C]`."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH, bias=False)
        self.attn = CausalSelfAttention()
        self.ln_2 = nn.LayerNorm(WIDTH, bias=False)
        self.c_fc = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.c_proj = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One layer."""
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(functional.gelu(self.c_fc(self.ln_2(x))))


class GPT(nn.Module):
    """Logits of the next character: `[N, T] -> [N, T, vocabulary]`."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, WIDTH)
        self.wpe = nn.Embedding(LENGTH, WIDTH)
        self.h = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH, bias=False)
        self.lm_head = nn.Linear(WIDTH, vocabulary, bias=False)
        self.wte.weight = self.lm_head.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                std = 0.02 / math.sqrt(2 * LAYERS) if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, mean=0.0, std=std)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Predicts."""
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def loss_of(model: GPT, tokens: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy."""
    return functional.cross_entropy(model(tokens).flatten(0, 1), label.flatten())


def rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a tenth."""
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    along = (step - WARMUP) / (steps - WARMUP)
    return LEAST_RATE + 0.5 * (1 + math.cos(math.pi * along)) * (RATE - LEAST_RATE)


@torch.no_grad()
def validation_loss(model: GPT, ids: np.ndarray) -> float:
    """Over the whole text, in blocks end to end."""
    model.eval()
    count = (len(ids) - 1) // LENGTH
    tokens = torch.from_numpy(ids[: count * LENGTH].reshape(count, LENGTH))
    label = torch.from_numpy(ids[1 : count * LENGTH + 1].reshape(count, LENGTH))
    total = sum(
        loss_of(model, some, wanted).item() * len(some)
        for some, wanted in zip(tokens.split(BATCH), label.split(BATCH), strict=True)
    )
    model.train()
    return total / count


def batch_of(ids: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks that begin anywhere."""
    starts = torch.randint(len(ids) - LENGTH, (BATCH,))
    tokens = torch.stack([torch.from_numpy(ids[at : at + LENGTH]) for at in starts])
    label = torch.stack([torch.from_numpy(ids[at + 1 : at + 1 + LENGTH]) for at in starts])
    return tokens, label


def main() -> None:
    """Trains, and says how it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to keep metrics.jsonl, for compare.py")
    options = parser.parse_args()
    text = options.file.read_text(encoding="utf-8")
    symbols = sorted(set(text))
    number = {symbol: at for at, symbol in enumerate(symbols)}
    ids = np.array([number[symbol] for symbol in text], dtype=np.int64)
    train, validation = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]

    torch.manual_seed(options.seed)
    model = GPT(len(symbols))
    parameters = list(model.parameters())
    print(f"{sum(parameter.numel() for parameter in parameters):,} parameters")
    matrices = {"params": [parameter for parameter in parameters if parameter.dim() >= 2], "weight_decay": 0.1}
    others = {"params": [parameter for parameter in parameters if parameter.dim() < 2], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([matrices, others], lr=RATE, betas=(0.9, 0.99))
    rows: list[dict[str, float]] = []
    began, processor = time.perf_counter(), time.process_time()
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, options.steps)
        loss = loss_of(model, *batch_of(train))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if (step + 1) % EVERY == 0:
            row = {"step": step + 1, "validation/loss": validation_loss(model, validation)}
            rows.append({**row, "seconds": round(time.perf_counter() - began, 3)})
            print(json.dumps(rows[-1]), flush=True)
    print(f"{time.perf_counter() - began:.1f} s, {time.process_time() - processor:.1f} s of the processor")
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        (options.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
