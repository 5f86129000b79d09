"""What goes wrong with quantised weights, under Triton's root of errors."""

from triton.errors import TritonError


class FormatError(TritonError, ValueError):
    """Bytes, a shape or a file are not what a format asks for; the message names both."""


class MisreadError(TritonError, RuntimeError):
    """Packed weights were to be used as an ordinary tensor, or as weights of another format or packing."""
