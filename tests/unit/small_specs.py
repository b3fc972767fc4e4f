"""Random small specs: layers that keep their shape, in groups, blocks, loops, residuals and branches."""

from __future__ import annotations

from hypothesis import strategies as st

FEATURES = 6

_PLAIN = ("linear: 6", "relu", "layer_norm", "dropout: 0.1", "compute: _ + 1", "linear: {out_features: 6, bias: false}")


def _indented(lines: list[str], by: int = 2) -> list[str]:
    return [" " * by + line for line in lines]


@st.composite
def _entries(draw: st.DrawFn, depth: int = 2, prefix: str = "n") -> list[str]:
    """Lines of YAML: layers that keep the shape, in groups, residuals, loops and branches, some called again."""
    lines: list[str] = []
    callable_layers: list[str] = []
    for index in range(draw(st.integers(1, 3))):
        name = f"{prefix}{index}"
        kinds = ["plain", "named", "dead", "call"] + (
            ["group", "residual", "repeat", "branches", "block"] if depth else []
        )
        kind = draw(st.sampled_from(kinds))
        if kind == "plain":
            lines.append(f"- {draw(st.sampled_from(_PLAIN))}")
        elif kind == "named":
            lines.append(f"- {name} = linear: 6")
            callable_layers.append(name)
        elif kind == "dead":
            # A layer whose value nothing reads: its weights count, its FLOPs don't; it can be called all the same.
            unused = draw(st.sampled_from(["linear: 6", "dropout: 0.1", "relu"]))
            lines += [f"- {name}_before = relu", f"- {name}_dead = {unused}", f"- tanh({name}_before)"]
            callable_layers.append(f"{name}_dead")
        elif kind == "call" and callable_layers:
            lines.append(f"- call: {draw(st.sampled_from(callable_layers))}")
        elif kind == "block":
            lines.append(f"- {name} = part: {draw(st.sampled_from([3, 6]))}")
            callable_layers.append(name)
        elif kind in {"group", "residual", "repeat", "branches"}:
            inner = _indented(draw(_entries(depth - 1, f"{name}_")), 4)
            if kind == "group":
                lines += [f"- {name} = sequence:", *inner]
                callable_layers.append(name)
            elif kind == "residual":
                lines += ["- residual:", *inner]
            elif kind == "repeat":
                lines += [f"- {name} = repeat: {draw(st.integers(1, 3))}", "  body:", *inner]
            else:
                lines += [f"- {name} = branches:", "    -", *_indented(inner), "    - []", "  merge: add"]
    return lines or ["- relu"]


_PART = """blocks:
  part:
    params: {width: required}
    layers:
      - up = linear: $width
      - gelu
      - down = linear: 6
"""


@st.composite
def small_specs(draw: st.DrawFn) -> str:
    """The text of a spec below its header; its input is `x`, `[N, FEATURES]`."""
    return "\n".join([f"inputs: {{x: [{FEATURES}]}}", _PART, "layers:", *_indented(draw(_entries()))]) + "\n"
