"""Quantised weights, as GGML has them: packed for SpacemiT's matrix unit, and multiplied.

```python
from triton_spacemit.ops import quantised

packed = quantised.pack(raw_blocks, "Q4_0", (N, K))
y = quantised.linear(x, packed, bias)
```
"""

from triton_spacemit.ops.quantised.errors import FormatError, MisreadError
from triton_spacemit.ops.quantised.formats import dequantise
from triton_spacemit.ops.quantised.linear import linear, linear_experts
from triton_spacemit.ops.quantised.packed import Packed, pack
from triton_spacemit.ops.quantised.rounding import quantise
from triton_spacemit.ops.quantised.swap import QuantisedLinear, swap
from triton_spacemit.ops.quantised.weights import Weights, load

__all__ = [
    "FormatError",
    "MisreadError",
    "Packed",
    "QuantisedLinear",
    "Weights",
    "dequantise",
    "linear",
    "linear_experts",
    "load",
    "pack",
    "quantise",
    "swap",
]
