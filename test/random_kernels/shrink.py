"""Reduces a failing program: the smallest one found that fails in the same way.

A change may make a program that means nothing. The check tells, as it does for what the generator makes.
"""

import re
from collections.abc import Callable, Iterator

from random_kernels.check import Result
from random_kernels.program import Line, Program, Region, Statement, walk

#: Programs tried at most.
MOST_TRIALS = 1500
_ASSIGNMENT = re.compile(r"(\w+) = ")
_INT_CAST = r"\.to\(tl\.u?int\d+\)"
#: Parts of a statement's text, and what may stand in their place.
PLAINER = [
    (r", mask=\w+", ""),
    (r", other=(-?float\('\w+'\)|\w+)", ""),
    (r', cache_modifier="\.cs"', ""),
    (r", (volatile|reverse|keep_dims|descending)=True", ""),
    (r" \* s\d+", ""),
    (r" [+-] s\d+", ""),
    (r" [+-] \d+\b(?!\))", ""),
    (r" \* \d+\b", ""),
    (_INT_CAST, ""),
    (r" [&|] \((?:[^()]|\([^()]*\))*\)(\[[^\]]*\])?", ""),
    (r"\(\(tl\.arange\(0, ([A-C2 *]+)\) [*+] \w+\) % \([A-C2 *]+\)\)", r"tl.arange(0, \1)"),
    (r"\((tl\.arange\(0, [A-C2 *]+\))\)", r"\1"),
    (r"tl\.(argmax|argmin|min|max)\(", "tl.sum("),
    (r"\bs\d+\b", "1"),
    (r"\bs\d+\b", "0"),
    (r"tl\.static_range\(\d+\)", "range(2)"),
    (r"tl\.broadcast_to\((\w+), \([^()]*\)\)", r"\1"),
]


def shrink(program: Program, result: Result, check: Callable[[Program], Result]) -> tuple[Program, Result]:
    """Take each change that keeps the kind of the result, until none does."""
    trials, progress = 0, True
    while progress and trials < MOST_TRIALS:
        progress = False
        for changes in (without_chunks, flatter, without_lines, replaced, renamed, plainer, smaller, less_memory):
            again = True
            while again:
                again = False
                for candidate in changes(program):
                    if trials >= MOST_TRIALS:
                        break
                    trials += 1
                    new = check(candidate)
                    if new.kind == result.kind:
                        program, result, again, progress = candidate, new, True, True
                        break
    return program, result


# Changes: each function yields programs with one change


def _statements(program: Program) -> list[Statement]:
    return [body[place] for body, place in walk(program.body)]


def _changed(program: Program, number: int, text: str) -> Program:
    """With another text of statement `number`."""
    new = program.copy()
    statement = _statements(new)[number]
    if isinstance(statement, Line):
        statement.text = text
    else:
        statement.header = text
    return new


def _text(statement: Statement) -> str:
    return statement.text if isinstance(statement, Line) else statement.header


def _drop(program: Program, numbers: range) -> Program | None:
    """Without these statements, and without all that needs what only they define."""
    new = program.copy()
    gone = {id(statement) for number, statement in enumerate(_statements(new)) if number in numbers}
    before, count = len(_statements(new)), -1
    while count != len(_statements(new)):
        count = len(_statements(new))
        defined = {name for s in _statements(new) if id(s) not in gone for name in _defines(s)}
        lost = {name for s in _statements(program) for name in _defines(s)} - defined
        _keep(new.body, lambda s: id(s) not in gone and not lost & set(re.findall(r"\w+", _text(s))))  # noqa: B023 (used at once)
    return new if count < before else None


def _defines(statement: Statement) -> set[str]:
    if isinstance(statement, Line):
        match = _ASSIGNMENT.match(statement.text)
        # A value that a loop carries is assigned again, but defined once.
        return {match[1]} if match and (statement.defines or match[1][0] in "to") else set()
    return {statement.index} if statement.index else {line.defines for line in statement.first if line.defines}


def _keep(body: list[Statement], wanted: Callable[[Statement], bool]) -> None:
    body[:] = [statement for statement in body if wanted(statement)]
    for statement in body:
        if isinstance(statement, Region):
            _keep(statement.body, wanted)
            _keep(statement.orelse, wanted)


def without_chunks(program: Program) -> Iterator[Program]:
    count = len(_statements(program))
    size = count // 2
    while size > 1:
        for start in range(count - size, -1, -size):
            new = _drop(program, range(start, start + size))
            if new:
                yield new
        size //= 2


def without_lines(program: Program) -> Iterator[Program]:
    for number in reversed(range(len(_statements(program)))):
        new = _drop(program, range(number, number + 1))
        if new:
            yield new


