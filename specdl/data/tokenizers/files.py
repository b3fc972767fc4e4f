"""`tokenizer.json`: written for what we make, read whoever made it."""

from __future__ import annotations

import json
from typing import Any

from specdl.data.tokenizers.base import Plain, Tokenizer
from specdl.data.tokenizers.plain import WORD, ByteTokenizer, CharacterTokenizer, WordTokenizer
from specdl.data.tokenizers.template import template
from specdl.data.tokenizers.vocabulary import Vocabulary, byte_tokens, vocabulary_of


def written(vocabulary: Vocabulary, parts: dict[str, Any]) -> str:
    """The text of a `tokenizer.json` with some parts."""
    added = [
        {
            "id": number,
            "content": vocabulary.tokens[number],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number in sorted(vocabulary.special)
    ]
    data = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": parts.get("normalizer"),
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": template(vocabulary),
        "decoder": parts.get("decoder"),
        "model": parts["model"],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def read_tokenizer(text: str, where: str) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`. `where` names the file in messages. Raises `ValueError` where it is none."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    ours = _ours(data)
    if ours is not None:
        return ours
    from specdl.data.tokenizers.huggingface import read

    model = data.get("model") if isinstance(data, dict) else None
    kind = model.get("type") if isinstance(model, dict) else None
    return read(text, str(kind or "tokenizer").lower(), where)


def _ours(data: Any) -> Plain | None:
    """One of our own, where the file is as we write it."""
    for made in _candidates(data):
        if json.loads(made.text()) == data:
            return made
    return None


def _candidates(data: Any) -> list[Plain]:
    try:
        numbers = data["model"]["vocab"]
        tokens = sorted(numbers, key=numbers.__getitem__)
        special = {item["content"]: item["id"] for item in data["added_tokens"]}
        if [numbers[token] for token in tokens] != list(range(len(tokens))):
            return []
        vocabulary = vocabulary_of(tokens, special)
        kind, split = data["model"]["type"], data["pre_tokenizer"]
        lowercase = data["normalizer"] is not None
        if kind == "BPE" and tokens[:256] == byte_tokens():
            return [ByteTokenizer(vocabulary)]
        if kind == "WordLevel" and split["type"] == "Split":
            cls = WordTokenizer if split["pattern"] == {"Regex": WORD} else CharacterTokenizer
            return [cls(vocabulary, lowercase=lowercase)]
    except (KeyError, TypeError, AttributeError):
        pass
    return []


__all__ = ["read_tokenizer", "written"]
