"""Turn block programs into loops over vectors of the chip's width.

In: the structured state (docs/architecture.md). Out: functions of scalars and 1-D vectors; no tensor is left. A block value is not computed
where it is defined: an op that acts (a store, a reduction, a product, a carried value) becomes a loop over its block, and pulls through its
operands what it needs at each place. So a chain of element-wise ops with its loads is one loop, code size does not depend on the block's
size, and only what several loops need, or what memory effects force, lies in a buffer.

```mlir
func.func @square(%x: !llvm.ptr, %n: i64) {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %a = "xsmt.descriptor_load"(%x, %one, %zero, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>}
       : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = arith.mulf %a, %a : tensor<1024xf32>
  "xsmt.descriptor_store"(%x, %b, %one, %zero, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>}
       : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}
```
"""

from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.module import LLVM_ATTRIBUTES, SCRATCH, chip_of, fuses, kernel_of
from triton_spacemit.passes.loops import (
    accesses,
    control,
    dot,
    elementwise,
    exchange,
    functions,
    packed,
    parallel,
    reductions,
    scaled_dot,
    services,
)
from triton_spacemit.passes.loops.analysis import Block, Node
from triton_spacemit.passes.loops.builder import Builder, Emitted, Scope
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Tensor

HANDLERS = {
    "arith.constant": elementwise.lower_constant,
    "tt.splat": elementwise.lower_splat,
    "tt.unsplat": elementwise.lower_unsplat,
    "tt.make_range": elementwise.lower_make_range,
    "tt.expand_dims": elementwise.lower_expand_dims,
    "tt.broadcast": elementwise.lower_broadcast,
    "tt.trans": elementwise.lower_trans,
    "tt.reshape": elementwise.lower_reshape,
    "tt.join": elementwise.lower_join,
    "tt.split": elementwise.lower_split,
    "tt.cat": elementwise.lower_cat,
    "tt.gather": elementwise.lower_gather,
    "tt.map_elementwise": functions.lower_map_elementwise,
    "tt.bitcast": elementwise.lower_elementwise,
    "tt.fp_to_fp": elementwise.lower_elementwise,
    "tt.clampf": elementwise.lower_elementwise,
    "tt.mulhiui": elementwise.lower_elementwise,
    "tt.precise_divf": elementwise.lower_elementwise,
    "tt.precise_sqrt": elementwise.lower_elementwise,
    "tt.extern_elementwise": elementwise.lower_elementwise,
    "tt.reduce": reductions.lower_reduce,
    "tt.scan": reductions.lower_scan,
    "tt.histogram": reductions.lower_histogram,
    "tt.dot": dot.lower_dot,
    "tt.dot_scaled": scaled_dot.lower_scaled_dot,
    "tt.get_program_id": services.lower_program_id,
    "tt.get_num_programs": services.lower_program_id,
    "tt.assert": services.lower_assert,
    "tt.print": services.lower_print,
    "tt.elementwise_inline_asm": services.refuse_assembly,
    "ttg.barrier": lambda low, node: None,  # one thread runs a program: it is always in step with itself
    "xsmt.descriptor_load": accesses.lower_load,
    "xsmt.gather": accesses.lower_load,
    "xsmt.descriptor_store": accesses.lower_store,
    "xsmt.scatter": accesses.lower_store,
    "xsmt.atomic_rmw": accesses.lower_atomic,
    "xsmt.atomic_cas": accesses.lower_atomic,
    "xsmt.atomic_poll": accesses.lower_atomic_poll,
    "xsmt.exchange": exchange.lower_exchange,
    "xsmt.subview": packed.lower_subview,
    "xsmt.pack": packed.lower_pack,
    "xsmt.unpack": packed.lower_unpack,
    "xsmt.annotation": lambda low, node: None,
    "xsmt.alloc": parallel.lower_alloc,
    "xsmt.parallel": parallel.lower_parallel,
    "xsmt.get_num_of_thread": parallel.lower_num_threads,
    "xsmt.mbarrier": parallel.lower_mbarrier,
    "xsmt.global_mbarrier": parallel.lower_global_mbarrier,
    "xsmt.barrier_at": parallel.lower_barrier_at,
    "xsmt.barrier_arrive": parallel.lower_arrive,
    "xsmt.barrier_wait": parallel.lower_wait,
    "xsmt.barrier_set_expect": parallel.lower_set_expect,
    "llvm.load": accesses.lower_llvm_load,
    "llvm.store": accesses.lower_llvm_store,
    "llvm.fence": accesses.lower_fence,
    "scf.for": control.lower_for,
    "scf.if": control.lower_if,
    "scf.while": control.lower_while,
    "scf.index_switch": control.lower_index_switch,
}
# scalar ops of the LLVM dialect that structure leaves: copied with new operands
SCALAR_LLVM = ("llvm.getelementptr", "llvm.mlir.zero", "llvm.ptrtoint", "llvm.inttoptr", "llvm.intr.assume")

COMPUTING = ("tt.dot", "tt.scan", "xsmt.exchange")  # whose loops want whole registers
# LLVM's words for vectors of half a 512-bit register
HALF_REGISTERS = (("prefer-vector-width", "256"), ("min-legal-vector-width", "0"))


