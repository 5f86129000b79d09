"""Triton's own passes on TTIR, as they run before the module leaves libtriton."""

from triton._C.libtriton import ir, passes


def optimize(module: ir.module) -> ir.module:
    """Inline, rewrite tensor descriptors to pointers, fold and hoist, in place.

    What is unrolled in Python is folded before calls are inlined, too: inlining one takes time that grows with all the code behind it.
    """
    manager = ir.pass_manager(module.context)
    manager.enable_debug()
    passes.common.add_canonicalizer(manager)
    passes.common.add_cse(manager)
    passes.common.add_inliner(manager)
    passes.ttir.add_rewrite_tensor_descriptor_to_pointer(manager)
    passes.ttir.add_combine(manager)
    passes.common.add_canonicalizer(manager)
    passes.ttir.add_reorder_broadcast(manager)
    passes.common.add_cse(manager)
    passes.ttir.add_triton_licm(manager)
    passes.common.add_symbol_dce(manager)
    passes.ttir.add_loop_unroll(manager)
    manager.run(module, "make_ttir")
    return module
