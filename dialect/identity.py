"""Which op is which.

The bindings' `hash` of an op is one of its contents: it changes with the op's operands, and sets and dictionaries of ops lose what is in
them. (That of a value or a block is its address, and stays.)
"""

import ctypes

from torch_mlir import ir

_CAPSULE = b"torch_mlir.ir.Operation._CAPIPtr"  # the name under which the bindings hand out the address of an op
_address = ctypes.pythonapi.PyCapsule_GetPointer
_address.restype, _address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def identity(op: ir.Operation) -> int:
    """A number that no other op has while this one exists, whatever becomes of its operands."""
    return _address(op._CAPIPtr, _CAPSULE)
