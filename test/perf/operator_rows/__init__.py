"""The rows of `make bench-ops`, a module for each family of operators."""

from perf.operator_rows import attention, convolutions, elementwise, indexing, products, reductions

ROWS = [*attention.ROWS, *convolutions.ROWS, *elementwise.ROWS, *indexing.ROWS, *products.ROWS, *reductions.ROWS]
