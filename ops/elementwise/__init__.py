"""All element-wise operators: one table, one generator of overloads, two kernels that take the operator's function as a constant.

| file | what it has |
|---|---|
| `table.py` | a row for each operator: overloads, dtypes, type promotion |
| `activations.py`, `gradients.py`, `arithmetic.py`, `functions.py`, `predicates.py` | a small `@triton.jit` function for each |
| `choices.py` | what is decided by the values of numbers, and arguments that are mistakes |
| `types.py` | the dtype that an operator computes in, and that of its result |
| `layout.py` | what is iterated over: broadcasting, strides of the result, dimensions that collapse |
| `kernels.py` | the kernel for operands that lie in order, and the one for all others |
| `overloads.py` | from a row and PyTorch's schema to the function that PyTorch calls |
| `pairs.py` | operators with two results |

A new operator is a function and a row: broadcasting, strides, the dtype of the result, given tensors and errors follow from PyTorch's
schemas. The function sees float32 or float64 (float16 and bfloat16 are converted around it), integers of the tensors' dtype, and truth
values as `int1`. `test/ops/test_opinfo.py` finds the operator's samples by its name, `test/ops/test_elementwise.py` holds it to the error
of its row.
"""
