"""Names in the C and Python of a bundle."""

import keyword

_C = """
alignas alignof and asm auto bool break case catch char class const constexpr continue default delete do double else enum
explicit extern false float for friend goto if inline int long mutable namespace new not nullptr operator or private protected
public register restrict return short signed sizeof static struct switch template this throw true try typedef typename typeof
union unsigned using virtual void volatile while xor
"""
#: What the bundle's own text calls something: the first parameter in C, the last one in Python.
_OURS = ("how", "threads")
RESERVED = frozenset({*_C.split(), *keyword.kwlist, *_OURS})


def spelled(parameter: str) -> str:
    """What a kernel's parameter is called in C and in Python: with an underscore behind it where its own name is taken."""
    return f"{parameter}_" if parameter in RESERVED or parameter.startswith(("ts_", "_")) else parameter
