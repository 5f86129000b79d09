"""Code for recipes (`recipes.py`): blocks in lanes of registers.

What is made stays known for one turn of a loop. A value with fewer lanes than another one that it meets repeats itself: the operation is
then done part by part, and the parts are one group of registers, for which no code is needed.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.loops.elementwise import element_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import TABLES, Lowering
from triton_spacemit.passes.loops.recipes import Applied, Carried, Indexed, Known, Read, Recipe, Same, index_bits, parts_of
from triton_spacemit.passes.loops.register_loops import GROUP, as_on_lanes
from triton_spacemit.passes.loops.registers import Registers
from triton_spacemit.passes.loops.tensors import bits

_FROM_BYTES = {"arith.uitofp": "arith.extui", "arith.sitofp": "arith.extsi"}
_STEP = 1 << 11  # an instruction adds less than this to an address
_GAP = 2  # registers that a load may bring for nothing


@dataclass(frozen=True, eq=False)
class Group:
    """Bytes of memory, from `first` to `end` behind `base`, that are several whole registers and come by one load."""

    base: ir.Value
    first: int
    end: int
    alignment: int


def groups_of(reads: Iterable[Read], first: Container[Recipe], vlen: int) -> list[Group]:
    """Loads that each bring what several of `reads` read, which lies side by side but for small gaps: each at a multiple of its own size,
    as registers are taken out of a group. What is read as `first` comes with nothing in front of it that is not: that was needed before,
    with another group, and the registers of both would be held at once.

    What lies between two bytes that are read, and less than a page apart, is in a page of one of them: it can be read.
    """
    spans: dict[ir.Value, dict[tuple[int, int], int]] = {}
    early: set[tuple[ir.Value, int]] = set()
    for read in reads:
        size = read.chunk * bits(read.element) // 8
        if not size * 8 % vlen:
            spans.setdefault(read.base, {}).update({(start, start + size): read.alignment for start in read.firsts})
            early.update((read.base, start) for start in read.firsts if read in first)
    groups = []
    for base, known in spans.items():
        rest = sorted(known)
        while rest:
            for count in range(len(rest), 1, -1):
                together = rest[:count]
                start, end = together[0][0], max(last for _, last in together)
                registers = (end - start) * 8 / vlen
                wanted = sum(last - begin for begin, last in together) * 8 / vlen
                whole = all((begin - start) % (last - begin) == 0 for begin, last in together)
                in_order = (base, start) in early or not any((base, begin) in early for begin, _ in together)
                if whole and in_order and registers in (2, 4, 8) and registers - wanted <= _GAP:
                    groups.append(Group(base, start, end, min(known[span] for span in together)))
                    rest = rest[count:]
                    break
            else:
                rest = rest[1:]
    return groups


def together_of(recipes: Iterable[Recipe], vlen: int) -> list[tuple[Indexed, ...]]:
    """Loads by an index of the same elements, one behind the other, that one load of a group of registers does."""
    alike: dict[tuple, list[Indexed]] = {}
    for recipe in recipes:
        for part in parts_of(recipe):
            if isinstance(part, Indexed) and part not in alike.setdefault((part.base, part.element, part.run), []):
                alike[part.base, part.element, part.run].append(part)
    found = []
    for loads in alike.values():
        most = GROUP * vlen // (bits(loads[0].element) * loads[0].lanes)
        for first in range(0, len(loads), max(most, 1)):
            some = tuple(loads[first : first + most])
            same = {load.lanes for load in some}
            if len(some) > 1 and len(same) == 1 and len(some) & (len(some) - 1) == 0:
                found.append(some)
    return found


def kinds_of(recipe: Recipe) -> set[type[Recipe]]:
    """What kinds of recipes it is made of."""
    return {type(part) for part in parts_of(recipe)}


@dataclass(eq=False)
class Tables:
    """Numbers that are read from memory in every turn, where the registers are full: LLVM would keep each there, and spill it."""

    low: Lowering
    registers: Registers

    def read(self, numbers: tuple[int, ...], element: ir.Type) -> Emitted:
        return self.registers.load(self._address(numbers, bits(element) // 8), element, len(numbers), 1, volatile=True)

    def _address(self, numbers: tuple[int, ...], size: int) -> Emitted:
        """Where a table lies: kept in a register, as LLVM would compute it each time."""
        b, tables, depth = self.low.b, self.low.tables, self.low.storage.frame
        data, known = b"".join(number.to_bytes(size, "little") for number in numbers), b.scopes[depth].known
        place = tables.setdefault(data, sum(map(len, tables)))
        if ("tables", 0) not in known:
            known["tables", 0] = b.opaque(self.low.address_of(TABLES, depth), depth)
        if ("tables", place) not in known:
            known["tables", place] = b.opaque(b.offset(known["tables", 0], b.constant(place), b.i8), depth)
        return known["tables", place]


@dataclass(eq=False)
class LaneCode:
    """The code of one turn. `special` makes what recipes of other kinds stand for, of which those of the type `first` are made first.

    groups: loads that bring what several recipes read. together: loads by an index that are one. tables: where to keep numbers, if not in
    registers. spent: called with lanes that came of what `special` makes when they were added to what the loop carries: nothing needs them
    any more.
    """

    low: Lowering
    registers: Registers
    special: Callable[[Recipe], Emitted]
    first: type[Recipe] = Carried
    groups: Sequence[Group] = ()
    tables: "Tables | None" = None
    spent: Callable[[Emitted], None] = lambda lanes: None
    together: Sequence[tuple[Indexed, ...]] = ()
    _last: dict[ir.Value, tuple[int, Emitted]] = field(default_factory=dict)
    _made: dict[Recipe, Emitted] = field(default_factory=dict)
    _reads: dict[tuple, Emitted] = field(default_factory=dict)
    _table: tuple[int, tuple[int, ...], Emitted] | None = None  # read last: from where on its places are counted, and they themselves

    def make(self, recipe: Recipe) -> Emitted:
        """The value of a recipe: a scalar, or its lanes."""
        if recipe not in self._made:
            self._made[recipe] = self._make(recipe)
        return self._made[recipe]

    def _make(self, recipe: Recipe) -> Emitted:
        if isinstance(recipe, Same):
            return self._scalar(recipe.value)
        if isinstance(recipe, Known):
            if not recipe.lanes:
                return self.low.b.constant(recipe.numbers[0], recipe.element)
            return self.registers.numbers(recipe.numbers, recipe.element)
        if isinstance(recipe, Read):
            return self._read(recipe)
        if isinstance(recipe, Indexed):
            return self._indexed(recipe)
        if isinstance(recipe, Applied):
            return self._applied(recipe)
        self._table = None  # lest it takes up registers meanwhile
        return self.special(recipe)

    def _scalar(self, value: ir.Value) -> Emitted:
        """A scalar of the program, or the one that a constant block repeats."""
        number = constant_of(value)
        return self.low.scalar(value) if number is None else self.low.b.constant(number.value, element_of(value.type))

    def _read(self, recipe: Read) -> Emitted:
        key = (recipe.base, recipe.firsts, recipe.chunk, recipe.element)
        if key not in self._reads:
            parts = [self._neighbours(recipe, first) for first in recipe.firsts]
            self._reads[key] = self.registers.joined(parts, recipe.element, recipe.chunk)
        return self._reads[key]

    def _neighbours(self, recipe: Read, first: int) -> Emitted:
        """A chunk of a recipe: its part of a load that brings several, or a load of its own."""
        i8, size = self.low.b.i8, recipe.chunk * bits(recipe.element) // 8
        for group in self.groups:
            if group.base == recipe.base and group.first <= first and first + size <= group.end:
                key = (group.base, group.first, group.end)
                if key not in self._reads:
                    pointer = self._pointer(group.base, group.first)
                    self._reads[key] = self.registers.load(pointer, i8, group.end - group.first, group.alignment)
                part = self.registers.part(self._reads[key], i8, first - group.first, size)
                return self.registers.cast(part, recipe.element, recipe.chunk)
        return self.registers.load(self._pointer(recipe.base, first), recipe.element, recipe.chunk, recipe.alignment)

    def _indexed(self, recipe: Indexed) -> Emitted:
        key = (recipe.base, recipe.first, recipe.distances, recipe.element)
        if key not in self._reads:
            for some in self.together:
                if recipe in some:
                    self._load_together(some)
                    return self._reads[key]
            self._reads[key] = self._loaded(recipe)
        return self._reads[key]

    def _loaded(self, recipe: Indexed) -> Emitted:
        places, first = self._places(recipe)
        whole = ir.IntegerType.get_signless(bits(recipe.element) * recipe.run)
        loaded = self.registers.load_indexed(self._pointer(recipe.base, first), places, whole, len(recipe.distances))
        return self.registers.cast(loaded, recipe.element, recipe.lanes)

    def _load_together(self, some: tuple[Indexed, ...]) -> None:
        first, lanes, element = min(each.first for each in some), some[0].lanes, some[0].element
        distances = tuple(each.first - first + distance for each in some for distance in each.distances)
        loaded = self._loaded(Indexed(lanes * len(some), element, some[0].base, first, distances, some[0].run))
        for number, each in enumerate(some):
            self._reads[each.base, each.first, each.distances, element] = self.registers.part(loaded, element, number * lanes, lanes)

    def _places(self, recipe: Indexed) -> tuple[Emitted, int]:
        """The places of a load by an index, and how far from its base they are counted. Places that are read from memory are counted from
        the base itself, if they are as short then: that spares the address. Those of 32 bits that were read last serve once more; what is
        narrower becomes wide in between, for which the registers are needed."""
        element = ir.IntegerType.get_signless(index_bits(recipe.distances))
        if self.tables is None:
            return self.registers.numbers(recipe.distances, element), recipe.first
        if self._table is not None and self._table[1] == recipe.distances:
            first, _, places = self._table
            return places, recipe.first - first
        from_base = tuple(recipe.first + distance for distance in recipe.distances)
        whole = recipe.first >= 0 and index_bits(from_base) == element.width
        places = self.tables.read(from_base if whole else recipe.distances, element)
        if bits(recipe.element) == 32:
            self._table = recipe.first if whole else 0, recipe.distances, places
        return places, 0 if whole else recipe.first

    def _pointer(self, base: ir.Value, distance: int) -> Emitted:
        """An address. One too far from its base for one instruction is a step from the last one, lest LLVM keeps a register for it."""
        b = self.low.b
        last, pointer = self._last.get(base, (0, self.low.scalar(base)))
        if distance != last:
            stepped = abs(distance) >= _STEP > abs(distance - last)
            start, step = (b.freeze(pointer), distance - last) if stepped else (self.low.scalar(base), distance)
            pointer = b.offset(start, b.constant(step), b.i8)
        self._last[base] = distance, pointer
        return pointer

    def _applied(self, recipe: Applied) -> Emitted:
        operands = self._operands(recipe)
        counts = {operand.lanes for operand in recipe.operands if operand.lanes}
        if len(counts) < 2:
            result = self._apply(recipe, operands, recipe.lanes)
            for value, operand in zip(operands, recipe.operands, strict=True):
                if Carried in kinds_of(recipe) and kinds_of(operand) & {Carried, self.first} == {self.first}:
                    self.spent(value)
            return result
        lanes = min(counts)
        parts = []
        for first in range(0, recipe.lanes, lanes):
            pieces = [
                self.registers.part(value, operand.element, first, lanes) if operand.lanes > lanes else value
                for value, operand in zip(operands, recipe.operands, strict=True)
            ]
            parts.append(self._apply(recipe, pieces, lanes))
        return self.registers.joined(parts, recipe.element, lanes)

    def _operands(self, recipe: Applied) -> list[Emitted]:
        """The operands. What the loop carries is brought up to date first, then what `special` makes is made, and what that meets as late
        as may be: few values are held at a time."""
        kinds = {operand: kinds_of(operand) for operand in recipe.operands}
        for operand in recipe.operands:
            if Carried in kinds[operand] and self.first in kinds[operand]:
                self.make(operand)
        for operand in recipe.operands:
            for part in parts_of(operand):
                if isinstance(part, self.first):
                    self.make(part)
        for operand in sorted(recipe.operands, key=lambda operand: self.first in kinds[operand]):
            self.make(operand)
        return [self.make(operand) for operand in recipe.operands]

    def _apply(self, recipe: Applied, operands: list[Emitted], lanes: int) -> Emitted:
        """The op on so many lanes (0: on scalars)."""
        name, attributes = as_on_lanes(self.low, recipe.op)
        if not lanes:
            return self.low.b.op(name, recipe.element, operands, attributes)
        values = [
            value if operand.lanes else self._broadcast(value, operand.element, lanes)
            for value, operand in zip(operands, recipe.operands, strict=True)
        ]
        first, to_float = recipe.operands[0], isinstance(recipe.element, ir.F32Type)
        if to_float and name in _FROM_BYTES and bits(first.element) == 8:
            wide = self.registers.op(_FROM_BYTES[name], self.registers.vector(self.low.b.i32, lanes), values)
            return self.registers.as_floats(wide, lanes, in_place=False)  # LLVM would take two steps, each with a length of its own
        if self.tables is not None and to_float:  # the register file is full, through which LLVM would let sums wander
            if name == "math.fma" and Carried in kinds_of(recipe.operands[2]):
                return self.registers.multiply_add(*values)
            if name == "arith.sitofp" and isinstance(first, self.first) and bits(first.element) == 32:
                return self.registers.as_floats(values[0], lanes)
        if name == "arith.bitcast" and values[0].value.type == self.registers.vector(recipe.element, lanes):
            return values[0]
        return self.registers.op(name, self.registers.vector(recipe.element, lanes), values, attributes)

    def _broadcast(self, value: Emitted, element: ir.Type, lanes: int) -> Emitted:
        return self.registers.broadcast(value, element, lanes)
