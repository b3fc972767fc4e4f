"""Tokenizers: characters, bytes, words, and those of Hugging Face's `tokenizers`."""

from __future__ import annotations

from specdl.data.tokenizers.kinds import TOKENIZERS, FromFile, SameAs, TokenizerKind, Trained

__all__ = ["TOKENIZERS", "FromFile", "SameAs", "TokenizerKind", "Trained"]
