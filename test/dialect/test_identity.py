"""Ops are told apart by what stays when they change."""

from torch_mlir import ir

from triton_spacemit.dialect.identity import identity

TEXT = """
func.func @f(%a: i32, %b: i32) -> i32 {
  %c = arith.addi %a, %b : i32
  %d = arith.addi %a, %b : i32
  return %d : i32
}
"""


def test_an_op_stays_itself_when_its_operands_change():
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(TEXT)
        function = module.body.operations[0]
        block = function.regions[0].blocks[0]
        first, second = (block.operations[number].operation for number in range(2))
        before = identity(first)
        assert identity(second) != before
        first.operands[0] = block.arguments[1]
        assert identity(block.operations[0].operation) == before
        first.move_after(second)
        assert identity(first) == before
