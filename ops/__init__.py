"""The operator library: PyTorch's operators as Triton kernels of this backend.

```python
from triton_spacemit import ops

ops.enable()                    # every operator of `ops.registry.OPERATORS`, for tensors on the CPU
ops.disable("softmax")          # PyTorch's own again
with ops.enabled("mm", "gelu"):
    ...
```

Kernels run on the active device (`triton_spacemit.backend.set_device`): this machine, or an emulated SpacemiT core.
"""

from triton_spacemit.ops.attention.flash import flash_attention
from triton_spacemit.ops.library import active, disable, enable, enabled, left_to_pytorch

__all__ = ["active", "disable", "enable", "enabled", "flash_attention", "left_to_pytorch"]
