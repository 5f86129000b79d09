"""A process that checks one program after the other, as `pool` asks for them: a number or a program a line in, a result a line out.

python -m random_kernels.worker DEVICE CHIP [WITHOUT ...]
"""

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from typing import TextIO

import triton
from random_kernels import other_cores
from random_kernels.check import check
from random_kernels.generate import generate
from random_kernels.program import Program

from triton_spacemit.backend import set_device


def serve(requests: TextIO, answers: TextIO, without: Sequence[str]) -> None:
    for line in requests:
        request = json.loads(line)
        program = generate(request, without) if isinstance(request, int) else Program.from_json(request)
        print(json.dumps(check(program).to_dict()), file=answers, flush=True)


def main() -> None:
    # What kernels or libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    device, chip, *without = sys.argv[1:]
    with other_cores.registered(chip), tempfile.TemporaryDirectory() as folder:
        set_device(device, chip=chip)
        triton.knobs.cache.dir = folder
        serve(sys.stdin, answers, without)


if __name__ == "__main__":
    main()
