"""Reductions, scans, softmax, normalisations, and losses that are means."""