def loops(module: ir.Module) -> None:
    """Replace the module's kernel by its loops; raises LoweringError at an op that has no lowering."""
    function = kernel_of(module)
    with module.context, function.location:
        KernelLowering(module, function).run()


class KernelLowering(Lowering):
    """One function's lowering, from its signature to its end."""

    def __init__(self, module: ir.Module, function: ir.Operation) -> None:
        self.module, self.function = module, function
        builder = Builder(module.context)
        builder.location = function.location
        self.strings: dict[str, str] = {}
        self.fuses = fuses(module)
        old = list(function.regions[0].blocks[0].arguments)
        types = [a.type for a in old] + [builder.ptr, builder.ptr]
        attributes = {
            "sym_name": function.attributes["sym_name"],
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, [])),
        }
        with ir.InsertionPoint(function):
            self.new = ir.Operation.create("func.func", [], [], attributes, None, 1, function.location)
        block = self.new.regions[0].blocks.append(*types, arg_locs=[a.location for a in old] + [function.location] * 2)
        marker = ir.Operation.create("llvm.mlir.zero", [builder.ptr], [], None, None, 0, function.location, ir.InsertionPoint(block), False)
        builder.set_entry(marker)
        builder.scopes.append(Scope(ir.InsertionPoint(block)))
        super().__init__(function, chip_of(module), builder)
        *new, context, scratch = (Emitted(a, 0, 0) for a in block.arguments)
        self.context, self.scratch = context, scratch
        self.values.update(zip(old, new, strict=True))

    def run(self) -> None:
        b = self.b
        self.run_block(self.analysis.body, lambda end: [])
        b.create("func.return", [], [])
        empty = ir.DictAttr.get({})
        no_alias = ir.DictAttr.get({"llvm.noalias": ir.UnitAttr.get()})
        self.new.attributes["arg_attrs"] = ir.ArrayAttr.get([empty] * len(self.analysis.body.arguments) + [no_alias, no_alias])
        if self.chip.half_registers and not self.computes and not any(node.name in COMPUTING for node in self.analysis.nodes):
            pairs = [ir.ArrayAttr.get([ir.StringAttr.get(text) for text in pair]) for pair in HALF_REGISTERS]
            self.new.attributes[LLVM_ATTRIBUTES] = ir.ArrayAttr.get(pairs)
        self.function.erase()
        self.module.operation.attributes[SCRATCH] = ir.IntegerAttr.get(b.i64, self.scratch_bytes)
        with ir.InsertionPoint.at_block_begin(self.module.body):
            for content, name in self.strings.items():
                self._string(name, content)

    def _string(self, name: str, content: str) -> None:
        data = content.encode() + b"\0"
        attributes = {
            "sym_name": ir.StringAttr.get(name),
            "global_type": ir.TypeAttr.get(ir.Type.parse(f"!llvm.array<{len(data)} x i8>")),
            "linkage": ir.Attribute.parse("#llvm.linkage<private>"),
            "constant": ir.UnitAttr.get(),
            "value": ir.DenseElementsAttr.get(memoryview(bytearray(data)), type=ir.RankedTensorType.get([len(data)], self.b.i8)),
            "addr_space": ir.IntegerAttr.get(self.b.i32, 0),
        }
        ir.Operation.create("llvm.mlir.global", [], [], attributes, None, 1, self.b.location)

    def run_block(self, block: Block, finish: Callable[[Node], list[Emitted]]) -> list[Emitted]:
        outer = self.b.location
        with self.region():
            for node in block.nodes[:-1]:
                if node in self.lowered:
                    continue
                self.b.location = node.op.location
                self.lower(node)
            end = block.nodes[-1]
            self.b.location = end.op.location
            result = finish(end)
        self.b.location = outer
        return result

    def lower(self, node: Node) -> None:
        if node.name in elementwise.DIVISIONS and not node.is_tensor:
            services.check_divisor(self, node)
        handler = HANDLERS.get(node.name)
        if handler is not None:
            handler(self, node)
        elif node.name.startswith(("arith.", "math.")):
            elementwise.lower_elementwise(self, node)
        elif node.name == "ub.poison":
            self.poison(node)
        elif node.name in SCALAR_LLVM:
            operands = [self.scalar(v).value for v in node.operands]
            copy = self.b.create(node.name, [r.type for r in node.results], operands, elementwise.attributes_of(node.op))
            for old, new in zip(node.results, copy.results, strict=True):
                self.values[old] = Emitted(new, self.b.depth, 0)
        else:
            types = ", ".join(str(v.type) for v in (*node.operands, *node.results))
            raise self.b.fail(node.op, f"is not supported on ({types})")

    def poison(self, node: Node) -> None:
        """A value that nobody may depend on."""
        type_ = node.results[0].type
        element = elementwise.element_of(type_)
        attributes = {"value": ir.Attribute.parse("#ub.poison")}
        value = Emitted(self.b.create("ub.poison", [element], [], attributes).results[0], self.b.depth, 0)
        is_block = isinstance(type_, ir.RankedTensorType)
        self.values[node.results[0]] = Tensor(tuple(type_.shape), element, None, node.op, uniform=value) if is_block else value
