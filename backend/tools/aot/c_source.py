"""The C of a bundle: a header for its users, and functions that choose a variant, fill slots and launch."""

from collections.abc import Mapping, Sequence

from triton_spacemit.backend.processors import fits
from triton_spacemit.backend.tools.aot.names import spelled
from triton_spacemit.backend.tools.aot.variants import FLOATS, Condition, Function, Variant
from triton_spacemit.dialect.chips import Chip

_C_TYPES = {
    "i1": "bool",
    "u1": "bool",
    "i8": "int8_t",
    "i16": "int16_t",
    "i32": "int32_t",
    "i64": "int64_t",
    "u8": "uint8_t",
    "u16": "uint16_t",
    "u32": "uint32_t",
    "u64": "uint64_t",
    "fp32": "float",
    "f32": "float",
    "fp64": "double",
}
#: Types that C has no name for, as the integers that hold their bits behind a pointer; numbers of these types are passed as float.
_BITS = {"fp16": "uint16_t", "bf16": "uint16_t"}


def header(name: str, functions: Sequence[Function]) -> str:
    """The header of the bundle `name`."""
    prototypes = "\n".join(_declarations(function) for function in functions)
    return f"""// Kernels compiled ahead of time. Functions return TS_OK or another result of triton_spacemit.h.
#pragma once
#include <stdbool.h>

#include "triton_spacemit.h"

#ifdef __cplusplus
extern "C" {{
#endif

// Whether this processor can run the library's code; the functions below say TS_WRONG_CHIP where it cannot.
bool {name}_fits(void);

{prototypes}
#ifdef __cplusplus
}}
#endif
"""


def source(name: str, functions: Mapping[str, tuple[Function, Sequence[Variant]]], chip: Chip) -> str:
    """The C file of the bundle `name` for `chip`."""
    bodies = "\n".join(_function(name, function, variants, chip) for function, variants in functions.values())
    return f'#include "{name}.h"\n{_ARITHMETIC}\n{fits(name, chip)}\n{bodies}'


def _declarations(function: Function) -> str:
    """The prototypes of a function: of all programs, of their number, and of some on the caller's thread."""
    return f"""{_comment(function)}{_prototype(function)};
// How many programs that is; -1 where it is no grid.
{_count_prototype(function)};
// `count` of them from number `first` on, on the calling thread. TS_FAILED where a program has threads of its own.
{_part_prototype(function)};
"""


def _parameters(function: Function) -> list[str]:
    return [_declaration(name, kind, name in function.only_read) for name, kind in function.parameters.items()]


def _prototype(function: Function) -> str:
    return f"int {function.name}({', '.join(['ts_launch *how', *_parameters(function)])})"


def _count_prototype(function: Function) -> str:
    return f"int64_t {function.name}_count({', '.join(_parameters(function)) or 'void'})"


def _part_prototype(function: Function) -> str:
    return f"int {function.name}_programs({', '.join(['ts_launch *how', 'int64_t ts_first', 'int64_t ts_number', *_parameters(function)])})"


def _declaration(parameter: str, kind: str, only_read: bool) -> str:
    name = spelled(parameter)
    if kind.startswith("**"):
        return f"void *{'const ' * only_read}*{name}"
    if kind.startswith("*"):
        return f"{'const ' * only_read}{_C_TYPES.get(kind[1:]) or _BITS.get(kind[1:], 'uint8_t')} *{name}"
    return f"{_C_TYPES.get(kind, 'float')} {name}"


def _comment(function: Function) -> str:
    constants = ", ".join(f"{name} = {value}" for name, value in function.constants.items())
    pointers = {name: kind[1:] for name, kind in function.parameters.items() if kind.startswith("*")}
    bits = [f"{spelled(name)}: bits of {kind}" for name, kind in pointers.items() if kind not in _C_TYPES and not kind.startswith("*")]
    lines = [f"{function.jit.__name__}{f' with {constants}' if constants else ''}, on a grid of {function.grid.text}.", *bits]
    return "".join(f"// {line}\n" for line in lines)


def _condition(condition: Condition, kind: str) -> str:
    name = spelled(condition.argument)
    if condition.is_one:
        return f"{name} == 1"
    if kind.startswith("*"):
        return f"((uintptr_t){name} & 15) == 0"
    return f"{name} % 16 == 0"


def _slot(parameter: str, kind: str) -> str:
    """The eight bytes of an argument: a pointer, an integer (low bytes), or the bits of a float in its own type (low bytes)."""
    name = spelled(parameter)
    if kind.startswith("*"):
        return f"(uint64_t)(uintptr_t){name}"
    if kind in FLOATS:
        return f"ts_bits_{'fp32' if kind == 'f32' else kind}({name})"
    return f"(uint64_t){name}"


