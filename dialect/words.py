"""Words that kernels give the `smt` language and that stand in attributes of `xsmt` ops."""

#: What `smt.compile_hint` may be about: `mr`, `nr` and so on are rows, columns and depth of a product's tiles.
HINTS = ("lhs_first", "mr", "nr", "kr", "mt", "nt", "kt", "mb", "nb", "kb")
#: Where `smt.alloc` may put a buffer.
STORAGES = ("l2", "tcm", "stack")