def flatter(program: Program) -> Iterator[Program]:
    """A region gives way to its body, or to its other branch, or loses that."""
    for number, statement in enumerate(_statements(program)):
        if not isinstance(statement, Region):
            continue
        for part in ("body", "orelse"):
            new = program.copy()
            body, place = list(walk(new.body))[number]
            region = body[place]
            assert isinstance(region, Region)
            first = [Line(f"{region.index} = 0", region.index, "", "int32")] if region.index else region.first
            if getattr(region, part):
                body[place : place + 1] = [*first, *getattr(region, part)]
                yield new
        if statement.orelse:
            new = program.copy()
            region = _statements(new)[number]
            assert isinstance(region, Region)
            region.orelse = []
            yield new


def replaced(program: Program) -> Iterator[Program]:
    """What a line computes becomes another value of its type, or ones."""
    types = {s.defines: (s.shape, s.dtype) for s in _statements(program) if isinstance(s, Line) and s.defines and s.dtype}
    first: dict[tuple, str] = {}
    for number, line in enumerate(_statements(program)):
        if not isinstance(line, Line) or line.defines not in types or re.fullmatch(r"\w+ = (\w+|tl\.full.*)", line.text):
            continue
        kind = types[line.defines]
        options = [name for name in sorted(line.names()) if name != line.defines and types.get(name) == kind]
        options += [first[kind]] if kind in first else []
        if line.shape:
            options.append(f"tl.full({line.shape}, {'1.0' if 'float' in line.dtype else '1'}, tl.{line.dtype})")
        first.setdefault(kind, line.defines)
        yield from (_changed(program, number, f"{line.defines} = {option}") for option in options)


def renamed(program: Program) -> Iterator[Program]:
    """A name for another name goes, where neither is assigned again."""
    texts = [_text(s) for s in _statements(program)]
    for number, text in enumerate(texts):
        match = re.fullmatch(r"(\w+) = ([a-z]\d+)", text)
        if not match or any(sum(t.startswith(f"{name} = ") for t in texts) > 1 for name in match.groups()):
            continue
        new = _drop(program, range(number, number + 1))
        if new is None:
            continue
        new = program.copy()
        for statement in _statements(new):
            for line in [statement] if isinstance(statement, Line) else [*statement.first, *statement.last]:
                line.text = re.sub(rf"\b{match[1]}\b", match[2], line.text)
            if isinstance(statement, Region):
                statement.header = re.sub(rf"\b{match[1]}\b", match[2], statement.header)
        _keep(new.body, lambda s: _text(s) != f"{match[2]} = {match[2]}")  # noqa: B023 (used at once)
        yield new


def plainer(program: Program) -> Iterator[Program]:
    """Texts without their less important parts."""
    for number, statement in enumerate(_statements(program)):
        text = _text(statement)
        for pattern, other in PLAINER:
            for match in re.finditer(pattern, text):
                changed = text[: match.start()] + match.expand(other) + text[match.end() :]
                if changed != text:
                    yield _changed(program, number, changed)


def smaller(program: Program) -> Iterator[Program]:
    """Smaller numbers: extents, arguments, programs."""
    if program.grid != (1, 1, 1):
        new = program.copy()
        new.grid = (1, 1, 1)
        yield new
    for name, value in program.atoms.items():
        for less in sorted({1, 4, 16, value // 4, value // 2}):
            if 0 < less < value:
                new = program.copy()
                new.atoms[name] = less
                yield new
    for number, scalar in enumerate(program.scalars):
        for less in (0, 1, 2, 3):
            if scalar.dtype != "float32" and less < abs(scalar.value):
                new = program.copy()
                new.scalars[number].value = less
                new.scalars[number].dtype = "int32"
                yield new


def less_memory(program: Program) -> Iterator[Program]:
    """Arguments and storages that nothing uses go; others hold plain numbers; aliases get memory of their own."""
    new = _used(program)
    if new.to_json() != program.to_json():
        yield new
    for number, storage in enumerate(program.storages):
        if storage.fill in ("full", "special", "index"):
            new = program.copy()
            new.storages[number].fill = "small"
            yield new
        for count in (storage.elements // 2, storage.elements * 3 // 4):
            if count:
                new = program.copy()
                new.storages[number].elements = count
                yield new
    for number, pointer in enumerate(program.pointers):
        if sum(p.storage == pointer.storage for p in program.pointers) > 1:
            new = program.copy()
            new.storages.append(program.copy().storages[pointer.storage])
            new.pointers[number].storage = len(new.storages) - 1
            yield new
        if pointer.offset:
            new = program.copy()
            new.pointers[number].offset = 0
            yield new


def _used(program: Program) -> Program:
    """Without the arguments, functions and storages that no statement names."""
    names = set(re.findall(r"\w+", program.source().partition("def kernel(")[2].partition("):")[2]))
    new = program.copy()
    new.pointers = [p for p in new.pointers if p.name in names]
    new.scalars = [s for s in new.scalars if s.name in names]
    new.atoms = {name: value for name, value in new.atoms.items() if name in names or len(new.atoms) == 1}
    new.helpers = [h for h in new.helpers if h.split("def ")[1].split("(")[0] in names]
    used = sorted({p.storage for p in new.pointers})
    new.storages = [new.storages[number] for number in used]
    for pointer in new.pointers:
        pointer.storage = used.index(pointer.storage)
    return new
