"""The part of a `tokenizer.json` that says what stands around a text, and around both texts of a pair."""

from __future__ import annotations

from typing import Any

from specdl.data.tokenizers.vocabulary import Vocabulary


def template(vocabulary: Vocabulary) -> dict[str, Any] | None:
    """What puts the first and the last token around a text, and around both of a pair; None where there are none."""
    begin, end = vocabulary.begin, vocabulary.end
    if begin is None and end is None:
        return None

    def token(number: int | None, segment: int) -> list[dict[str, Any]]:
        return [] if number is None else [{"SpecialToken": {"id": vocabulary.tokens[number], "type_id": segment}}]

    def text(letter: str, segment: int) -> list[dict[str, Any]]:
        return [{"Sequence": {"id": letter, "type_id": segment}}]

    single = [*token(begin, 0), *text("A", 0), *token(end, 0)]
    used = [number for number in (begin, end) if number is not None]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, *text("B", 1), *token(end, 1)],
        "special_tokens": {
            word: {"id": word, "ids": [number], "tokens": [word]}
            for number in used
            if (word := vocabulary.tokens[number])
        },
    }
