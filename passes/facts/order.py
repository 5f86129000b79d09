"""Questions about a value that need the answers for others: asked in an order in which each finds what it needs, however long the chain."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

Key = TypeVar("Key")


def unanswered(first: Key, answers: Mapping[Key, object], needs: Callable[[Key], Iterable[Key]]) -> Iterator[Key]:
    """What has to be answered for `first`, which comes last; whoever iterates enters each one in `answers` before it takes the next."""
    waiting = [first]
    while waiting:
        key = waiting[-1]
        if key in answers:
            waiting.pop()
            continue
        missing = [other for other in needs(key) if other not in answers]
        if missing:
            waiting += missing
        else:
            yield key
            waiting.pop()
