"""Errors that a user sees, all under Triton's own root."""

from triton.errors import TritonError


class ArgumentError(TritonError, TypeError):
    """A kernel was launched with an argument that it cannot take; the message names both."""


class RangeError(ArgumentError, OverflowError):
    """An integer argument has more than 64 bits. Callers expect the OverflowError that Triton raises."""


class DeviceError(TritonError, RuntimeError):
    """A device cannot be used, or a kernel faulted on it; the message names the kernel, the program and, where known, the line."""


class PackageError(TritonError, RuntimeError):
    """A kernel cannot be part of a package of AOTInductor's; the message says why."""


class LinkError(DeviceError):
    """The link to a board cannot be made, was lost, or says what makes no sense; the message names it. The next launch connects anew."""


class OptionError(TritonError, AssertionError, ValueError):
    """A compile option has a value that this backend does not support. Callers expect the AssertionError of Triton's own backends."""
