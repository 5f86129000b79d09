"""How deep text in MLIR's syntax is nested: upstream's parser, printer and verifier recurse, and what is too deep ends the process."""

import re

#: Levels of brackets. Programs have a few dozen; upstream takes several times as many on a thread's usual stack.
DEEPEST = 400
_PAIRS = {")": "(", "]": "[", "}": "{", ">": "<"}
_TOKENS = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|->|[<>]=|[(){}\[\]<>]'  # strings, comments, what is no bracket, brackets
    rf"|(?:-\s*){{{DEEPEST}}}|[!#][A-Za-z_$.][\w$.]*(\s*=(?!=))?"  # signs, aliases
)


def too_deep(text: str) -> tuple[int, int] | None:
    """Line and column, from 1, where `text` is nested deeper than `DEEPEST`; None where it is not.

    An alias (`!name`, `#name`) is as deep as what it stands for.
    """
    if sum(text.count(bracket) for bracket in "([{<") + text.count("-") <= DEEPEST:
        return None
    stack: list[str] = []
    aliases: dict[str, int] = {}
    defined, deepest = "", 0  # the alias that is being defined, and how deep that is so far
    for match in _TOKENS.finditer(text):
        token = match[0]
        depth = len(stack)
        if token in "([{<":
            stack.append(token)
            depth += 1
        elif token in _PAIRS:
            while stack and stack[-1] == "<" != _PAIRS[token]:  # a comparison, or a mistake
                stack.pop()
            if stack and stack[-1] == _PAIRS[token]:
                stack.pop()
        elif token[0] in "!#":
            if match[1] and not stack:
                defined, deepest = token[: -len(match[1])], 0
                aliases[defined] = 0
            depth += aliases.get(token, 0)
        elif token[0] == "-" and token != "->":
            depth = DEEPEST + 1
        if depth > DEEPEST:
            line = text.count("\n", 0, match.start())
            return line + 1, match.start() - text.rfind("\n", 0, match.start())
        if defined and depth > deepest:
            aliases[defined] = deepest = depth
    return None
