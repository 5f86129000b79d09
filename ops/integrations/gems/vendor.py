"""What FlagGems wants to know of a vendor; it imports this module as `_triton_spacemit`."""

from dataclasses import dataclass
from pathlib import Path

NAME = "triton_spacemit"

#: FlagGems looks here for folders of single chips and of single releases of Triton; there are none.
__path__ = [str(Path(__file__).parent)]


@dataclass(frozen=True)
class Description:
    """The fields of FlagGems' own class, which differs between its releases.

    device_name: PyTorch's type of device, and the key of its dispatcher in lower case. device_query_cmd: a program that succeeds where the
    device is present; nobody asks, since the vendor is chosen by importing the integration. *_enabled: the types that operators take.
    """

    vendor_name: str = NAME
    device_name: str = "cpu"
    device_query_cmd: str = ""
    dispatch_key: str | None = None
    triton_extra_name: str | None = None
    trademark: str | None = None
    fp64_enabled: bool = True
    bf16_enabled: bool = True
    int64_enabled: bool = True
    tle_enabled: bool = False


vendor_info = Description()

#: Names of operators that FlagGems must not register: none.
CUSTOMIZED_UNUSED_OPS: tuple[str, ...] = ()
