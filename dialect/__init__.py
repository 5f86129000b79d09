"""The ``xsmt`` dialect, accessors for Triton's ops, and the chips they target. Imports neither triton nor torch."""
