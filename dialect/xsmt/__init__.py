"""The `xsmt` dialect: block memory accesses resolved to base, strides and bounds; packed products; buffers; barriers; sorting.

`smt` is the name of the Python language module; upstream MLIR already owns an `smt` dialect, hence `xsmt` in IR.

A matrix packed in tiles of p0 x p1 is a 4-D block: element `[i, j, a, b]` is `matrix[i * p0 + a, j * p1 + b]`. Offsets of views count
elements of the matrix, also for packed blocks; what lies outside the base of a view reads as zero.
"""

from triton_spacemit.dialect.xsmt.accesses import DescriptorLoadOp, DescriptorStoreOp, GatherOp, ScatterOp
from triton_spacemit.dialect.xsmt.atomics import ORDERS, RMW_KINDS, AtomicCASOp, AtomicPollOp, AtomicRMWOp
from triton_spacemit.dialect.xsmt.checks import XSMT
from triton_spacemit.dialect.xsmt.networks import ExchangeOp
from triton_spacemit.dialect.xsmt.packed import HINTS, STORAGES, AllocOp, AnnotationOp, Mmt4dOp, PackOp, RepackOp, SubviewOp, UnpackOp
from triton_spacemit.dialect.xsmt.threads import (
    BarrierArriveOp,
    BarrierAtOp,
    BarrierSetExpectOp,
    BarrierWaitOp,
    GlobalMBarrierOp,
    MBarrierOp,
    NumThreadsOp,
    ParallelOp,
    YieldOp,
)

__all__ = [
    "HINTS",
    "ORDERS",
    "RMW_KINDS",
    "STORAGES",
    "XSMT",
    "AllocOp",
    "AnnotationOp",
    "AtomicCASOp",
    "AtomicPollOp",
    "AtomicRMWOp",
    "BarrierArriveOp",
    "BarrierAtOp",
    "BarrierSetExpectOp",
    "BarrierWaitOp",
    "DescriptorLoadOp",
    "DescriptorStoreOp",
    "ExchangeOp",
    "GatherOp",
    "GlobalMBarrierOp",
    "MBarrierOp",
    "Mmt4dOp",
    "NumThreadsOp",
    "PackOp",
    "ParallelOp",
    "RepackOp",
    "ScatterOp",
    "SubviewOp",
    "UnpackOp",
    "YieldOp",
]
