"""Transforms of examples by their names in a spec: torchvision's v2 names, those of text, OpenCV's behind `cv2.`."""

from __future__ import annotations

from specdl.data.transforms.augment import Augmix, AutoAugment, RandAugment, TrivialAugmentWide
from specdl.data.transforms.base import Transform
from specdl.data.transforms.colour import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    RandomErasing,
    RandomGrayscale,
    RandomPerspective,
    RandomRotation,
)
from specdl.data.transforms.denoising import Denoise, Shift, ShiftRight, SpanCorruption
from specdl.data.transforms.geometry import (
    CenterCrop,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
)
from specdl.data.transforms.language import Blocks, MaskTokens, NextToken, Pack
from specdl.data.transforms.mixing import Cutmix, Mixup
from specdl.data.transforms.numbers import Binarize, Normalize, OneHot, ToDtype
from specdl.data.transforms.opencv import OPENCV
from specdl.data.transforms.sentences import NextSentence, SentencePair
from specdl.data.transforms.text import PaddingMask, Tokenize
from specdl.data.transforms.word_vectors import Cbow, Cooccurrence, SkipGram

_TEXT: tuple[type[Transform], ...] = (
    Tokenize,
    NextToken,
    Blocks,
    Pack,
    MaskTokens,
    NextSentence,
    SentencePair,
    SpanCorruption,
    Denoise,
    ShiftRight,
    Shift,
    PaddingMask,
    SkipGram,
    Cbow,
    Cooccurrence,
)

_ALL: tuple[type[Transform], ...] = (
    Resize,
    CenterCrop,
    Pad,
    RandomCrop,
    RandomResizedCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    RandomAffine,
    RandomRotation,
    RandomPerspective,
    ColorJitter,
    Grayscale,
    RandomGrayscale,
    GaussianBlur,
    RandomErasing,
    AutoAugment,
    RandAugment,
    TrivialAugmentWide,
    Augmix,
    Normalize,
    ToDtype,
    Binarize,
    OneHot,
    *_TEXT,
    *OPENCV,
)

TRANSFORMS: dict[str, type[Transform]] = {transform.name: transform for transform in _ALL}
"""Transforms of one example, by their name in a spec."""

BATCH_TRANSFORMS: dict[str, type[Transform]] = {transform.name: transform for transform in (Mixup, Cutmix)}
"""Transforms of a batch, by their name in a spec."""

ANY_TRANSFORMS: dict[str, type[Transform]] = {
    **{transform.name: transform for transform in _ALL if transform not in _TEXT},
    **BATCH_TRANSFORMS,
}
"""What may stand among transforms of a batch: those too that do the same to each example, but for those of text."""

__all__ = ["ANY_TRANSFORMS", "BATCH_TRANSFORMS", "TRANSFORMS", "RandomAffine", "RandomCrop", "Resize", "Transform"]
