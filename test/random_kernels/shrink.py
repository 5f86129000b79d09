"""Reduces a failing program: the smallest one found that fails in the same way."""

import re
from collections.abc import Iterator

from random_kernels.check import Result
from random_kernels.pool import Worker
from random_kernels.program import Line, Program, Region, walk

#: Programs tried at most.
MOST_TRIALS = 1500


def shrink(program: Program, result: Result, worker: Worker) -> tuple[Program, Result]:
    """Take each change that keeps the failure, until none does."""
    trials, progress = 0, True
    while progress and trials < MOST_TRIALS:
        progress = False
        for changes in (without_chunks, flatter, without_lines, replaced, plainer, smaller, less_memory):
            again = True
            while again and trials < MOST_TRIALS:
                again = False
                for candidate in changes(program):
                    if trials >= MOST_TRIALS:
                        break
                    trials += 1
                    new = worker.check(candidate)
                    if new.kind == result.kind:
                        program, result, again, progress = candidate, new, True, True
                        break
    return program, result


def _place(program: Program, number: int) -> tuple[list, int]:
    return list(walk(program.body))[number]


def _drop(program: Program, numbers: list[int]) -> Program | None:
    """Without these statements, and without all that needs what they define."""
    new = program.copy()
    places = list(walk(new.body))
    gone: set[int] = {id(places[number][0][places[number][1]]) for number in numbers}
    lost: set[str] = set()
    for body, place in places:
        statement = body[place]
        if isinstance(statement, Line) and id(statement) in gone and statement.text.count("=") and re.match(r"\w+ = ", statement.text):
            lost.add(statement.text.split(" = ")[0])

    def keep(body: list) -> None:
        for statement in list(body):
            if isinstance(statement, Region):
                names = set(re.findall(r"\w+", statement.header))
                if id(statement) in gone or names & missing:
                    body.remove(statement)
                    continue
                keep(statement.body)
                keep(statement.orelse)
                statement.orelse = statement.orelse
                continue
            target = statement.text.split(" = ")[0] if re.match(r"\w+ = ", statement.text) else None
            if id(statement) in gone or (statement.names() & missing):
                body[:] = [s for s in body if s is not statement]
                if target:
                    lost.add(target)

    while True:
        missing = {name for name in lost if not _defined(new, name, gone)}
        before = len(list(walk(new.body)))
        keep(new.body)
        if len(list(walk(new.body))) == before:
            break
    return new if len(list(walk(new.body))) < len(places) else None


def _defined(program: Program, name: str, gone: set[int]) -> bool:
    for body, place in walk(program.body):
        statement = body[place]
        if isinstance(statement, Line) and id(statement) not in gone and statement.text.startswith(f"{name} = ") and statement.defines == name:
            return True
    return False


def without_chunks(program: Program) -> Iterator[Program]:
    count = len(list(walk(program.body)))
    size = count // 2
    while size > 1:
        for start in range(count - size, -1, -size):
            new = _drop(program, list(range(start, start + size)))
            if new:
                yield new
        size //= 2


def without_lines(program: Program) -> Iterator[Program]:
    for number in reversed(range(len(list(walk(program.body))))):
        new = _drop(program, [number])
        if new:
            yield new


def flatter(program: Program) -> Iterator[Program]:
    """A region gives way to its body."""
    for number in range(len(list(walk(program.body)))):
        body, place = _place(program, number)
        if not isinstance(body[place], Region):
            continue
        for part in ("body", "orelse"):
            new = program.copy()
            body, place = _place(new, number)
            region = body[place]
            first = [Line(f"{region.index} = 0", region.index, "", "int32")] if region.index else list(region.first)
            inner = getattr(region, part)
            if inner:
                body[place : place + 1] = [*first, *inner]
                yield new
        if body[place].orelse:
            new = program.copy()
            body, place = _place(new, number)
            body[place].orelse = []
            yield new


