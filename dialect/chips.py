"""The one table of chips: every fact about a target that ops, passes and code generation depend on.

Passes ask for the property that matters to them (`strided_accesses`, `in_order` ..), never for a chip or an architecture by name. The
machine that this process runs on is a chip too, described by `dialect/hosts.py`.
"""

from dataclasses import dataclass, replace

from triton_spacemit.dialect import ime, timings
from triton_spacemit.dialect.timings import CoreTiming


@dataclass(frozen=True)
class Costs:
    """What decides between two ways of computing the same: a cost is about the number of vector instructions that one vector takes.

    Of one operation, where it is not 1:
    division, integer_division, remainder (of floats), function (a transcendental one), gather (a load by an index).

    Of the value that a loop computes:
    reuse: from here on, a value that several loops need is stored rather than computed again, if its own operation costs as much as a
    division; a chain of cheaper ones is, from `chain` on.
    much: above this, a loop computes rather than waits for memory, and keeps its constants in registers.
    streaming: up to this, a loop waits for memory and is small enough to be there a second time, with stores past the caches.
    repeated: up to this, what a loop computes may be there once more, for single elements.
    divided: up to this, a loop has a main part without masks, and all of its code a second time, with them, for the rest.

    Vectors and memory:
    group: registers of a vector group: enough lanes to hide latency, and still room for eight values.
    computing_group: the same for a loop that computes much. light_group: for one that needs so few vectors at once that they fit.
    together: vectors that a loop of the program carries at once, for fewer turns.
    stack_bytes: a buffer up to this size is an alloca, which LLVM can keep in registers; a larger one lies in scratch memory.
    loop_elements: from so many elements on, a value that is broadcast is worth a loop of its own.
    reduced_in_turns: from so many elements of a row on, combining lanes in every turn of a loop costs less than the block in memory.

    Products (docs/loops.md):
    tile_group: registers of a vector of sums. tile_unroll, tile_unroll_long: steps of k in one turn of a tile's loop, and from
    `tile_long` steps on. tile_part: so many times fewer steps a turn in a tile that is a small part of the result, or steps that are
    left over. tile_spared: a tile of its own for the rows that are left over is worth its code where it spares more than this part
    of the rows. packed_columns: from so many columns on, packing an operand whose elements along k are apart costs less than reading
    it as it is. copied_uses, copied_uses_of_b: from so many uses of each element on, an operand whose rows meet in few sets of a cache
    is copied. strip_rows: from so many rows of A on, B is copied by strips (passes/loops/strips.py); 0 for never.
    chunk_steps: steps of k for which operands are located before tiles run over them; fewer, where the columns of B that a register tile
    reads again for each row of tiles would take more than chunk_bytes, half of the first cache, or the result and the operands, as they
    lie and as copies, more than block_bytes (0: they may).
    """

    division: int = 4
    integer_division: int = 6
    remainder: int = 16
    function: int = 12
    gather: int = 8

    reuse: int = 12
    chain: int = 36
    much: int = 10
    streaming: int = 8
    repeated: int = 20
    divided: int = 240

    group: int = 4
    computing_group: int = 2
    light_group: int = 4
    together: int = 2
    stack_bytes: int = 2048
    loop_elements: int = 4
    reduced_in_turns: int = 64

    tile_group: int = 4
    tile_unroll: int = 16
    tile_unroll_long: int = 32
    tile_long: int = 128
    tile_part: int = 4
    tile_spared: int = 48
    packed_columns: int = 16
    copied_uses: int = 32
    copied_uses_of_b: int = 32
    strip_rows: int = 0
    chunk_steps: int = 256
    chunk_bytes: int = 0
    block_bytes: int = 0


@dataclass(frozen=True)
class MatrixTile:
    """An instruction that adds the product of a tile of A and a tile of B to a tile of sums.

    form: how it is programmed, a key of `FORMS` in passes/loops/selection.py. m, n, k: the tile of sums has m rows and n columns, and
    gains k products each; n is 0 where a tile has as many columns as a group of vector registers has lanes. left, right, sums: types of
    the elements, as MLIR writes them. instruction: LLVM's intrinsic. cost: the time of one instruction on a register of sums, in that
    of a vector instruction.
    """

    form: str
    m: int
    n: int
    k: int
    left: str
    right: str
    sums: str
    instruction: str
    cost: float = 1.0


