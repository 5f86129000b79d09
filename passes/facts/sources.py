"""Which of the kernel's pointers an address was computed from, in the structured state."""

from torch_mlir import ir

# Ops whose results lead where one of their operands does.
_THROUGH = frozenset(
    ("llvm.ptrtoint", "llvm.inttoptr", "arith.addi", "arith.subi", "arith.extsi", "arith.extui")
    + ("tt.splat", "tt.broadcast", "tt.expand_dims", "tt.reshape", "tt.trans", "tt.bitcast", "tt.join", "tt.cat", "tt.unsplat", "tt.split")
)


class Sources:
    """Which of the kernel's pointers an address was computed from."""

    def __init__(self, pointers: dict[ir.Value, int]) -> None:
        self._pointers = pointers
        self._known: dict[ir.Value, frozenset[int]] = {}

    def of(self, address: ir.Value) -> frozenset[int]:
        """The numbers of the pointers; none where it was loaded or is an integer that the kernel was given, or may be on one way."""
        if address not in self._known:
            found, todo, seen = set(), [address], set()
            while todo:
                value = todo.pop()
                if value in seen:
                    continue
                seen.add(value)
                if value in self._pointers:
                    found.add(self._pointers[value])
                elif not self._look(value, todo):
                    found.clear()
                    break
            self._known[address] = frozenset(found)
        return self._known[address]

    def _look(self, value: ir.Value, todo: list[ir.Value]) -> bool:
        """Whether it is known where the value comes from; from which others goes to `todo`."""
        if isinstance(value.owner, ir.Block):
            return self._look_at_argument(ir.BlockArgument(value), todo)
        op, number = value.owner.operation, ir.OpResult(value).result_number
        if op.name == "scf.if":
            todo += [_last(region).operands[number] for region in op.regions]
        elif op.name == "scf.for":
            todo += [op.operands[3 + number], _last(op.regions[0]).operands[number]]
        elif op.name == "scf.while":
            todo.append(_last(op.regions[0]).operands[1 + number])
        elif op.name == "llvm.getelementptr":
            todo.append(op.operands[0])
        elif op.name == "arith.select":
            todo += list(op.operands)[1:]
        elif op.name in _THROUGH:
            todo += list(op.operands)
        else:  # numbers that are computed are distances; what is left is read from memory, or has regions
            return op.name.startswith(("arith.", "llvm.mlir.")) or op.name in ("tt.make_range", "tt.get_program_id", "tt.get_num_programs")
        return True

    def _look_at_argument(self, argument: ir.BlockArgument, todo: list[ir.Value]) -> bool:
        owner, number = argument.owner.owner, argument.arg_number
        if owner.name == "scf.for":
            if number:
                todo += [owner.operands[2 + number], _last(owner.regions[0]).operands[number - 1]]
        elif owner.name == "scf.while" and argument.owner == owner.regions[0].blocks[0]:
            todo += [owner.operands[number], _last(owner.regions[1]).operands[number]]
        elif owner.name == "scf.while":
            todo.append(_last(owner.regions[0]).operands[1 + number])
        else:
            return False
        return True


def _last(region: ir.Region) -> ir.Operation:
    operations = region.blocks[0].operations
    return operations[len(operations) - 1].operation
