"""Random kernels. A seed determines the program: its blocks, memory, arguments, statements and control flow.

The grammar chooses operations one by one and prefers what was made last, what is not used yet and what a loop carries, so that results
depend on long chains. What is made is defined by construction where that is easy: numbers in floats are integers small enough for exact
sums, indices are kept in range, divisors are positive. Whether lanes of a store meet is left to `watch`.
"""

from collections.abc import Callable, Sequence

from random_kernels import accumulating, elementwise, memory_ops, patterns, products, rows, shapes
from random_kernels.carried import assign, carry
from random_kernels.draft import LARGEST, Draft
from random_kernels.masks import condition
from random_kernels.program import Line, Program, Region
from random_kernels.values import Shape, Value

DEEPEST = 3
#: How often the innermost statements of a program run at most.
MOST_TURNS = 40


def generate(seed: int, without: Sequence[str] = ()) -> Program:
    """The program of this seed; `without` names choices of the grammar that are not taken."""
    draft = Draft(seed, without)
    choose_shapes(draft)
    for _ in range(draft.choice((1, 2, 2, 3))):
        memory_ops.load(draft, draft.choice(draft.shapes))
    for _ in range(draft.choice((3, 4, 5, 6, 8, 10, 12))):
        _statement(draft)
    store_results(draft)
    draft.place()
    return draft.program


def choose_shapes(draft: Draft) -> None:
    """The constants, the grid, and the shapes that most blocks have."""
    rank = draft.weighted({1: 4, 2: 5, 3: 1.5})
    # A reshape of few rows to one, and products, need blocks of 16 to 64 rows; long rows need loops over vectors.
    sizes = {
        1: (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 1024, 2048, 4096),
        2: (1, 2, 4, 8, 16, 16, 32, 32, 64, 128, 256),
        3: (1, 2, 4, 8, 16),
    }[rank]
    atoms = draft.program.atoms
    for name in "ABC"[:rank]:
        atoms[name] = draft.choice(sizes)
    while draft.size(tuple((name,) for name in atoms)) > LARGEST:
        name = max(atoms, key=lambda key: atoms[key])
        atoms[name] //= 2
    if draft.chance(0.25):
        draft.program.grid = draft.choice(((2, 1, 1), (3, 1, 1), (1, 2, 1), (2, 2, 1), (1, 2, 2)))
    names: list[str] = list(atoms)
    if rank == 1:
        draft.shapes = [(("A",),)]
        if atoms["A"] ** 2 <= LARGEST and draft.chance(0.5):
            draft.shapes += [(("A",), ("A",)), (("A", "A"),)]
    else:
        everything: Shape = tuple((name,) for name in names)
        draft.shapes = [everything, (tuple(names),), (("A",),), (("B",),)]
        if draft.chance(0.4):
            draft.shapes.append(tuple(reversed(everything)))
        if rank == 2 and atoms["A"] ** 2 <= LARGEST and draft.chance(0.5):
            draft.shapes += [(("A",), ("A",))] * 2
        draft.shapes += [everything] * 3


MAKERS: dict[Callable[[Draft], Value | None], float] = {
    elementwise.binary: 7,
    elementwise.with_constant: 2,
    elementwise.cast: 3,
    elementwise.where: 2,
    elementwise.comparison: 1,
    elementwise.combined_masks: 0.5,
    shapes.reshape: 3,
    shapes.transpose: 3,
    shapes.expand: 1.5,
    shapes.join: 1,
    shapes.split: 1,
    shapes.gather: 2,
    rows.reduction: 3,
    rows.scan: 1.2,
    rows.sort: 0.3,
    rows.histogram: 0.3,
    products.dot: 3,
    products.exponentials: 2.5,
    memory_ops.load_scalar: 0.7,
    patterns.float8: 0.5,
}

PATTERNS: dict[Callable[[Draft], None], float] = {
    patterns.late_loads: 3,
    patterns.stores_behind_each_other: 1.5,
    patterns.taps: 1,
    patterns.one_place: 1.2,
    patterns.described: 1,
    patterns.pairs: 0.8,
    patterns.masks_in_memory: 0.8,
    accumulating.product: 2.5,
    accumulating.rows_of_memory: 1.5,
    accumulating.scaled: 1,
}


def _make(draft: Draft) -> Value | None:
    if draft.chance(0.2):
        return memory_ops.load(draft, draft.choice(draft.shapes))
    return draft.weighted(MAKERS)(draft)


