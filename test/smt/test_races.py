"""The runtime's threads under ThreadSanitizer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from triton_spacemit.backend import native

SOURCES = Path(native.__file__).parent / "runtime"


@pytest.mark.slow  # zig builds the sanitizer's own library first
def test_no_races(tmp_path):
    """Hundreds of launches with parallel loops, barriers and deadlocks, on one to five threads."""
    files = [str(SOURCES / name) for name in ("host.c", "pool.c", "team.c", "services.c")] + [str(Path(__file__).with_name("races.c"))]
    flags = ["-fsanitize=thread", "-g", "-O1", "-std=gnu11", f"-I{SOURCES}", "-lpthread", "-lm", "-o", "races"]
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *flags, *files], check=True, cwd=tmp_path)
    environment = os.environ | {"TSAN_OPTIONS": "exitcode=66"}
    result = subprocess.run([tmp_path / "races"], capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stderr