def _function(bundle: str, function: Function, variants: Sequence[Variant], chip: Chip) -> str:
    externs = "\n".join(f"extern void {variant.symbol}(const uint64_t *slots, void *context);" for variant in variants)
    x, y, z = function.grid.c()
    grid = f"""  int ts_bad = 0;
  const int64_t ts_x = {x}, ts_y = {y}, ts_z = {z};
"""
    wrong_chip = f"{bundle}: this library is for the chip {chip.name}, which this is not"
    begin = f"""  if (!{bundle}_fits()) return ts_refuse(how, TS_WRONG_CHIP, "{wrong_chip}");
{grid}  if (ts_bad) return ts_refuse(how, TS_BAD_GRID, "{function.name}: the grid divides by zero, or exceeds 64 bits");
"""
    unused = "".join(f"  (void){spelled(name)};\n" for name in function.parameters)  # not every argument is part of the grid
    if any(variant.artifact.concurrent for variant in variants):
        refusal = f"{function.name}_programs: a program of this kernel has threads of its own"
        part = f'  (void)ts_first;\n  (void)ts_number;\n{unused}  return ts_refuse(how, TS_FAILED, "{refusal}");\n'
    else:
        part = begin + _choose(function, variants, "ts_run_part(how, &ts_code, ts_slots, ts_x, ts_y, ts_z, ts_first, ts_number)")
    return f"""{externs}

{_prototype(function)} {{
{begin}{_choose(function, variants, "ts_run(how, &ts_code, ts_slots, ts_x, ts_y, ts_z)")}}}

{_count_prototype(function)} {{
{unused}{grid}  return ts_bad ? -1 : ts_count(ts_x, ts_y, ts_z);
}}

{_part_prototype(function)} {{
{part}}}
"""


def _text(variant: Variant) -> str:
    """Where the variant's code begins, which other functions may do before its own, and how long it is."""
    return f"(const char *){variant.symbol} - {variant.entry}, {variant.text_bytes}"


def _choose(function: Function, variants: Sequence[Variant], call: str) -> str:
    """Statements that fill the slots of the first variant whose conditions hold, and return what `call` does."""
    branches = []
    for variant in variants:
        test = " && ".join(_condition(condition, function.parameters[condition.argument]) for condition in variant.conditions)
        slots = ", ".join(_slot(name, function.parameters[name]) for name in variant.arguments)
        branches.append(f"""  {f"if ({test}) " if test else ""}{{
    static const ts_kernel ts_code = {{{variant.symbol}, {variant.artifact.scratch_bytes}, {_text(variant)}}};
    const uint64_t ts_slots[] = {{{slots or "0"}}};
    return {call};
  }}
""")
    return "".join(branches)


_ARITHMETIC = """#include <stdint.h>
#include <string.h>

// Steps of grids and the bits of numbers; not every bundle uses all.
#define TS_STEP static inline __attribute__((unused)) int64_t

TS_STEP ts_add(int64_t a, int64_t b, int *bad) { int64_t r; return *bad |= __builtin_add_overflow(a, b, &r), r; }
TS_STEP ts_subtract(int64_t a, int64_t b, int *bad) { int64_t r; return *bad |= __builtin_sub_overflow(a, b, &r), r; }
TS_STEP ts_multiply(int64_t a, int64_t b, int *bad) { int64_t r; return *bad |= __builtin_mul_overflow(a, b, &r), r; }
TS_STEP ts_floor_divide(int64_t a, int64_t b, int *bad) {
  if (b == 0 || (a == INT64_MIN && b == -1)) return *bad = 1, 0;
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}
TS_STEP ts_remainder(int64_t a, int64_t b, int *bad) {
  int64_t quotient = ts_floor_divide(a, b, bad);
  return *bad ? 0 : a - quotient * b;
}
TS_STEP ts_ceiling_divide(int64_t a, int64_t b, int *bad) { return ts_subtract(0, ts_floor_divide(ts_subtract(0, a, bad), b, bad), bad); }
TS_STEP ts_minimum(int64_t a, int64_t b, int *bad) { return (void)bad, a < b ? a : b; }
TS_STEP ts_maximum(int64_t a, int64_t b, int *bad) { return (void)bad, a > b ? a : b; }

static inline __attribute__((unused)) uint64_t ts_bits_fp64(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static inline __attribute__((unused)) uint64_t ts_bits_fp32(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static inline __attribute__((unused)) uint64_t ts_bits_fp16(float value) {
  _Float16 half = (_Float16)value;
  uint16_t bits;
  memcpy(&bits, &half, sizeof bits);
  return bits;
}
static inline __attribute__((unused)) uint64_t ts_bits_bf16(float value) {
  uint32_t bits = (uint32_t)ts_bits_fp32(value);
  return value != value ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
"""