def replaced(program: Program) -> Iterator[Program]:
    """What a line computes becomes ones, or another value of its type."""
    known: dict[tuple, str] = {}
    for number, (body, place) in enumerate(list(walk(program.body))):
        line = body[place]
        if not isinstance(line, Line) or not line.defines or line.dtype is None:
            continue
        kind = line.shape, line.dtype
        value = "1" if line.dtype == "int1" else "1.0" if "float" in line.dtype else "1"
        options = [known[kind]] if kind in known else []
        if line.shape and "tl.full" not in line.text:
            options.append(f"tl.full({line.shape}, {value}, tl.{line.dtype})")
        for name in sorted(line.names()):
            options += [name] if (name, *kind) in {(l.defines, l.shape, l.dtype) for l in _lines(program)} else []
        known.setdefault(kind, line.defines)
        for option in options:
            text = f"{line.defines} = {option}"
            if text != line.text and len(text) < len(line.text) + 30 and not re.fullmatch(r"\w+ = \w+", line.text):
                new = program.copy()
                body, place = _place(new, number)
                body[place].text = text
                yield new


def _lines(program: Program) -> Iterator[Line]:
    for body, place in walk(program.body):
        if isinstance(body[place], Line):
            yield body[place]


PLAINER = [
    (r", mask=\w+", ""),
    (r", other=(-?float\('\w+'\)|\w+)", ""),
    (r", volatile=True", ""),
    (r", reverse=True", ""),
    (r", keep_dims=True", ""),
    (r" \* s\d+", ""),
    (r" [+-] s\d+", ""),
    (r" [+-] \d+\b(?!\))", ""),
    (r" \* \d+\b", ""),
    (r"\.to\(tl\.u?int\d+\)", ""),
    (r" [&|] \((?:[^()]|\([^()]*\))*\)(\[[^\]]*\])?", ""),
    (r"\(\(tl\.arange\(0, ([A-C2 *]+)\) [*+] \w+\) % \([A-C2 *]+\)\)", r"tl.arange(0, \1)"),
    (r"tl\.(argmax|argmin|min|max)\(", "tl.sum("),
    (r"\bs\d+\b", "1"),
    (r"\bs\d+\b", "0"),
    (r"tl\.static_range\(\d+\)", "range(2)"),
    (r"tl\.broadcast_to\((\w+), \([^()]*\)\)", r"\1"),
]


def plainer(program: Program) -> Iterator[Program]:
    """Texts without their less important parts."""
    for number, (body, place) in enumerate(list(walk(program.body))):
        statement = body[place]
        text = statement.text if isinstance(statement, Line) else statement.header
        for pattern, other in PLAINER:
            for match in re.finditer(pattern, text):
                changed = text[: match.start()] + match.expand(other) + text[match.end() :]
                if changed == text:
                    continue
                new = program.copy()
                body, place = _place(new, number)
                if isinstance(statement, Line):
                    body[place].text = changed
                else:
                    body[place].header = changed
                yield new


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
    text = program.source().partition("):")[2]
    names = set(re.findall(r"\w+", text))
    new = program.copy()
    new.pointers = [p for p in new.pointers if p.name in names]
    new.scalars = [s for s in new.scalars if s.name in names]
    new.atoms = {name: value for name, value in new.atoms.items() if name in names or len(new.atoms) == 1}
    new.helpers = [h for h in new.helpers if h.split("def ")[1].split("(")[0] in names]
    used = sorted({p.storage for p in new.pointers})
    new.storages = [new.storages[number] for number in used]
    for pointer in new.pointers:
        pointer.storage = used.index(pointer.storage)
    if new.to_json() != program.to_json():
        yield new
    for number, storage in enumerate(program.storages):
        for count in (storage.elements // 2, storage.elements * 3 // 4):
            if count:
                new = program.copy()
                new.storages[number].elements = count
                yield new
        if storage.fill in ("full", "special", "index"):
            new = program.copy()
            new.storages[number].fill = "small"
            yield new
    for number, pointer in enumerate(program.pointers):
        if sum(p.storage == pointer.storage for p in program.pointers) > 1:
            new = program.copy()
            new.storages.append(new.copy().storages[pointer.storage])
            new.pointers[number].storage = len(new.storages) - 1
            yield new
        if pointer.offset:
            new = program.copy()
            new.pointers[number].offset = 0
            yield new
