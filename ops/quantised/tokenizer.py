"""Text to tokens and back, with the vocabulary that a GGUF file brings along.

There are two kinds: `llama`, SentencePiece's, where of all neighbouring pieces those are joined first whose joint piece has the highest
score; and `gpt2`, where pairs of pieces are joined in the order of a list, in the words into which a regular expression cuts a text.
"""

import functools
import heapq
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from triton_spacemit.ops.quantised.gguf import GgufFile
from triton_spacemit.ops.quantised.metadata import Metadata

_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6  # types of tokens
_SPACE = "\u2581"
_A_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")

_GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA_3 = _ENDINGS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
#: How a text is cut into words, by GGML's name of the way: patterns, of llama-vocab.cpp, each of which cuts what the one before it left.
_WORDS = {
    "default": (_GPT_2,),
    "gpt-2": (_GPT_2,),
    "llama-bpe": (_LLAMA_3,),
    "qwen2": (_LLAMA_3.replace("{1,3}", ""),),
    "smollm": (r"\p{N}", _GPT_2),
}


class Tokenizer:
    """The tokens of a file. `begin`: what a text begins with, or None. `ends`: tokens that end one."""

    def __init__(self, file: GgufFile, vocabulary: int) -> None:
        """Raises FormatError where the file has no tokenizer for so many tokens, or one that is not supported."""
        read = Metadata(file, "tokenizer.ggml.")
        kind, self.pieces = read.text("model"), read.texts("tokens")
        if kind not in ("llama", "gpt2"):
            raise read.refuse("model", "which is not supported; llama and gpt2 are")
        if len(self.pieces) != vocabulary:
            raise read.error(f"there are {len(self.pieces)} tokens, and {vocabulary} rows of embeddings")
        self._types = read.numbers("token_type", vocabulary, [1] * vocabulary)
        self.ends = {read.index(f"{name}_token_id", vocabulary) for name in ("eos", "eot", "eom")} - {None}
        begins = read.truth("add_bos_token", kind == "llama")
        self.begin = read.index("bos_token_id", vocabulary) if begins else None
        self._unknown = read.index("unknown_token_id", vocabulary)
        self._tokens = {piece: token for token, piece in reversed(list(enumerate(self.pieces)))}
        self._written = {piece: token for piece, token in self._tokens.items() if self._types[token] in (_CONTROL, _USER_DEFINED) and piece}
        #: Control tokens as they are written out, the longest of which count.
        self._specials = re.compile("|".join(re.escape(piece) for piece in sorted(self._written, key=len, reverse=True)) or r"(?!)")
        self._spelled: dict[bytes, int]
        self._cut: Callable[[str], list[list[str]]]
        self._rank: Callable[[str, str], float | None]
        if kind == "llama":
            self._as_pieces(read)
        else:
            self._as_words(read)

    def _as_pieces(self, read: Metadata) -> None:
        """SentencePiece: a text is one word, in which spaces are visible; what has no token is spelled in bytes."""
        front = _SPACE if read.truth("add_space_prefix", True) else ""
        scores = read.numbers("scores", len(self.pieces))
        ranks = {piece: -scores[token] for piece, token in self._tokens.items()}
        bytes_of = {token: _A_BYTE.fullmatch(self.pieces[token]) for token, kind in enumerate(self._types) if kind == _BYTE}
        data = {token: bytes([int(found[1], 16)]) for token, found in bytes_of.items() if found}
        self._spelled = {value: token for token, value in data.items()}
        self._data = lambda token: data.get(token) or self.pieces[token].replace(_SPACE, " ").encode(errors="surrogateescape")
        self._cut = lambda text: [list(front + text.replace(" ", _SPACE))]
        self._rank = lambda one, other: ranks.get(one + other)

    def _as_words(self, read: Metadata) -> None:
        """GPT-2: bytes of a word are letters, those that cannot be seen too."""
        pairs = {pair: number for number, pair in reversed(list(enumerate(read.texts("merges"))))}
        way = read.text("pre", "default")
        if way not in _WORDS:
            raise read.refuse("pre", f"a way to cut texts that is not supported; {', '.join(_WORDS)} are")
        patterns, letters = [_pattern(text) for text in _WORDS[way]], _letters()
        bytes_of = {letter: byte for byte, letter in enumerate(letters)}
        whole = self._tokens if way == "llama-bpe" else {}  # words that are tokens, whatever the pairs

        def spelled(word: str) -> list[str]:
            piece = "".join(letters[byte] for byte in word.encode())
            return [piece] if piece in whole else list(piece)

        self._spelled = {}
        self._data = lambda token: bytes(bytes_of[letter] for letter in self.pieces[token] if letter in bytes_of)

        def cut(text: str) -> list[list[str]]:
            words = [text]
            for pattern in patterns:
                words = [part for word in words for part in _parts(pattern, word)]
            return [spelled(word) for word in words]

        self._cut = cut
        self._rank = lambda one, other: pairs.get(f"{one} {other}")

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The tokens of a text, behind the one that begins it. special: whether control tokens may be written out in the text.

        Raises ValueError where a piece has no token.
        """
        tokens = [] if self.begin is None else [self.begin]
        for part in _parts(self._specials, text) if special else [text]:
            if special and part in self._written:
                tokens.append(self._written[part])
            elif part:
                tokens += [token for word in self._cut(part) for piece in join_pairs(word, self._rank) for token in self._of_piece(piece)]
        return tokens

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; control tokens have none. Bytes that are no UTF-8 become the replacement character."""
        return b"".join(map(self.data, tokens)).decode(errors="replace")

    def data(self, token: int) -> bytes:
        """The bytes of one token: a character may be spread over several. Raises IndexError for a number that is no token's."""
        if not 0 <= token < len(self.pieces):
            raise IndexError(f"there is no token {token}; there are {len(self.pieces)}")
        kind = self._types[token]
        if kind in (_CONTROL, _UNKNOWN):
            return b""
        return self.pieces[token].encode(errors="surrogateescape") if kind == _USER_DEFINED else self._data(token)

    def _of_piece(self, piece: str) -> list[int]:
        token = self._tokens.get(piece)
        if token is not None:
            return [token]
        spelled = [self._spelled.get(bytes([byte]), self._unknown) for byte in piece.encode(errors="surrogateescape")]
        found = spelled if self._spelled else [self._unknown]
        if None in found:
            raise ValueError(f"the vocabulary has no token for {piece!r}")
        return [token for token in found if token is not None]