def _statement(draft: Draft) -> None:
    replaceable = [v for v in draft.values if v.replaceable]
    table: dict[Callable[[Draft], object], float] = {
        _make: 8,
        memory_ops.store: 3,
        _pattern: 2 if draft.turns < 5 else 0,
        _update: 1.5,
        memory_ops.store_scalar: 0.3,
        memory_ops.atomic: 0.4,
        _region: 3.5 if draft.depth < DEEPEST and draft.turns < MOST_TURNS else 0,
        assign: 4 if replaceable else 0,
    }
    draft.weighted(table)(draft)


def _pattern(draft: Draft) -> None:
    draft.weighted(PATTERNS)(draft)


def _update(draft: Draft) -> None:
    """Change memory in place: what was loaded goes back to where it was loaded from, or something else goes there where it was positive."""
    loaded = draft.pick(lambda v: bool(v.shape) and v.origin is not None and v.memory is not None and not v.approximate)
    if not loaded or draft.roles[loaded.memory] != "data" or draft.chance(0.6):
        loaded = memory_ops.load(draft, draft.choice(draft.shapes), role="data")
    new = draft.weighted({elementwise.binary: 2, elementwise.with_constant: 2})(draft, loaded) or loaded
    memory_ops.store(draft, new, into=loaded)


def _region(draft: Draft) -> None:
    kind = draft.weighted({"for": 5, "while": 1, "if": 3, "static": 0.7})
    carried = carry(draft)
    before = [(value, value.replaceable) for value in carried]
    for value in carried:
        value.replaceable, value.origin = True, None
    if kind == "if":
        _branch(draft)
    else:
        _loop(draft, kind)
    for value, replaceable in before:
        value.replaceable = replaceable


def _body(draft: Draft, statements: int) -> None:
    for _ in range(statements):
        _statement(draft)
    if draft.chance(0.7):
        memory_ops.store(draft)


def _branch(draft: Draft) -> None:
    region = Region(f"if {condition(draft)}:", [])
    draft.body.append(region)
    with draft.inside(region, 1):
        _body(draft, draft.choice((1, 2, 3)))
    if draft.chance(0.5):
        with draft.inside(region, 1, orelse=True):
            _body(draft, draft.choice((1, 2)))


def _loop(draft: Draft, kind: str) -> None:
    turns = draft.choice((0, 1, 2, 2, 3, 3, 4))
    name, start, step = draft.name("k"), 0, 1
    limit = turns
    if kind == "while":
        text = draft.integer(turns)
        also = f" & ({condition(draft)})" if draft.chance(0.3) else ""
        region = Region(
            f"while ({name} < {text}){also}:", [], first=[Line(f"{name} = 0", name, "", "int32")], last=[Line(f"{name} = {name} + 1")]
        )
    elif kind == "static":
        turns = max(turns, 1)
        limit = turns
        region = Region(f"for {name} in tl.static_range({turns}):", [], index=name)
    else:
        start, step = draft.choice(((0, 1), (0, 1), (0, 1), (1, 1), (0, 2), (3, 2)))
        limit = start + turns * step
        number = draft.pick(lambda v: v.dtype in ("int32", "uint8", "int8") and not v.shape and not v.index) if draft.chance(0.2) else None
        if number:
            bound, limit, turns = f"({number.name}.to(tl.int32) & 3)", 3, 3
            bound = f"{start} + {bound} * {step}" if start or step > 1 else bound
            limit = start + 3 * step
        else:
            bound = draft.scalar(limit) if draft.chance(0.75) else str(limit)
        text = f"{start}, {bound}" if start or step > 1 or draft.chance(0.5) else bound
        region = Region(f"for {name} in range({text}{f', {step}' if step > 1 else ''}):", [], index=name)
    draft.body.append(region)
    with draft.inside(region, turns):
        if kind == "while":
            draft.values.append(Value(name, (), "int32", low=0, high=max(limit - 1, 0), index=True))
        else:
            # In the interpreter the loop's variable is a number of Python's, which takes on other types than a scalar of the kernel does.
            draft.emit(f"{name} + 0", (), "int32", "j", low=start, high=max(limit - 1, start), index=True)
        _body(draft, draft.choice((1, 2, 3, 4, 5)))


def store_results(draft: Draft) -> None:
    """What nothing has used would be dropped by the compiler."""
    unused = [value for value in draft.values if not value.used and not value.index]
    for value in unused[-8:]:
        if value.shape:
            memory_ops.store(draft, value, plain=True)
        elif not value.approximate and value.dtype != "int1":
            at = draft.pointer(draft.storage(value.dtype, "output"))
            draft.touch(at, 0, 0)
            draft.line(f"tl.store({at.name}, {value.name})")
