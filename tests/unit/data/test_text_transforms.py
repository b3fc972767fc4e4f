"""Objectives of text: their promises, on tokens that are easy to follow, and against counting by hand."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.data.columns import Chosen, Ragged, Windows, collate, ragged, strings
from specdl.data.tokenizers import TOKENIZERS
from specdl.data.tokenizers.vocabulary import Vocabulary, vocabulary_of
from specdl.data.transforms import TRANSFORMS
from specdl.data.transforms.language import packed
from specdl.data.transforms.text import IGNORED, OfTokens, Tokenize
from specdl.diagnostics import SpecError
from specdl.ir.dims import BATCH, extent, symbol
from specdl.ir.types import STRING, TensorType
from specdl.ops.base import TypeRuleError

SPECIAL = ["<pad>", "<unk>", "<bos>", "<eos>", "<mask>", "<extra_id_0>", "<extra_id_1>", "<extra_id_2>"]
VOCABULARY = vocabulary_of(
    [*SPECIAL, *(f"w{number}" for number in range(92))], {token: at for at, token in enumerate(SPECIAL)}
)
PAD, UNK, BOS, EOS, MASK = range(5)
FIRST = len(SPECIAL)
TOKENS = TensorType((BATCH, symbol("T")), "int64")


def make(name: str, vocabulary: Vocabulary = VOCABULARY, **arguments: Any) -> OfTokens:
    found = TRANSFORMS[name].model_validate(arguments)
    assert isinstance(found, OfTokens)
    return found.with_vocabulary(vocabulary)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texts(*rows: list[int]) -> Ragged:
    return ragged([torch.tensor(row, dtype=torch.int64) for row in rows], PAD)


def lists(column: Any) -> list[list[int]]:
    return [row.tolist() for row in (column.rows() if isinstance(column, Ragged) else column)]


def drawn(count: int, length: int = 40, seed: int = 0, ends: bool = False) -> Ragged:
    """Texts of random ordinary tokens, of random lengths."""
    random = generator(seed)
    rows = []
    for _ in range(count):
        size = int(torch.randint(2, length, (), generator=random))
        row = torch.randint(FIRST, 100, (size,), generator=random).tolist()
        rows.append([BOS, *row, EOS] if ends else row)
    return texts(*rows)


class TestTokenize:
    def made(self, *words: str) -> Tokenize:
        transform = Tokenize(tokenizer=TOKENIZERS["words"].model_validate({"special": ["pad", "unk", "bos", "eos"]}))
        return transform.with_tokenizer(transform.tokenizer.make([" ".join(words)]))

    def test_types(self) -> None:
        made, text, words = self.made("a"), TensorType((BATCH,), STRING), TensorType((BATCH, symbol("W")), STRING)
        tags = TensorType((BATCH, symbol("W")), "int64")
        assert len(made.infer_fields([text])) == 1
        assert len(made.infer_fields([text, text])) == len(made.infer_fields([words, tags])) == 2
        for wrong in ([TOKENS], [text, tags], [text, text, text], [words, text]):
            with pytest.raises(TypeRuleError):
                made.infer_fields(wrong)

    def test_tags_of_words_go_to_their_first_tokens(self) -> None:
        made = self.made("a", "-", "b")
        words, tags = strings([["a-b", "b"], ["a"]]), texts([7, 8], [9])
        tokens, label = made.apply([words, tags], generator())
        assert lists(tokens) == [[2, 5, 4, 6, 6, 3], [2, 5, 3]]
        assert lists(label) == [[IGNORED, 7, IGNORED, IGNORED, 8, IGNORED], [IGNORED, 9, IGNORED]]
        assert label.padding == IGNORED
        with pytest.raises(SpecError, match="example 2 has 1 words, but 2 tags"):
            made.apply([words, texts([7, 8], [9, 9])], generator())


class TestNextToken:
    def test_each_text_by_itself(self) -> None:
        tokens, label = make("next_token").apply([texts([1, 2, 3], [4], [5, 6])], generator())
        assert lists(tokens) == [[1, 2], [], [5]]
        assert lists(label) == [[2, 3], [], [6]]
        assert (tokens.padding, label.padding) == (PAD, IGNORED)
        dense = make("next_token").apply([torch.tensor([[1, 2, 3]])], generator())
        assert [item.tolist() for item in dense] == [[[1, 2]], [[2, 3]]]

    @pytest.mark.parametrize("stride", [None, 2])
    def test_fixed_blocks_lie_end_to_end(self, stride: int | None) -> None:
        made = make("next_token", length=3, stride=stride, offsets="fixed")
        (windows,) = made.arrange([texts([0, 1, 2, 3], [4, 5, 6, 7, 8, 9])])
        tokens, label = made.apply([windows], generator())
        starts = range(0, 7, stride or 3)
        assert tokens.tolist() == [[at, at + 1, at + 2] for at in starts]
        assert label.tolist() == [[at + 1, at + 2, at + 3] for at in starts]

    def test_random_blocks_begin_anywhere_alike(self) -> None:
        made = make("next_token", length=3)
        assert made.varies()
        (fixed,) = made.evaluation()
        assert not fixed.varies()
        (windows,) = made.arrange([texts(list(range(10)))])
        assert isinstance(windows, Windows)
        assert len(windows) == 3
        random, counts = generator(), Counter[int]()
        for _ in range(1000):
            tokens, label = made.apply([windows], random)
            assert torch.equal(label[:, :-1], tokens[:, 1:])
            counts.update(tokens[:, 0].tolist())
        assert set(counts) == set(range(7))  # the last block has a label for its last token
        # Of 3000 draws each start gets 429 on average, with a deviation of 19: four of them.
        assert all(abs(count - 3000 / 7) < 4 * 19.2 for count in counts.values())

    def test_a_token_between_texts(self) -> None:
        made = make("next_token", length=4, offsets="fixed", separator="eos")
        (windows,) = made.arrange([texts([10, 11], [12, 13])])
        assert made.apply([windows], generator())[0].tolist() == [[10, 11, EOS, 12]]
        assert made.needs() == (("eos",),)

    def test_too_little_text(self) -> None:
        with pytest.raises(ValueError, match="has 3 tokens, fewer than the 5"):
            make("next_token", length=4).arrange([texts([1, 2], [3])])

    def test_types(self) -> None:
        made = make("next_token", length=4)
        assert made.infer_fields([TOKENS]) == (TensorType((BATCH, 4), "int64"),) * 2
        shorter = TensorType((BATCH, symbol("T") - 1), "int64")
        assert make("next_token").infer_fields([TOKENS]) == (shorter, shorter)
        with pytest.raises(TypeRuleError):
            make("next_token", stride=3).infer_fields([TOKENS])
        with pytest.raises(TypeRuleError):
            made.infer_fields([TensorType((BATCH, symbol("T")), "float32")])


class TestBlocks:
    def test_texts_and_places_are_numbered(self) -> None:
        made = make("blocks", length=5, offsets="fixed")
        (windows,) = made.arrange([texts([10, 11], [12, 13, 14, 15], [16, 17, 18, 19])])
        tokens, segments, positions = made.apply([windows], generator())
        assert tokens.tolist() == [[10, 11, 12, 13, 14], [15, 16, 17, 18, 19]]
        assert segments.tolist() == [[0, 0, 1, 1, 1], [0, 1, 1, 1, 1]]
        assert positions.tolist() == [[0, 1, 0, 1, 2], [0, 0, 1, 2, 3]]


class TestPack:
    @given(st.lists(st.integers(0, 12), min_size=1, max_size=40))
    def test_every_text_is_in_one_row_and_no_row_is_too_long(self, lengths: list[int]) -> None:
        rows = packed(lengths, 12)
        assert sorted(text for row in rows for text in row) == list(range(len(lengths)))
        assert all(sum(lengths[text] for text in row) <= 12 for row in rows)
        # First fit of the longest first takes at most 11/9 of the least number of rows, and 6/9 of one.
        assert len(rows) <= max(
            math.ceil(sum(lengths) / 12) * 11 / 9 + 2, len([n for n in lengths if n > 6]) * 11 / 9 + 2
        )

    def test_rows_segments_and_positions(self) -> None:
        made = make("pack", length=5)
        tokens, segments, positions = made.apply(
            made.arrange([texts([1, 2], [3, 4, 5, 6, 7, 8], [9], [10, 11])]), generator()
        )
        assert lists(tokens) == [[3, 4, 5, 6, 7], [1, 2, 10, 11, 9]]
        assert lists(segments) == [[0, 0, 0, 0, 0], [0, 0, 1, 1, 2]]
        assert lists(positions) == [[0, 1, 2, 3, 4], [0, 1, 0, 1, 0]]


class TestMaskTokens:
    @pytest.mark.parametrize("dense", [False, True])
    def test_shares(self, dense: bool) -> None:
        column = texts(*([BOS, *range(FIRST, FIRST + 90), EOS] for _ in range(200)))
        given_tokens: Any = column.padded() if dense else column
        tokens, label = make("mask_tokens").apply([given_tokens], generator())
        before = torch.tensor(lists(given_tokens))
        after, wanted = torch.tensor(lists(tokens)), torch.tensor(lists(label))
        hidden = wanted != IGNORED
        assert torch.equal(wanted[hidden], before[hidden])
        assert torch.equal(after[~hidden], before[~hidden])
        assert hidden.sum(1).tolist() == [round(90 * 0.15)] * 200
        assert not hidden[:, [0, -1]].any()
        # Of 2800 hidden tokens; four deviations of a share of 0.8 are 0.030, of 0.1 0.023.
        masked = after[hidden] == MASK
        assert abs(masked.float().mean() - 0.8) < 0.031
        same = after[hidden] == before[hidden]
        assert abs(same.float().mean() - 0.1 - 0.1 / 92) < 0.023
        others = after[hidden][~masked & ~same]
        assert int(others.min()) >= FIRST

    def test_every_text_has_a_hidden_token(self) -> None:
        column = drawn(50, 8)
        tokens, label = make("mask_tokens", probability=0.05).apply([column], generator())
        assert all((row != IGNORED).sum() == 1 for row in label.rows())
        assert (tokens.padding, label.padding) == (PAD, IGNORED)

    def test_only_special_tokens_hide_nothing(self) -> None:
        tokens, label = make("mask_tokens").apply([texts([BOS, EOS], [])], generator())
        assert lists(tokens) == [[BOS, EOS], []]
        assert lists(label) == [[IGNORED, IGNORED], []]

    def test_evaluation_masks_too(self) -> None:
        made = make("mask_tokens")
        assert made.evaluation() == (made,)
        assert make("mask_tokens", mask=0.0).needs() == ()


class TestSpanCorruption:
    @pytest.mark.parametrize("ends", [False, True])
    def test_source_and_label_make_the_text(self, ends: bool) -> None:
        column = drawn(200, ends=ends)
        source, label = make("span_corruption").apply([column], generator())
        for before, kept, gone in zip(lists(column), lists(source), lists(label), strict=True):
            inner = [token for token in before if token not in (BOS, EOS)]
            count = len(inner)
            taken = min(max(round(count * 0.15), 1), count - 1)
            spans = min(max(round(taken / 3), 1), taken, count - taken, 3)
            assert kept[-1] == gone[-1] == EOS
            pieces: dict[int, list[int]] = {}
            for token in gone[:-1]:
                if token in VOCABULARY.sentinels:
                    pieces[token] = []
                else:
                    pieces[list(pieces)[-1]].append(token)
            assert list(pieces) == list(VOCABULARY.sentinels[:spans])
            assert all(pieces.values())
            assert sum(map(len, pieces.values())) == taken
            whole = [item for token in kept[:-1] for item in pieces.get(token, [token])]
            assert whole == inner

    def test_places_differ(self) -> None:
        made, column = make("span_corruption"), drawn(20, ends=True)
        one, other = (lists(made.apply([column], generator(seed))[0]) for seed in (1, 2))
        assert one != other
        assert one == lists(made.apply([column], generator(1))[0])

    def test_nothing_to_take(self) -> None:
        source, label = make("span_corruption").apply([texts([9], [])], generator())
        assert lists(source) == [[9, EOS], [EOS]]
        assert lists(label) == [[EOS], [EOS]]

    @pytest.mark.parametrize("length", [8, 20])
    def test_a_longest_input(self, length: int) -> None:
        column = drawn(200, 60, ends=True)
        made = make("span_corruption", length=length)
        source, label = made.apply([column], generator())
        lengths = [len(row) for row in lists(source)]
        assert max(lengths) <= length
        whole = [
            sum(token not in VOCABULARY.sentinels for token in [*kept[:-1], *gone[:-1]])
            for kept, gone in zip(lists(source), lists(label), strict=True)
        ]
        for before, size, after in zip(lists(column), lengths, whole, strict=True):
            # Nothing is cut off that would have fitted: one token more makes an input of at most one more.
            assert after == len(before) - 2 or size in (length - 1, length)
        assert extent(made.infer_fields([TOKENS])[0].shape[1]) == (1, length)


class TestDenoise:
    def test_tokens_are_kept_or_masked(self) -> None:
        column = drawn(200, 60, ends=True)
        source, label = make("denoise", permute_sentences=False).apply([column], generator())
        assert lists(label) == lists(column)
        shares = []
        for before, after in zip(lists(column), lists(source), strict=True):
            kept = [token for token in after if token != MASK]
            assert kept[0] == BOS
            assert kept[-1] == EOS
            places = iter(before)
            assert all(token in places for token in kept)  # in their order
            shares.append(1 - (len(kept) - 2) / (len(before) - 2))
            assert after.count(MASK) <= round((len(before) - 2) * 0.3)
        # Spans of length 0 count for one token of the budget and take none: on average one in twenty.
        assert 0.2 < sum(shares) / len(shares) < 0.31

    def test_lengths_keep_within_what_is_declared(self) -> None:
        """Also where nearly all spans are empty, so that each mask makes the text longer, and where ends are new."""
        most, tokens = 12, TensorType((BATCH, symbol("T", None, 12)), "int64")
        made = make("denoise", density=0.9, mean_length=0.01)
        bounds = [extent(type.shape[1])[1] for type in made.infer_fields([tokens])]
        found = made.apply([texts(*[list(range(FIRST, FIRST + most))] * 50)], generator())
        lengths = [max(map(len, lists(column))) for column in found]
        assert lengths[0] > most + 8
        assert all(length <= bound for length, bound in zip(lengths, bounds, strict=True))
        assert [extent(type.shape[1])[1] for type in made.infer_fields([TOKENS])] == [math.inf, math.inf]

    def test_sentences_change_places(self) -> None:
        words = vocabulary_of(["<eos>", "<mask>", "a", "b", "c", "d.", "e!", "f"], {"<eos>": 0, "<mask>": 1})
        made = make("denoise", words, density=0.0)
        found = {tuple(lists(made.apply([texts([2, 5, 3, 6, 4, 7, 0])], generator(seed))[0])[0]) for seed in range(40)}
        pieces = ([2, 5], [3, 6], [4, 7])
        orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        assert found == {(*[token for at in order for token in pieces[at]], 0) for order in orders}


class TestShiftRight:
    def test_a_start_and_a_label(self) -> None:
        target, label = make("shift_right").apply([texts([BOS, 9, EOS], [9, EOS])], generator())
        assert lists(target) == [[BOS, 9], [BOS, 9]]
        assert lists(label) == [[9, EOS], [9, EOS]]
        assert (target.padding, label.padding) == (PAD, IGNORED)
        target, label = make("shift_right", start="pad").apply([texts([9, EOS])], generator())
        assert (lists(target), lists(label)) == ([[PAD, 9]], [[9, EOS]])
        assert make("shift_right").needs() == (("bos", "cls", "pad"),)

    def test_a_label_that_stays(self) -> None:
        (target,) = make("shift", start=7).for_outputs(1).apply([texts([7, 9, EOS], [9])], generator())[:1]
        assert lists(target) == [[7, 7, 9], [7]]
        (type,) = make("shift_right").for_outputs(1).infer_fields([TOKENS])
        assert type == TOKENS
        assert make("shift_right", start=0).needs() == ()

    def test_what_a_label_is_filled_up_with(self) -> None:
        _, label = make("shift_right", ignore=-1).apply([texts([BOS, 9], [BOS, 9, EOS])], generator())
        assert label.padding == -1


def test_a_mask_is_true_at_tokens() -> None:
    (mask,) = make("padding_mask").apply([texts([9, 9, EOS], [9])], generator())
    assert collate({"mask": mask}, {})["mask"].tolist() == [[True, True, True], [True, False, False]]
    (whole,) = make("padding_mask").apply([torch.zeros(2, 3, dtype=torch.int64)], generator())
    assert whole.tolist() == [[True] * 3] * 2
    assert make("padding_mask").infer_fields([TOKENS]) == (TOKENS.with_dtype("bool"),)


class TestNextSentence:
    @pytest.mark.parametrize("documents", [True, False])
    def test_pairs(self, documents: bool) -> None:
        column = texts(*([BOS, FIRST + at, EOS] for at in range(20)))
        numbers = torch.tensor([0] * 5 + [1] + [2] * 14)
        made = make("next_sentence", max_length=16)
        chosen, bounds = made.arrange([column, numbers] if documents else [column])
        assert isinstance(chosen, Chosen)
        assert len(chosen) == (17 if documents else 19)
        seen: Counter[int] = Counter()
        random = generator()
        for _ in range(100):
            tokens, segments, label = made.apply([chosen, bounds], random)
            for pair, which, drawn_other in zip(lists(tokens), lists(segments), label.tolist(), strict=True):
                begin, first, middle, second, end = pair
                assert (begin, middle, end) == (BOS, EOS, EOS)
                assert which == [0, 0, 0, 1, 1]
                if not drawn_other:
                    assert second == first + 1
                elif documents:
                    assert numbers[second - FIRST] != numbers[first - FIRST]
                else:
                    assert second not in (first, first + 1)
                seen[drawn_other] += 1
        # 1,700 pairs or more; four deviations of a share of a half are 0.049.
        assert abs(seen[1] / seen.total() - 0.5) < 0.05

    def test_too_little(self) -> None:
        with pytest.raises(ValueError, match="two sentences"):
            make("next_sentence").arrange([texts([1], [2], [3]), torch.tensor([0, 1, 2])])


class TestWordVectors:
    COLUMN = texts([10, 11, 12, 13, 14, 15], [UNK, 20, EOS, 21], [30])

    def test_neighbours_as_often_as_a_window_of_random_size_has_them(self) -> None:
        made = make("skip_gram", window=3, negatives=0)
        (windows,) = made.arrange([texts(list(range(10, 60)))])
        counts: Counter[int] = Counter()
        random = generator()
        for _ in range(200):
            word, context = made.apply([windows], random)
            inner = (word >= 13) & (word < 57)
            counts.update((context - word)[inner].tolist())
        total = counts.total()
        wanted = {1: 3 / 12, -1: 3 / 12, 2: 2 / 12, -2: 2 / 12, 3: 1 / 12, -3: 1 / 12}
        # 8,800 draws; four deviations of a share of a quarter are 0.019.
        assert {distance: count / total for distance, count in counts.items()} == pytest.approx(wanted, abs=0.019)

    def test_no_window_leaves_its_text(self) -> None:
        made = make("skip_gram", window=5)
        (windows,) = made.arrange([self.COLUMN])
        assert isinstance(windows, Windows)
        assert windows.stream[windows.starts].tolist() == [10, 11, 12, 13, 14, 15, 20, 21]
        pairs: set[tuple[int, int]] = set()
        random = generator()
        for _ in range(300):
            word, context, label = made.apply([windows], random)
            assert context.shape == label.shape == (8, 6)
            assert label.tolist() == [[1, 0, 0, 0, 0, 0]] * 8
            pairs.update(zip(word.tolist(), context[:, 0].tolist(), strict=True))
        first = {(a, b) for a in range(10, 16) for b in range(10, 16) if a != b}
        assert pairs == first | {(20, 21), (21, 20)}

    def test_others_are_drawn_by_frequency(self) -> None:
        rows = [[10] * 16 + [11], [12, 12]]
        made = make("skip_gram", negatives=1000)
        (windows,) = made.arrange([texts(*rows)])
        _, context, _ = made.apply([windows], generator())
        # Only of examples whose neighbour is 12, so that few draws are made again.
        others = Counter(context[context[:, 0] == 11][:, 1:].flatten().tolist())
        total = others.total()
        weights = {10: 16**0.75, 11: 1.0, 12: 2**0.75}
        assert set(others) <= set(weights)
        share = others[10] / (others[10] + others[12])
        assert share == pytest.approx(weights[10] / (weights[10] + weights[12]), abs=0.04)
        assert total > 0

    def test_frequent_words_are_left_out(self) -> None:
        column = texts([10] * 9000 + list(range(20, 90)) * 10)
        (windows,) = make("skip_gram", subsample=1e-3).arrange([column])
        assert isinstance(windows, Windows)
        left = int((windows.stream == 10).sum())
        frequency = 9000 / 9700
        wanted = 9000 * (math.sqrt(frequency / 1e-3) + 1) * 1e-3 / frequency
        assert abs(left - wanted) < 4 * math.sqrt(wanted)
        assert int((windows.stream == 20).sum()) == 10

    def test_all_neighbours(self) -> None:
        made = make("cbow", window=2, negatives=0)
        (windows,) = made.arrange([self.COLUMN])
        seen: dict[int, set[tuple[int, ...]]] = {}
        random = generator()
        for _ in range(60):
            context, word = made.apply([windows], random)
            for target, row in zip(word.tolist(), lists(context), strict=True):
                seen.setdefault(target, set()).add(tuple(row))
        assert seen[12] == {(11, 13), (10, 11, 13, 14)}
        assert seen[10] == {(11,), (11, 12)}
        assert seen[20] == {(21,)}
        context, word, label = make("cbow", negatives=2).apply([windows], random)
        assert word.shape == label.shape == (8, 3)

    def test_counts_of_pairs(self) -> None:
        column = drawn(30, 12)
        made = make("cooccurrence", window=3)
        word, context, count = made.arrange([column])
        wanted: Counter[tuple[int, int]] = Counter()
        for row in lists(column):
            for at, token in enumerate(row):
                for distance in range(1, 4):
                    if at + distance < len(row):
                        other = row[at + distance]
                        wanted[token, other] += 1 / distance  # type: ignore[assignment]
                        wanted[other, token] += 1 / distance  # type: ignore[assignment]
        assert isinstance(word, torch.Tensor)
        assert isinstance(context, torch.Tensor)
        assert isinstance(count, torch.Tensor)
        found = dict(zip(zip(word.tolist(), context.tolist(), strict=True), count.tolist(), strict=True))
        assert found == pytest.approx(dict(wanted), abs=1e-5)  # float32
        assert made.apply([word, context, count], generator()) == (word, context, count)

    @pytest.mark.parametrize("name", ["skip_gram", "cbow", "cooccurrence"])
    def test_no_neighbours(self, name: str) -> None:
        with pytest.raises(ValueError, match="no text of two words"):
            make(name).arrange([texts([10], [UNK, 11], [])])


@pytest.mark.parametrize("name", ["mask_tokens", "span_corruption", "denoise"])
def test_the_generator_decides(name: str) -> None:
    made, column = make(name), drawn(8, ends=True)
    one = [lists(item) for item in made.apply([column], generator(3))]
    assert one == [lists(item) for item in made.apply([column], generator(3))]
    assert one != [lists(item) for item in made.apply([column], generator(4))]


@pytest.mark.parametrize(
    "name",
    ["next_token", "blocks", "pack", "mask_tokens", "span_corruption", "denoise", "shift_right", "skip_gram", "cbow"],
)
def test_text_and_several_fields_are_refused(name: str) -> None:
    made = make(name, **({"length": 4} if name in ("blocks", "pack") else {}))
    for wrong in ([TensorType((BATCH,), STRING)], [TensorType((BATCH, 3, 4))], [TOKENS, TOKENS]):
        with pytest.raises(TypeRuleError):
            made.infer_fields(wrong)
