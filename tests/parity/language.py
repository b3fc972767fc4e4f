"""Language models of the zoo beside those of transformers: how each is made, small or at full size, and called."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from specdl.api import Model, load

TOKENS = torch.tensor([[5, 9, 2, 7, 6], [4, 8, 3, 1, 1]])
"""Two texts; the second one ends with RoBERTa's padding."""
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
TARGET = torch.tensor([[0, 9, 3, 7], [2, 8, 6, 5]])


@dataclass(frozen=True)
class Case:
    """A spec with `params` that make it small, and the reference of the same size.

    `reference` and `config` are names in transformers, `sizes` the config's arguments. `inputs` are the spec's, with
    the reference's names of them; `mask` is the spec's input that hides padding, and `outputs` are the reference's.
    `causal` is the input of a decoder. With `own_head` the reference's is untied: transformers 5 ties that of T5 1.1,
    whose paper and checkpoints don't.
    """

    spec: str
    reference: str
    config: str
    sizes: Mapping[str, Any]
    params: Mapping[str, Any]
    variant: str | None = None
    inputs: Mapping[str, str] = field(default_factory=lambda: {"tokens": "input_ids"})
    mask: str = "mask"
    outputs: Sequence[str] = ("logits",)
    causal: str | None = None
    own_head: bool = False

    def small(self, **overrides: Any) -> Model:
        """The spec at the case's size."""
        given = {f"params.{key}": value for key, value in self.params.items()}
        return load(f"zoo:{self.spec}", self.variant, overrides={**given, **overrides})

    def theirs(self) -> nn.Module:
        """transformers' module with random weights, all of which matter: norms and biases too."""
        import transformers

        torch.manual_seed(0)
        config = getattr(transformers, self.config)(**self.sizes)
        module: nn.Module = getattr(transformers, self.reference)(config).eval()
        if self.own_head:
            module.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter) * parameter.requires_grad)
        return module

    def fields(self, length: int | None = None) -> dict[str, Tensor]:
        """The inputs of the spec but for its mask, cut or repeated to a length."""
        kinds = {"input_ids": TOKENS, "decoder_input_ids": TARGET, "token_type_ids": TOKENS % 2}
        found = {ours: kinds[theirs] for ours, theirs in self.inputs.items()}
        if length is None:
            return found
        return {
            name: torch.cat([value] * (length // value.shape[1] + 1), 1)[:, :length] for name, value in found.items()
        }

    def call(self, module: nn.Module, fields: Mapping[str, Tensor], mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """What the reference says."""
        keywords = {self.inputs[name]: value for name, value in fields.items()}
        if mask is not None:
            keywords["attention_mask"] = mask.long()
        found = module(**keywords)
        return tuple(found[name] for name in self.outputs)

    def own(self, module: nn.Module, fields: Mapping[str, Tensor], mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """What the spec's module says."""
        found = module(**fields, **({} if mask is None else {self.mask: mask}))
        return found if isinstance(found, tuple) else (found,)

    def real(self, values: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
        """Outputs without those at padding, where there are any: these are nobody's business."""
        padded = mask is not None and self.inputs.keys().isdisjoint({"target"})
        return [value[mask] if padded and value.dim() == 3 else value for value in values]


def saved(module: nn.Module, path: Path) -> Path:
    """A module's `state_dict` as a file, each tied weight under all of its keys."""
    state = {key: value.detach().clone().contiguous() for key, value in module.state_dict().items()}
    save_file(state, path)
    return path


def ejected(model: Model, folder: Path) -> nn.Module:
    """The network of the ejected source, a module that knows nothing of specdl."""
    source = model.source()
    assert "specdl" not in source
    path = folder / "ejected.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("ejected", path)
    assert spec is not None
    assert spec.loader is not None
    room = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(room)
    module: nn.Module = getattr(room, room.__all__[-1])()
    return module


def parameters_at_full_size(reference: str, config: str, *, own_head: bool = False, **sizes: Any) -> int:
    """How many parameters transformers' model has; nothing is allocated."""
    import transformers

    with torch.device("meta"):
        module = getattr(transformers, reference)(getattr(transformers, config)(**sizes))
        if own_head:
            module.lm_head = nn.Linear(module.config.d_model, module.config.vocab_size, bias=False)
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


_BERT = {
    "vocab_size": 300, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 40,
    "max_position_embeddings": 16,
}  # fmt: skip
_OUR_BERT = {"vocabulary": 300, "width": 24, "layers": 3, "heads": 2, "hidden": 40, "length": 16}
_BERT_INPUTS = {"input_ids": "input_ids", "token_type_ids": "token_type_ids"}
_LLAMA = {
    "vocab_size": 300, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 40, "rms_norm_eps": 1e-5,
}  # fmt: skip
_OUR_LLAMA = {"vocabulary": 300, "width": 24, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 40}
_T5 = {"vocab_size": 300, "d_model": 24, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_heads": 4}
_OUR_T5 = {"vocabulary": 300, "width": 24, "head": 6, "heads": 4, "hidden": 40, "layers": 2}
_BART = {
    "vocab_size": 300, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40, "max_position_embeddings": 16,
}  # fmt: skip
_OUR_BART = {"vocabulary": 300, "width": 24, "layers": 2, "heads": 2, "hidden": 40}
_MARIAN = {**_BART, "pad_token_id": 1, "scale_embedding": True, "static_position_embeddings": True}
_BOTH = {"source": "input_ids", "target": "decoder_input_ids"}

CASES = {
    "gpt2": Case(
        "gpt2", "GPT2LMHeadModel", "GPT2Config",
        {"vocab_size": 300, "n_positions": 16, "n_embd": 24, "n_layer": 3, "n_head": 2},
        {"vocabulary": 300, "length": 16, "width": 24, "layers": 3, "heads": 2},
        causal="tokens",
    ),
    "bert": Case(
        "bert", "BertForPreTraining", "BertConfig", _BERT, _OUR_BERT, inputs=_BERT_INPUTS, mask="attention_mask",
        outputs=("prediction_logits", "seq_relationship_logits"),
    ),
    "bert_classifier": Case(
        "bert_classifier", "BertForSequenceClassification", "BertConfig", {**_BERT, "num_labels": 3},
        {**_OUR_BERT, "classes": 3}, inputs=_BERT_INPUTS, mask="attention_mask",
    ),
    "roberta": Case(
        "roberta", "RobertaForMaskedLM", "RobertaConfig",
        {**_BERT, "max_position_embeddings": 18, "type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5},
        _OUR_BERT, inputs={"input_ids": "input_ids"}, mask="attention_mask",
    ),
    "llama": Case("llama", "LlamaForCausalLM", "LlamaConfig", _LLAMA, _OUR_LLAMA, causal="tokens"),
    "llama-3.2": Case(
        "llama", "LlamaForCausalLM", "LlamaConfig",
        {
            **_LLAMA, "tie_word_embeddings": True, "head_dim": 8,
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
            },
        },
        {**_OUR_LLAMA, "head": 8}, variant="llama-3.2-1b", causal="tokens",
    ),
    "t5": Case(
        "t5", "T5ForConditionalGeneration", "T5Config", _T5, _OUR_T5, inputs=_BOTH, mask="source_mask", causal="target"
    ),
    "t5-v1.1": Case(
        "t5", "T5ForConditionalGeneration", "T5Config",
        {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        _OUR_T5, variant="t5-v1.1-small", own_head=True, inputs=_BOTH, mask="source_mask", causal="target",
    ),
    "bart": Case(
        "bart", "BartForConditionalGeneration", "BartConfig", _BART, {**_OUR_BART, "length": 16}, inputs=_BOTH,
        mask="source_mask", causal="target",
    ),
    "transformer": Case(
        "transformer", "MarianMTModel", "MarianConfig", {**_MARIAN, "activation_function": "swish"}, _OUR_BART,
        variant="opus-mt", inputs=_BOTH, mask="source_mask", causal="target",
    ),
}  # fmt: skip
