"""Reductions, scans, softmax, normalisations, and the losses that end in a reduction."""