IME = "ime"  # the form of SpacemiT's matrix instructions


@dataclass(frozen=True)
class Chip:
    """One compilation target.

    vlen: width in bits of one vector register. vector_registers: how many there are. arch_ids: SpacemiT's ids of the core, upper-case
    hex. marchid: the core's own register of that name. abi: of calls, where LLVM has to be told.

    What there are instructions for:
    native_float16, native_bfloat16: arithmetic on that type, rather than a conversion to float32.
    active_lengths: vector operations on a number of lanes given at run time, the first ones (else only under a mask).
    strided_accesses: loads and stores of lanes that lie at a constant distance (else by a vector of addresses).
    narrow_gathers: loads of lanes of fewer than 32 bits from a vector of addresses (else one by one).
    vector_division: division of vectors of integers (else by way of floats).
    scaled_addresses: an address that is a register plus a multiple of another (else a constant distance is the cheap one).
    maximum_skips_nan: a maximum and a minimum that are the number where the other operand is NaN (else the second operand).
    streaming_stores: stores past the caches.
    matrix: multiply-adds of products; every chip has, besides, those that LLVM makes of vectors of a fixed length.
    ime: the generation of SpacemiT's matrix instructions (dialect/ime.py); 0 for none. ime_cores: the numbers of the cores that have them,
    where others of the machine do not.

    What costs more, or less, than one would think:
    in_order: instructions start in the order of the code, so that operands are to be loaded well before they are used.
    slow_division: divisions of vectors take many times a product's time.
    slow_subnormals: subnormal numbers do.
    division_traps: an integer division by zero, or one that overflows, ends the process; else its result is RISC-V's.
    asks_ahead: memory is asked for what the next program reads, which costs an instruction a line of the caches.
    half_registers: registers are worked on by halves, and memory is faster by half a register.
    cache_way_bytes: columns of a matrix whose rows lie a multiple of this apart are crowded in a few sets of the caches, so that a copy of
    a block is worth its time; 0 where it never is. On SpacemiT's cores, by estimates of cycles: products of 1,024 columns in blocks of 128
    and more take less than half of the time, of 512 three quarters; in smaller blocks the choice at run time costs what a copy gains.
    last_cache_bytes: stores go past the caches where more than this is moved; 0 if unknown.
    scheduling_model: LLVM has a model of the core's pipeline.
    timing: what its instructions, caches and memory take, for estimates of cycles; None where that is not known.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vlen: int
    vector_registers: int
    abi: str = ""
    arch_ids: tuple[str, ...] = ()
    marchid: int | None = None

    native_float16: bool = False
    native_bfloat16: bool = False
    active_lengths: bool = False
    strided_accesses: bool = False
    narrow_gathers: bool = False
    vector_division: bool = False
    scaled_addresses: bool = False
    maximum_skips_nan: bool = False
    streaming_stores: bool = False
    matrix: tuple[MatrixTile, ...] = ()
    ime: int = 0
    ime_cores: tuple[int, ...] = ()

    in_order: bool = False
    slow_division: bool = False
    slow_subnormals: bool = False
    division_traps: bool = False
    asks_ahead: bool = False
    half_registers: bool = False
    cache_way_bytes: int = 0
    last_cache_bytes: int = 0
    scheduling_model: bool = True
    costs: Costs = Costs()
    timing: CoreTiming | None = None

    @property
    def is_riscv(self) -> bool:
        """Whether its assembly is RISC-V's: for what reads or names instructions."""
        return self.triple.startswith("riscv64")

    def without_ime(self) -> "Chip":
        """The same without SpacemiT's matrix instructions."""
        return replace(self, ime=0, matrix=tuple(tile for tile in self.matrix if tile.form != IME))

    def lanes(self, bits: int, registers: int = 1) -> int:
        """Elements of `bits` bits (8, 16, 32 or 64) in a group of `registers` vector registers."""
        return self.vlen * registers // max(bits, 8)


def _multiply_add(instruction: str, factor: str, sums: str) -> MatrixTile:
    """RISC-V's product of a scalar and a vector of factors, added to a vector of sums."""
    return MatrixTile("active-vectors", 1, 0, 1, factor, factor, sums, f"llvm.riscv.{instruction}")


