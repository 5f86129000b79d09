"""Arguments of a launch, packed into slots by a function that is generated once per kernel.

Nothing is looked up per argument: the generated function unpacks the caller's list, checks that tensors are on the CPU, and packs all slots
with one `struct.Struct`. Whatever it cannot take (raw addresses, wrapped tensors, values out of range, mistakes) goes through `_convert`,
which converts or refuses by name.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from triton.backends.driver import decompose_descriptor, expand_signature

from triton_spacemit.backend.devices import Signature
from triton_spacemit.backend.devices.mirror import storage_of
from triton_spacemit.backend.errors import ArgumentError

# Format of each type in its 8-byte slot. bfloat16 is packed as the upper half of a float32.
_FORMATS = {
    "i1": "?7x",
    "u1": "?7x",
    "i8": "b7x",
    "u8": "B7x",
    "i16": "h6x",
    "u16": "H6x",
    "i32": "i4x",
    "u32": "I4x",
    "i64": "q",
    "u64": "Q",
    "fp16": "e6x",
    "bf16": "H6x",
    "fp32": "f4x",
    "f32": "f4x",
    "fp64": "d",
}
_LARGEST_ADDRESS = (1 << 63) - 1
_FLOATS = ("fp16", "bf16", "fp32", "f32", "fp64")


def bfloat16_bits(value: float) -> int:
    """The bits of `value` rounded to bfloat16, ties to even."""
    (bits,) = struct.unpack("<I", struct.pack("<f", _to_float32(value)))
    if value != value:
        return bits >> 16 | 0x40
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def _to_float32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


@dataclass(frozen=True)
class _Leaf:
    """One runtime value of the caller's list: its name, Triton's type of it, and the expression that the packing function has for it."""

    name: str
    type: str
    expression: str


def _leaves(name: str, kind: Any, variables: Iterator[str]) -> tuple[str, list[_Leaf]]:
    """The unpacking target for an argument, and its runtime leaves (none for a constexpr)."""
    if kind == "constexpr":
        return "_", []
    if isinstance(kind, tuple):
        parts = [_leaves(f"{name}[{i}]", part, variables) for i, part in enumerate(kind)]
        return "(" + "".join(f"{target}, " for target, _ in parts) + ")" if parts else "_", [leaf for _, leaves in parts for leaf in leaves]
    variable = next(variables)
    if not kind.startswith("tensordesc"):
        return variable, [_Leaf(name, kind, variable)]
    expanded = expand_signature([kind], None, "")
    return variable, [_Leaf(f"{name} (tensor descriptor)", part, f"{variable}_[{i}]") for i, part in enumerate(expanded)]


def _pack_expression(leaf: _Leaf) -> str:
    if leaf.type.startswith("*"):
        return f"{leaf.expression}.data_ptr()"
    return f"bfloat16_bits({leaf.expression})" if leaf.type == "bf16" else leaf.expression


def make_packer(
    kernel: str, arguments: dict[str, Any], constexprs: set[str], memories: tuple[str, ...] = ("cpu",)
) -> tuple[Callable[[tuple[Any, ...]], Any], Signature]:
    """A function from the caller's values to (slots, pointers), and the signature of its slots.

    arguments: name to type, as Triton's signature has them. constexprs: the names declared `tl.constexpr`. memories: where tensors may be.
    The caller may pass every argument, those not declared constexpr, or those that are runtime values in this specialisation.
    """
    variables = (f"a{i}" for i in range(1 << 30))
    targets, leaves = {}, []
    for name, kind in arguments.items():
        targets[name], own = _leaves(name, kind, variables)
        leaves += own
    types = tuple(leaf.type for leaf in leaves)
    signature = Signature(types, tuple(i for i, type_ in enumerate(types) if type_.startswith("*")))
    forms = {
        len(form): "".join(f"{targets[name]}, " for name in form) or "()"
        for form in (
            [name for name, kind in arguments.items() if kind != "constexpr"],
            [name for name in arguments if name not in constexprs],
            list(arguments),
        )
    }
    pointers = "".join(f"{leaf.expression}, " for leaf in leaves if leaf.type.startswith("*"))
    on_cpu = " and ".join(f"{leaf.expression}.is_cpu" for leaf in leaves if leaf.type.startswith("*")) or "True"
    descriptors = dict.fromkeys(leaf.expression.partition("_")[0] for leaf in leaves if "_" in leaf.expression)
    lines = ["def pack(values):", "    count = len(values)"]
    for word, (count, form) in zip(["if"] + ["elif"] * 2, sorted(forms.items(), reverse=True), strict=False):
        lines += [f"    {word} count == {count}:", f"        {form} = values" if form != "()" else "        pass"]
    lines += ["    else:", "        raise wrong_count(count)"]
    lines += [f"    {variable}_ = decompose({variable})" for variable in descriptors]
    lines += [
        "    try:",
        f"        if {on_cpu}:",
        f"            return pack_slots({', '.join(_pack_expression(leaf) for leaf in leaves)}), ({pointers})",
        "    except mistakes:",
        "        pass",
        f"    return pack_slots(*convert(({''.join(f'{leaf.expression}, ' for leaf in leaves)}))), ({pointers})",
    ]
    counts = " or ".join(str(count) for count in sorted(forms))

    def wrong_count(count: int) -> ArgumentError:
        return ArgumentError(f"kernel {kernel!r} takes {counts} arguments ({', '.join(arguments)}), got {count}")

    def convert(values: tuple[Any, ...]) -> list[Any]:
        return [_convert(kernel, leaf.name, leaf.type, value, memories) for leaf, value in zip(leaves, values, strict=True)]

    scope: dict[str, Any] = {
        "pack_slots": struct.Struct("<" + "".join("Q" if type_.startswith("*") else _FORMATS[type_] for type_ in types)).pack,
        "bfloat16_bits": bfloat16_bits,
        "decompose": decompose_descriptor,
        "wrong_count": wrong_count,
        "convert": convert,
        "mistakes": (AttributeError, TypeError, OverflowError, struct.error),
    }
    exec("\n".join(lines), scope)
    return scope["pack"], signature


def _convert(kernel: str, name: str, type_: str, value: Any, memories: tuple[str, ...]) -> Any:
    """`value` as what `struct` packs for `type_`. Raises ArgumentError naming the argument."""
    where = f"argument {name!r} of kernel {kernel!r}"
    if type_.startswith("*"):
        return _address(where, value, memories)
    if type_ in _FLOATS:
        if isinstance(value, bool) or not isinstance(value, (int, float)) and not hasattr(value, "__float__"):
            raise ArgumentError(f"{where} must be a number, got {type(value).__name__}")
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:  # tensors of several elements, integers past float64
            raise ArgumentError(f"{where} must be a number, got {_described(value)} ({error})") from None
        if type_ == "bf16":
            return bfloat16_bits(number)
        if type_ == "fp16":
            try:
                struct.pack("<e", number)
            except OverflowError:
                return float("inf") if number > 0 else float("-inf")
        return number if type_ == "fp64" else _to_float32(number)
    try:
        struct.pack("<" + _FORMATS[type_], value)
    except (struct.error, TypeError, ValueError) as error:
        raise ArgumentError(f"{where} must be an integer that fits {type_}, got {_described(value)} ({error})") from None
    return value


def _described(value: Any) -> str:
    """`value` in an error: of a tensor, which may be long, only its shape"""
    return f"a {type(value).__name__} of shape {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)


def _address(where: str, value: Any, memories: tuple[str, ...]) -> int:
    if isinstance(value, int):
        return value
    if value is None:
        return 0
    if not hasattr(value, "data_ptr"):
        raise ArgumentError(f"{where} must be a tensor on the CPU or an address, got {type(value).__name__}")
    device = getattr(getattr(value, "device", None), "type", "cpu")
    if device not in memories:
        places = " or ".join({"cpu": "on the CPU", "board": "on the board"}[memory] for memory in memories)
        raise ArgumentError(f"{where} is a tensor on device {device!r}; this backend takes tensors {places}")
    return value.data_ptr()


def with_storages(pack: Callable[[tuple[Any, ...]], Any]) -> Callable[[tuple[Any, ...]], Any]:
    """`pack`, and behind the slots two more for each pointer: where the storage around it begins and ends. An address may lead anywhere."""

    def pack_all(values: tuple[Any, ...]) -> Any:
        slots, pointers = pack(values)
        ranges = [bound for pointer in pointers for bound in storage_of(pointer) or (0, _LARGEST_ADDRESS)]
        return slots + struct.pack(f"<{len(ranges)}Q", *ranges), pointers

    return pack_all
