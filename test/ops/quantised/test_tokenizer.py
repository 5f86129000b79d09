"""Tokens of texts: what a plain reading of the two algorithms gives, and every text back."""

import random
from pathlib import Path
from typing import Any

import pytest
from gguf_files import vocabulary, write

from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.gguf import GgufFile
from triton_spacemit.ops.quantised.tokenizer import Tokenizer, _letters

TEXTS = [
    "",
    "the thing",
    " the  thing ",
    "and\nthe other\t\ting",
    "größer 日本 🙂",
    "1234567 is 1 on 99",
    "it's I'LL don't",
    "a\u2581b",
    "\x00\x7f",
    "   ",
]


def made(folder: Path, **values: Any) -> Tokenizer:
    metadata = {f"tokenizer.ggml.{name}": value for name, value in values.items() if value is not None}
    return Tokenizer(GgufFile(write(folder / "tokens.gguf", metadata, {})), len(values["tokens"]))


@pytest.fixture
def pieces(tmp_path) -> Tokenizer:
    names, scores, types = vocabulary()
    return made(tmp_path, model="llama", tokens=names, scores=scores, token_type=types, bos_token_id=1, eos_token_id=2, unknown_token_id=0)


#: Pairs in their order, the letters of bytes below them: a vocabulary like GPT-2's.
MERGES = ["t h", "th e", "Ġ the", "i n", "in g", "Ġ a", "n d", "Ġa nd", "1 2", "12 3", "e r", "' s", "ö Ã", "Ġ Ġ"]


def words(folder: Path, pre: str | None = "gpt-2", **values: Any) -> Tokenizer:
    tokens = [*_letters(), *(merge.replace(" ", "") for merge in MERGES), "<|end|>", "Ġthing"]
    types = [*[1] * (256 + len(MERGES)), 3, 1]
    given = {"model": "gpt2", "pre": pre, "tokens": tokens, "merges": MERGES, "token_type": types, "eos_token_id": 256 + len(MERGES)}
    return made(folder, **{**given, **values})


def slowly(parts: list[str], rank: Any) -> list[str]:
    """Joins the best pair, over and over."""
    while True:
        ranks = [
            (rank(one, other), place)
            for place, (one, other) in enumerate(zip(parts, parts[1:], strict=False))
            if rank(one, other) is not None
        ]
        if not ranks:
            return parts
        _, place = min(ranks)
        parts = [*parts[:place], parts[place] + parts[place + 1], *parts[place + 2 :]]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back(text, pieces, tmp_path):
    tokens = pieces.encode(text)
    assert tokens[0] == 1
    assert pieces.decode(tokens) == (" " + text if text else "").replace("\u2581", " ")  # SentencePiece's space in front
    for pre in ("gpt-2", "llama-bpe", "qwen2", "smollm", None):
        tokenizer = words(tmp_path, pre)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_pieces_are_joined_as_sentencepiece_does(pieces):
    generator = random.Random(0)
    for _ in range(300):
        text = "".join(generator.choice("theanding sro") for _ in range(generator.randrange(1, 30)))
        expected = slowly(list("\u2581" + text.replace(" ", "\u2581")), lambda one, other: pieces._rank(one, other))
        assert [pieces.pieces[token] for token in pieces.encode(text)[1:]] == expected
    assert [pieces.pieces[token] for token in pieces.encode("the thing")] == ["<s>", "\u2581the", "\u2581", "th", "ing"]
    assert [pieces.pieces[token] for token in pieces.encode("ö")] == ["<s>", "\u2581", "<0xC3>", "<0xB6>"]


def test_pairs_are_joined_in_the_order_of_the_list(tmp_path):
    tokenizer = words(tmp_path)
    ranks = {merge: number for number, merge in enumerate(MERGES)}
    generator = random.Random(1)
    for _ in range(300):
        word = "".join(generator.choice("theandir") for _ in range(generator.randrange(1, 20)))
        expected = slowly(list(word), lambda one, other: ranks.get(f"{one} {other}"))
        assert [tokenizer.pieces[token] for token in tokenizer.encode(word)] == expected


#: What llama.cpp's patterns cut, read off the patterns by hand.
CUT = {
    "gpt-2": ["the", "Ġ", "Ġthe", "'s", "Ġ", "123", "4"],
    "llama-bpe": ["the", "Ġ", "Ġthe", "'s", "Ġ", "123", "4"],
    "qwen2": ["the", "Ġ", "Ġthe", "'s", "Ġ", "1", "2", "3", "4"],
    "smollm": ["the", "Ġ", "Ġthe", "'s", "Ġ", "1", "2", "3", "4"],
}


@pytest.mark.parametrize("pre", CUT)
def test_texts_fall_into_words(pre, tmp_path):
    tokenizer = words(tmp_path, pre)
    assert [tokenizer.pieces[token] for token in tokenizer.encode("the  the's 1234")] == CUT[pre]
    assert tokenizer.begin is None
    # a word that is a token is taken as it is, whatever the pairs say, in this vocabulary only
    whole = [tokenizer.pieces[token] for token in tokenizer.encode(" thing")]
    assert whole == (["Ġthing"] if pre == "llama-bpe" else ["Ġ", "th", "ing"])


def test_control_tokens_are_written_out_on_demand(tmp_path, pieces):
    tokenizer = words(tmp_path)
    (end,) = tokenizer.ends
    assert tokenizer.encode("the<|end|>the", special=True) == [*tokenizer.encode("the"), end, *tokenizer.encode("the")]
    assert end not in tokenizer.encode("the<|end|>the")
    assert tokenizer.decode(tokenizer.encode("the<|end|>the")) == "the<|end|>the"
    assert tokenizer.decode([end]) == ""
    assert pieces.encode("</s>", special=True) == [1, 2]
    with pytest.raises(IndexError, match="there is no token 283; there are 283"):
        pieces.decode([283])


def test_what_has_no_token(tmp_path):
    tokenizer = made(tmp_path, model="llama", tokens=["a", "\u2581"], scores=[0.0, 0.0])
    assert tokenizer.encode("aa") == [1, 0, 0]
    with pytest.raises(ValueError, match="the vocabulary has no token for 'b'"):
        tokenizer.encode("ab")
    known = made(tmp_path, model="llama", tokens=["a", "\u2581", "?"], scores=[0.0] * 3, unknown_token_id=2, add_space_prefix=False)
    assert known.encode("ab") == [0, 2]


def test_other_ways_to_cut_a_text_are_refused(tmp_path):
    with pytest.raises(
        FormatError, match="tokenizer.ggml.pre is 'tekken', a way to cut texts that is not supported; default, gpt-2, llama-bpe"
    ):
        words(tmp_path, "tekken")
