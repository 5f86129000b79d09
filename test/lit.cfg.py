"""lit: every .mlir file here is a test; the tools come from the environment that lit runs in."""

import os
import sys

import lit.formats

config.name = "triton-spacemit"  # noqa: F821 - lit defines `config`
config.test_format = lit.formats.ShTest(execute_external=False)  # noqa: F821
config.suffixes = [".mlir"]  # noqa: F821
config.test_source_root = os.path.dirname(__file__)  # noqa: F821
config.test_exec_root = os.path.join(config.test_source_root, "Output")  # noqa: F821
config.environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + config.environment["PATH"]  # noqa: F821
