"""libdevice's functions that come once for each direction of rounding: arithmetic, and conversions between types."""

from collections.abc import Callable

from triton.language import core

from triton_spacemit.backend.language.cpu import calls

_MODES = {"rn": "rounded to nearest even", "rz": "rounded towards zero", "rd": "rounded down", "ru": "rounded up"}
_INTEGERS = {"int": core.int32, "uint": core.uint32, "ll": core.int64, "ull": core.uint64}
Function = Callable[..., core.tensor]


def functions() -> dict[str, Function]:
    """All of them, by name: add_rn, double2int_rz and so on."""
    named = {}
    for mode, how in _MODES.items():
        for name, (function, what) in (_arithmetic(mode) | _conversions(mode)).items():
            function.__name__, function.__doc__ = f"{name}_{mode}", f"{what}, {how}."
            named[function.__name__] = core.extern(function)
    return named


def _arithmetic(mode: str) -> dict[str, tuple[Function, str]]:
    """The functions of one mode, and what each gives."""

    def unary(symbol: str) -> Function:
        return lambda x, _semantic=None: calls.of_floats(f"{symbol}_{mode}", [x], _semantic)

    def binary(symbol: str) -> Function:
        return lambda x, y, _semantic=None: calls.of_floats(f"{symbol}_{mode}", [x, y], _semantic)

    return {
        "add": (binary("add"), "The sum"),
        "sub": (binary("sub"), "The difference"),
        "mul": (binary("mul"), "The product"),
        "div": (binary("div"), "The quotient"),
        "sqrt": (unary("sqrt"), "The square root"),
        "rcp": (lambda x, _semantic=None: calls.of_floats(f"div_{mode}", [1.0, x], _semantic), "1 / x"),
        "fma": (lambda x, y, z, _semantic=None: calls.of_floats(f"fma_{mode}", [x, y, z], _semantic), "x * y + z as one operation"),
    }


def _conversions(mode: str) -> dict[str, tuple[Function, str]]:
    """double2float, double2int, float2ull, ll2float and so on."""

    def conversion(symbol: str, source: core.dtype, result: core.dtype) -> tuple[Function, str]:
        name = f"{symbol}_{mode}"
        return lambda x, _semantic=None: calls.converted(name, x, source, result, _semantic), f"A value of {source} as {result}"

    found = {"double2float": conversion("narrow", core.float64, core.float32)}
    for wide, real in (("double", core.float64), ("float", core.float32)):
        for name, integer in _INTEGERS.items():
            letter = "s" if integer.is_int_signed() else "u"
            found[f"{wide}2{name}"] = conversion(f"to_{letter}{integer.primitive_bitwidth}", real, integer)
            exact = integer.primitive_bitwidth < 64 and real == core.float64
            if mode == "rn" or not exact:
                found[f"{name}2{wide}"] = conversion(f"{letter}_to_f{real.primitive_bitwidth}", integer, real)
    return found
