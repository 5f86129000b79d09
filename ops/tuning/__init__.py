"""Tuning: which blocks a kernel takes for which sizes on which chip."""
