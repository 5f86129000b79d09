"""FlagGems on this backend: import this module, then use `flag_gems` as on a GPU, with CPU tensors.

    import triton_spacemit.integrations.flag_gems
    import flag_gems

    with flag_gems.use_gems():
        torch.softmax(torch.randn(64, 1000), -1)

The library asks for a vendor, whose name is `triton_spacemit` here: this project's operators where they are faster and the library's
generic ones for the rest (`operators`), with float64, bfloat16 and int64; tables of blocks for a CPU (`tuning`, `heuristics`); and what it
expects of a device's module in `torch.cpu` (`device`, `generator`). All that is changed in PyTorch and in the library is one table,
`replacements.ROWS`; `replacements.revert()` undoes it. Works with 5.0.2 and with the repository's main branch; `GEMS_VENDOR=spacemit`
without this module remains SpacemiT's own vendor.

Raises ImportError where the library is not installed, RuntimeError where it was imported before this module, with another vendor.
"""

import importlib
import sys

from triton_spacemit.integrations.gems import replacements
from triton_spacemit.integrations.gems.vendor import NAME

_early = sys.modules.get("flag_gems")
if _early is not None and getattr(_early, "vendor_name", None) != NAME:
    raise RuntimeError(
        f"flag_gems was imported before triton_spacemit.integrations.flag_gems, with the vendor {getattr(_early, 'vendor_name', None)!r}: "
        "import the integration first"
    )
replacements.apply()
try:
    importlib.import_module("flag_gems")
except BaseException:
    replacements.revert()
    raise
