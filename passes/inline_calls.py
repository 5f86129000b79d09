"""Replace calls of functions that have a body by that body, and drop the private functions.

Upstream's inliner cannot do it: it crashes on regions of unregistered ops, which Triton's are here.

```mlir
func.func @kernel(%x: i32) -> i32 {
  %y = func.call @twice(%x) : (i32) -> i32
  return %y : i32
}
func.func private @twice(%x: i32) -> i32 {
  %y = arith.addi %x, %x : i32
  return %y : i32
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.module import operations


def inline_calls(module: ir.Module) -> None:
    """Run the pass; the functions must have one block each. Raises LoweringError on recursion."""
    functions = {op.attributes["sym_name"].value: op.operation for op in module.body.operations if op.operation.name == "func.func"}
    done: set[str] = set()

    def visit(name: str, active: tuple[str, ...]) -> None:
        if name in active:
            raise LoweringError(f"recursive function {name!r} is not supported", functions[name].location)
        if name in done:
            return
        for call in operations(functions[name], "func.call"):
            callee = functions.get(call.attributes["callee"].value)
            if callee is not None and callee.regions[0].blocks:
                visit(callee.attributes["sym_name"].value, (*active, name))
                _inline(call, callee)
        done.add(name)

    for name in functions:
        visit(name, ())
    for function in functions.values():
        private = "sym_visibility" in function.attributes and function.attributes["sym_visibility"].value == "private"
        if private and function.regions[0].blocks:
            function.erase()


def _inline(call: ir.Operation, callee: ir.Operation) -> None:
    if len(callee.regions[0].blocks) > 1:
        raise LoweringError("a call of a function with branches between blocks: run lift-cf-to-scf first", call.location)
    with ir.InsertionPoint(call):
        copy = callee.operation.clone()
    block = copy.regions[0].blocks[0]
    for parameter, value in zip(block.arguments, call.operands, strict=True):
        parameter.replace_all_uses_with(value)
    *body, terminator = list(block.operations)
    for op in body:
        op.operation.move_before(call)
    for result, value in zip(call.results, terminator.operation.operands, strict=True):
        result.replace_all_uses_with(value)
    call.erase()
    copy.erase()