def join_pairs(pieces: Sequence[str], rank: Callable[[str, str], float | None]) -> list[str]:
    """Neighbours joined, those of the lowest rank first, and the first of several; until no two have a rank."""
    parts = list(pieces)
    before, behind = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
    waiting: list[tuple[float, int, int, str, str]] = []

    def offer(left: int, right: int) -> None:
        if left >= 0 and right < len(parts):
            value = rank(parts[left], parts[right])
            if value is not None:
                heapq.heappush(waiting, (value, left, right, parts[left], parts[right]))

    for place in range(len(parts) - 1):
        offer(place, place + 1)
    while waiting:
        _, left, right, one, other = heapq.heappop(waiting)
        if behind[left] != right or (parts[left], parts[right]) != (one, other):
            continue  # one of them has been joined to something else since
        parts[left], parts[right] = one + other, ""
        behind[left] = behind[right]
        if behind[left] < len(parts):
            before[behind[left]] = left
        offer(before[left], left)
        offer(left, behind[left])
    return [part for part in parts if part]


def _parts(pattern: Any, text: str) -> list[str]:
    """A text, cut into what a pattern matches and what is between that."""
    parts, end = [], 0
    for match in pattern.finditer(text):
        parts += [text[end : match.start()], match[0]]
        end = match.end()
    return [part for part in (*parts, text[end:]) if part]


def _pattern(text: str) -> Any:
    try:
        import regex
    except ModuleNotFoundError:
        raise ModuleNotFoundError("this tokenizer needs the Python package regex: pip install regex") from None
    return regex.compile(text)


@functools.cache
def _letters() -> list[str]:
    """The letter that GPT-2's vocabulary has for each byte: what can be seen stands for itself, the others are letters from 256 on."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(256 + hidden.index(byte)) for byte in range(256)]
