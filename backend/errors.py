"""Errors that a user sees, all under Triton's own root."""

from triton.errors import TritonError


class DeviceError(TritonError, RuntimeError):
    """A device cannot be used, or a kernel faulted on it; the message names the kernel, the program and, where known, the line."""
