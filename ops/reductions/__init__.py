"""Reductions, scans, softmax and normalisations."""
