"""Modules that ask whether a tensor is on a CUDA device, where the device of their own library is meant, read as asking for the CPU.

FlagGems has a name for the type of its device, but many of its operators, and more of its tests, say "cuda". Of such a module the syntax
tree is changed before it is compiled, so that lines and columns of messages and the sources of kernels stay the file's:

    x.is_cuda               x.device.type == "cpu"
    "cuda", "cuda:0"        "cpu", "cpu:0", as strings that stand alone; f"cuda:{n}" too
    torch.cuda              torch.cpu
    x.cuda()                x
    x.pin_memory()          x: no copy to a device follows that it would speed up, and PyTorch refuses it without an accelerator
"""

import ast
import re
from typing import Any

#: A file without these has nothing to change.
_MARKS = (b"cuda", b"pin_memory()")


def concerns(source: bytes) -> bool:
    """Whether `translate` might change the module."""
    return any(mark in source for mark in _MARKS)


def translate(source: bytes | str, path: str) -> ast.Module:
    """The module's tree with the names above replaced. Raises SyntaxError as the compiler does."""
    return ast.fix_missing_locations(Translator().visit(ast.parse(source, path)))


class Translator(ast.NodeTransformer):
    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == "is_cuda" and isinstance(node.ctx, ast.Load):
            device = ast.Attribute(ast.Attribute(node.value, "device", ast.Load()), "type", ast.Load())
            return ast.copy_location(ast.Compare(device, [ast.Eq()], [ast.Constant("cpu")]), node)
        if node.attr == "cuda" and isinstance(node.value, ast.Name) and node.value.id == "torch":
            node.attr = "cpu"
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called: Any = node.func
        if isinstance(called, ast.Attribute) and called.attr in ("cuda", "pin_memory") and not node.args and not node.keywords:
            return called.value
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and re.fullmatch(r"cuda(:\d*)?", node.value):
            return ast.copy_location(ast.Constant(node.value.replace("cuda", "cpu")), node)
        return node
