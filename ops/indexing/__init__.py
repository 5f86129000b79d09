"""Reading, writing and adding at indices, and losses that do.

Where there is nothing to gain PyTorch's own operators stay: views; copies (`cat`, `stack`, `clone`, `flip`, `roll`, `repeat_interleave`,
`constant_pad_nd`, `triu`, `tril`), of which kernels for `cat` were 0.7 to 1.0 times as fast; and what consists of operators here
(`one_hot` is `scatter_`, `take_along_dim` is `gather`, indexing by tensors with gradients ends in PyTorch's `index` and `index_put`).
"""
