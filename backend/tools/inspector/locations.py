"""Where each line of a stage's text comes from: MLIR's locations, LLVM's debug information, and the line table in assembly.

A place is a chain of frames, the innermost first: a function that was inlined, then where it was called, out to the kernel.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Frame = tuple[str, int, int]  # file, line, column
Chain = tuple[Frame, ...]


@dataclass
class Text:
    """Lines as they are shown, without what says where they come from, and the place of each; `()` where it has none."""

    lines: list[str] = field(default_factory=list)
    places: list[Chain] = field(default_factory=list)

    def add(self, line: str, place: Chain = ()) -> None:
        self.lines.append(line)
        self.places.append(place)


def unescaped(text: str, byte: str = "[0-9A-Fa-f]{2}", base: int = 16) -> str:
    """A string as MLIR and LLVM IR print it, without its escapes: digits that `byte` matches are a byte, anything else is itself."""
    parts = re.split(rf"\\({byte}|.)", text)
    bytes_ = (bytes([int(part, base)]) if i % 2 and re.fullmatch(byte, part) else part.encode() for i, part in enumerate(parts))
    return b"".join(bytes_).decode(errors="replace")


_ALIAS = re.compile(r"^(#loc\d*) = loc\((.*)\)$")
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|#loc\d*|callsite\(|fused\b|unknown\b|at\b|to\b|\d+|.)')


def read_mlir(text: str) -> Text:
    """MLIR printed with locations. An op that holds regions has its location behind them; its first line gets it as well."""
    aliases = {match[1]: match[2] for line in text.splitlines() if (match := _ALIAS.match(line))}
    known: dict[str, Chain] = {}

    def resolve(location: str) -> Chain:
        if location not in known:
            known[location] = ()  # of a location within itself, which no printer writes
            known[location] = resolve(aliases[location]) if location in aliases else _parse(location, resolve)
        return known[location]

    result = Text()
    opened: list[list[int]] = []  # the lines of each op whose regions are open
    for line in text.splitlines():
        if _ALIAS.match(line):
            continue
        shown, location = _without_locations(line)
        place = resolve(location) if location else ()
        number = len(result.lines)
        result.add(shown, place)
        heads = opened.pop() if shown.lstrip().startswith("}") and opened else []
        if shown.endswith("{"):
            opened.append([*heads, number])
        else:
            for head in heads:
                result.places[head] = place
    return result


def _without_locations(line: str) -> tuple[str, str]:
    """The line without any ` loc(...)`, and what stands in the one at its end."""
    kept, last, at = [], "", 0
    while (start := line.find(" loc(", at)) >= 0:
        depth, end = 1, start + 5
        quoted = False
        while end < len(line) and depth:
            character = line[end]
            if character == "\\" and quoted:
                end += 1
            elif character == '"':
                quoted = not quoted
            elif not quoted:
                depth += (character == "(") - (character == ")")
            end += 1
        kept.append(line[at:start])
        last, at = line[start + 5 : end - 1], end
    kept.append(line[at:])
    return "".join(kept), last if at == len(line) else ""


def _parse(text: str, resolve: Callable[[str], Chain]) -> Chain:
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    at = 0

    def take(*expected: str) -> bool:
        nonlocal at
        if at < len(tokens) and tokens[at] in expected:
            at += 1
            return True
        return False

    def location() -> Chain:
        nonlocal at
        token = tokens[at] if at < len(tokens) else ""
        at += 1
        if token.startswith("#"):
            return resolve(token)
        if token == "callsite(":
            callee = location()
            take("at")
            caller = location()
            take(")")
            return callee + caller
        if token == "fused":
            if take("<"):
                while at < len(tokens) and not take(">"):
                    at += 1
            take("[")
            places = [location()]
            while take(","):
                places.append(location())
            take("]")
            return next((place for place in places if place), ())
        if not token.startswith('"'):
            return ()
        if take("("):  # a name for a location
            place = location()
            take(")")
            return place
        if take(":"):
            numbers = []
            while at < len(tokens) and (tokens[at].isdigit() or tokens[at] in (":", "to")):
                if tokens[at].isdigit():
                    numbers.append(int(tokens[at]))
                at += 1
            return ((unescaped(token[1:-1]), numbers[0], numbers[1]),) if len(numbers) > 1 else ()
        return ()

    return location()


_NODE = re.compile(r"^!(\d+) = (?:distinct )?!(DILocation|DIFile|DISubprogram|DILexicalBlockFile|DILexicalBlock)\((.*)\)$")
_FIELD = re.compile(r'(\w+): (?:!(\d+)|"((?:[^"\\]|\\.)*)"|(\d+))')


class DebugInfo:
    """The debug information in LLVM IR's text."""

    def __init__(self, text: str) -> None:
        self._nodes: dict[str, dict[str, str]] = {}
        self._chains: dict[str, Chain] = {}
        for line in text.splitlines():
            if match := _NODE.match(line):
                fields = {name: reference or unescaped(string) or number for name, reference, string, number in _FIELD.findall(match[3])}
                self._nodes[match[1]] = {"kind": match[2], **fields}

    def place(self, node: str) -> Chain:
        """The place that the location with this number stands for."""
        if node not in self._chains:
            location = self._nodes.get(node, {})
            frame = (self._file(location.get("scope", "")), int(location.get("line", 0)), int(location.get("column", 0)))
            rest = self.place(location["inlinedAt"]) if "inlinedAt" in location else ()
            self._chains[node] = ((frame, *rest)) if frame[0] and frame[1] else rest
        return self._chains[node]

    def places(self) -> Iterator[Chain]:
        """All that the module knows."""
        return (self.place(node) for node, fields in self._nodes.items() if fields["kind"] == "DILocation")

    def _file(self, scope: str) -> str:
        fields = self._nodes.get(scope, {})
        if "file" not in fields:
            return self._file(fields["scope"]) if "scope" in fields else ""
        file = self._nodes[fields["file"]]
        return "/".join(part for part in (file.get("directory", ""), file.get("filename", "")) if part)


_DBG = re.compile(r", !dbg !(\d+)")


def read_llvm(text: str) -> tuple[Text, DebugInfo]:
    """LLVM IR, without its metadata; and the debug information in it."""
    debug = DebugInfo(text)
    result = Text()
    for line in text.rstrip().splitlines():
        if line.startswith("!"):
            continue
        match = _DBG.search(line)
        function = line.startswith("define")  # whose !dbg is a subprogram, no location
        shown = re.sub(r" !dbg !\d+", "", line) if function else _DBG.sub("", line)
        result.add(shown, debug.place(match[1]) if match and not function else ())
    while result.lines and not result.lines[-1]:
        result.lines.pop()
        result.places.pop()
    return result, debug
