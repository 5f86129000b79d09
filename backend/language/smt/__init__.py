"""SpacemiT's kernel language beside Triton's: packed products, views, buffers, barriers and parallel loops.

Imported in kernels as `triton.language.extra.smt`. In the module that the bridge brings over, a builtin is a call of a private function
without a body, `@__smt.NAME__TYPES` (the operands' and results' types only make the symbol unique), with the builtin's constants as
attributes of the call. Shapes and tiles are those of the result.

| NAME | operands | result | attributes |
|---|---|---|---|
| `pack` | 2-D tensor, 2 offsets (i32) | 4-D tensor | |
| `repack` | 4-D tensor, 2 offsets | 4-D tensor of another tile | |
| `subview` | 2-D or 4-D tensor, 2 offsets | the same rank, tile kept | |
| `unpack` | 4-D tensor, 2 offsets | 2-D tensor | |
| `mmt4d` | A, B and, for `out`, the accumulator | 4-D tensor | `smt.transposed`: B is [NB, KB, nb, kb] |
| `alloc` | none | pointer | `smt.size` (elements), `smt.storage` |
| `mbarrier` | flag, arrive, transaction, expect (i32) | i64 handle | `smt.copies` |
| `barrier_at` | handle of copies, index (i32) | i64 handle | |
| `barrier_arrive` | handle | none | |
| `barrier_wait` | handle, flag, arrive count (i32) | none | |
| `barrier_set_expect` | handle, expect (i32) | none | |
| `global_mbarrier` | id (i32) | i64 handle | |
| `get_num_of_thread` | none | i32 | |
| `annotation` | tensor | none | `smt.name`, `smt.value` |

Pure in meaning are `pack`, `repack`, `subview`, `unpack`, `mmt4d`, `barrier_at` and `get_num_of_thread`: once they are ops, upstream's
passes may merge, hoist and drop them; until then a call stays where it stands. `parallel` is an `scf.for` without loop-carried values
that has the attributes `smt.parallel` (true) and `smt.bind_sub_block` (bool). `descriptor_load`, and views of pointers, are ordinary
`tt.load` and `tt.store` with address arithmetic, so that a load with a `pack` behind it can become one packing load.
"""

from triton.language.extra.smt.barriers import (
    barrier_arrive,
    barrier_set_expect,
    barrier_wait,
    global_mbarrier,
    mbarrier,
    mbarrier_copies,
)
from triton.language.extra.smt.blocks import alloc, alloc_copies, compile_hint, descriptor_load, dot, view
from triton.language.extra.smt.loops import get_num_of_thread, parallel

__all__ = [
    "alloc",
    "alloc_copies",
    "barrier_arrive",
    "barrier_set_expect",
    "barrier_wait",
    "compile_hint",
    "descriptor_load",
    "dot",
    "get_num_of_thread",
    "global_mbarrier",
    "mbarrier",
    "mbarrier_copies",
    "parallel",
    "view",
]
