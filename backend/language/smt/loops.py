"""`parallel`, a loop whose iterations run on the threads of one program."""

import ast
import copy
from collections.abc import Callable
from typing import Any

from triton.compiler.errors import CompilationError
from triton.language import core
from triton.language.extra.smt.calls import call


class parallel(core.range):  # named as Triton's `range`
    """`for i in smt.parallel(start, end, step)`: independent iterations, run concurrently; `bind_sub_block` binds each to a thread."""

    def __init__(self, arg1, arg2=None, step=None, bind_sub_block=True, **kwargs):
        super().__init__(arg1, arg2, step, **kwargs)
        self.bind_sub_block = bool(core._unwrap_if_constexpr(bind_sub_block))


class _Builder:
    """The generator's builder, except that the loop of one parallel statement is checked and marked as it is made."""

    def __init__(self, builder: Any, generator: Any, node: ast.For, bind_sub_block: bool) -> None:
        self._builder, self._generator, self._node, self._bind = builder, generator, node, bind_sub_block
        self.depth = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)

    def create_for_op(self, lower: Any, upper: Any, step: Any, carried: list[Any]) -> Any:
        operation = self._builder.create_for_op(lower, upper, step, carried)
        if self.depth:
            return operation
        if carried:
            message = f"iterations of smt.parallel are independent: {_reassigned(self._node)} cannot be carried from one to the next"
            raise CompilationError(self._generator.jit_fn.src, self._node, message)
        operation.set_attr("smt.parallel", self._builder.get_bool_attr(True))
        operation.set_attr("smt.bind_sub_block", self._builder.get_bool_attr(self._bind))
        return operation


def _reassigned(loop: ast.For) -> str:
    names = (node for node in ast.walk(ast.Module(loop.body, [])) if isinstance(node, ast.Name))
    return " or ".join(dict.fromkeys(f"{name.id!r}" for name in names if isinstance(name.ctx, ast.Store)))


def visit_for(visit: Callable[..., Any], self: Any, node: ast.For) -> Any:
    """Visit a loop as Triton's `visit` does. That knows `tl.range` alone: a parallel loop is visited as one by a builder that marks it."""
    outer = self.builder
    if not (isinstance(node.iter, ast.Call) and self.visit(node.iter.func) is parallel):
        if isinstance(outer, _Builder):
            outer.depth += 1
        try:
            return visit(self, node)
        finally:
            if isinstance(outer, _Builder):
                outer.depth -= 1
    bind = [self.visit(keyword.value) for keyword in node.iter.keywords if keyword.arg == "bind_sub_block"]
    loop = copy.copy(node)
    loop.iter = ast.copy_location(
        ast.Call(
            func=ast.copy_location(ast.Name(id="__smt_range", ctx=ast.Load()), node.iter.func),
            args=node.iter.args,
            keywords=[keyword for keyword in node.iter.keywords if keyword.arg != "bind_sub_block"],
        ),
        node.iter,
    )
    self.lscope["__smt_range"] = core.range
    self.builder = _Builder(outer, self, node, all(core._unwrap_if_constexpr(value) for value in bind))
    try:
        return visit(self, loop)
    finally:
        self.builder = outer
        self.lscope.pop("__smt_range", None)


@core.builtin
def get_num_of_thread(_semantic=None, _generator=None):
    """The number of threads that run this program's parallel loops, as int32."""
    return call(_generator, "get_num_of_thread", [], [core.int32], {})