_FACTORS = (
    _multiply_add("vfmacc", "f32", "f32"),
    _multiply_add("vfmacc", "f64", "f64"),
    _multiply_add("vwmacc", "i16", "i32"),
    _multiply_add("vmacc", "i32", "i32"),
)
FLOAT16_FACTORS = (_multiply_add("vfmacc", "f16", "f16"), _multiply_add("vfwmacc", "f16", "f32"))  # of Zvfh
BFLOAT16_FACTORS = (_multiply_add("vfwmaccbf16", "bf16", "f32"),)  # of Zvfbfwma


def _matrix_instructions(vlen: int) -> tuple[MatrixTile, ...]:
    """Those of bytes. One starts every second cycle: 1.8 to 1.9 cycles each are reported of the X60."""
    tile = ime.TILES[vlen, 8]
    return tuple(
        MatrixTile(IME, tile.m, tile.n, tile.k, "i8" if row.left else "ui8", "i8" if row.right else "ui8", "i32", row.mnemonic, 2.0)
        for row in ime.INSTRUCTIONS
        if row.bits == 8 and not row.slide
    )


# What all cores with RISC-V's V extension have in common. A core of which it is not known is taken to run in order.
RISCV = Chip(
    name="riscv",
    triple="riscv64-unknown-linux-gnu",
    cpu="generic-rv64",
    features="+v,-relax",
    vlen=128,
    vector_registers=32,
    abi="lp64d",
    active_lengths=True,
    strided_accesses=True,
    narrow_gathers=True,
    vector_division=True,
    maximum_skips_nan=True,
    matrix=_FACTORS,
    in_order=True,
    scheduling_model=False,
    costs=Costs(light_group=8, tile_long=64, tile_spared=160),
)
_X60 = replace(
    RISCV,
    name="x60",
    cpu="spacemit-x60",
    features="+v,+zvl256b,+zvfh,+zfh,+unaligned-scalar-mem,-relax",
    vlen=256,
    arch_ids=("0x503C",),
    marchid=0x8000000058000001,
    native_float16=True,
    matrix=_FACTORS + FLOAT16_FACTORS + _matrix_instructions(256),
    ime=1,
    ime_cores=(0, 1, 2, 3),
    cache_way_bytes=2048,
    costs=replace(RISCV.costs, copied_uses=128, copied_uses_of_b=64, chunk_steps=512, chunk_bytes=16 << 10, block_bytes=512 << 10),
    scheduling_model=True,
    timing=timings.X60,
)
_RVA23 = "+m,+a,+f,+d,+c,+v,+zba,+zbb,+zbs,+zfh,+zfhmin,+zfa,+zicond,+zvfh,+zvfhmin,+zvbb,+zvfbfmin,+zvfbfwma,+unaligned-scalar-mem,-relax"
_X100 = replace(
    RISCV,
    name="x100",
    features=_RVA23 + ",+zvl256b",
    vlen=256,
    cache_way_bytes=2048,
    costs=replace(RISCV.costs, copied_uses=128),
    arch_ids=("0x5064",),
    marchid=0x8000000058000002,
    native_float16=True,
    native_bfloat16=True,
    matrix=_FACTORS + FLOAT16_FACTORS + BFLOAT16_FACTORS + _matrix_instructions(256),
    ime=1,
)
_A100 = replace(
    _X100,
    name="a100",
    features=_RVA23 + ",+zvl1024b",
    vlen=1024,
    arch_ids=("0xA064",),
    marchid=0x8000000041000002,
    matrix=_FACTORS + FLOAT16_FACTORS + BFLOAT16_FACTORS + _matrix_instructions(1024),
    ime=2,
    timing=timings.A100,
)

CHIPS = {
    chip.name: chip
    for chip in (
        _X60,
        replace(_X60, name="a60", arch_ids=("0xA03C",), marchid=0x8000000041000001, ime_cores=()),
        _X100,
        _A100,
    )
}


def get_chip(name: str) -> Chip:
    """The chip called `name` (`host` or a key of `CHIPS`). Raises ValueError naming the known ones."""
    if name == "host":
        from triton_spacemit.dialect import hosts

        return hosts.host_chip()
    try:
        return CHIPS[name]
    except KeyError:
        raise ValueError(f"unknown chip {name!r}; known: host, {', '.join(CHIPS)}") from None
