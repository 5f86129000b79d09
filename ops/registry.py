"""The one table of operators: which overloads of PyTorch's operators are kernels here, and where.

An implementation is a function with the signature of its overload. It returns the overload's result, or `NotImplemented` where PyTorch's
own kernel is to answer: for dtypes that its row does not list, and for arguments that are an error, so that the caller gets PyTorch's
exception. It decides that before it writes anything. Where a caller has a Python number for a tensor (`x * 2`), the implementation is given
the number.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from triton_spacemit.ops.elementwise.table import FLOATS, INTEGERS, ROWS


@dataclass(frozen=True)
class Operator:
    """A row of the table.

    overloads: those of PyTorch's `aten` namespace that this operator consists of (forward, backward, in place, out) to "module:function", a
    module below `triton_spacemit.ops`. dtypes: of the tensors that are computed here, by PyTorch's names. path: what the operator becomes,
    for the support table. error: the largest error against float64, in words.
    """

    name: str
    family: str
    overloads: Mapping[str, str]
    dtypes: tuple[str, ...]
    path: str
    error: str


_ALL = (*FLOATS, *INTEGERS, "bool")
_SUMS = "rounding of sums of 64 in float32"
_PRODUCTS = "rounding of products in float32"
_IN_FLOAT64 = "rounding of sums in float64"
_NONE = "none"


def _at(module: str, functions: Mapping[str, str]) -> dict[str, str]:
    """Overloads to functions of one module."""
    return {overload: f"{module}:{function}" for overload, function in functions.items()}


def _reduction(name: str, functions: Mapping[str, str], dtypes: tuple[str, ...], error: str, module: str = "sums") -> Operator:
    return Operator(name, "Reductions", _at(f"reductions.{module}", functions), dtypes, "one kernel for all reductions", error)


def _forms(place: str, name: str, *forms: str) -> dict[str, str]:
    """Overloads of `aten::name` to functions of the module `place`: "" and "out" to those of that name, "_" to the one in place."""
    functions = {"": ("", ""), "out": (".out", "_out"), "_": ("_", "_in_place")}
    return {name + functions[form][0]: f"{place}:{name.lstrip('_')}{functions[form][1]}" for form in forms}


def _pool(name: str) -> dict[str, str]:
    """Overloads of a pooling and its gradient."""
    functions = {"": "", ".out": "_out", "_backward": "_backward", "_backward.grad_input": "_backward_out"}
    return _at("convolution.pooling", {f"{name}{overload}": f"{name}{function}" for overload, function in functions.items()})


_MATRICES, _VECTORS = "products.matrices", "products.vectors"
_IN_FLOAT32 = "rounding of sums in float32; integers are exact"


def _softmax(name: str, overload: str) -> Operator:
    functions = {
        overload: name,
        f"{overload}.out": f"{name}_out",
        f"{overload}_backward_data": f"{name}_backward",
        f"{overload}_backward_data.out": f"{name}_backward_out",
    }
    return Operator(name, "Softmax", _at("reductions.softmax", functions), FLOATS, "one block a row; long rows in two passes", _SUMS)


def _norm(name: str, functions: Mapping[str, str], module: str = "norms") -> Operator:
    return Operator(name, "Normalisations", _at(f"reductions.{module}", functions), FLOATS, "one kernel for all normalisations", _SUMS)


OPERATORS: tuple[Operator, ...] = (
    Operator(
        "nll_loss",
        "Losses",
        {
            f"nll_loss{dims}_{overload}": f"indexing.losses:nll_loss_{overload.replace('.', '_')}"
            for dims in ("", "2d")
            for overload in ("forward", "forward.output", "backward", "backward.grad_input")
        },
        FLOATS,
        path="elements at indices, and their sum",
        error="rounding of sums in float32",
    ),
    Operator(
        "scaled_dot_product_attention",
        "Attention",
        {
            "_scaled_dot_product_flash_attention_for_cpu": "attention.forward:attention",
            "_scaled_dot_product_flash_attention_for_cpu_backward": "attention.backward:attention_backward",
        },
        FLOATS,
        path="products in blocks, an online softmax between them",
        error="rounding of the weights to the dtype, of sums in float32",
    ),
    Operator(
        "embedding",
        "Indices",
        {"embedding": "indexing.rows:embedding", "embedding_dense_backward": "indexing.rows:embedding_dense_backward"},
        FLOATS + INTEGERS,
        path="rows at indices",
        error="none; backward: rounding of sums in float32",
    ),
    Operator(
        "index_select",
        "Indices",
        {"index_select": "indexing.rows:index_select", "index_select.out": "indexing.rows:index_select_out"},
        FLOATS + INTEGERS,
        path="rows at indices",
        error="none",
    ),
    Operator(
        "index_add",
        "Indices",
        {
            "index_add": "indexing.rows:index_add",
            "index_add.out": "indexing.rows:index_add_out",
            "index_add_": "indexing.rows:index_add_",
        },
        FLOATS + INTEGERS,
        path="sums at indices, in order",
        error="rounding of sums in float32",
    ),
    Operator(
        "gather",
        "Indices",
        {"gather": "indexing.elements:gather", "gather.out": "indexing.elements:gather_out"},
        FLOATS + INTEGERS,
        path="elements at indices",
        error="none",
    ),
    Operator(
        "scatter",
        "Indices",
        {
            "scatter.src": "indexing.elements:scatter",
            "scatter.value": "indexing.elements:scatter",
            "scatter.src_out": "indexing.elements:scatter_out",
            "scatter.value_out": "indexing.elements:scatter_out",
            "scatter_.src": "indexing.elements:scatter_",
            "scatter_.value": "indexing.elements:scatter_",
        },
        FLOATS + INTEGERS,
        path="elements at indices, in order",
        error="none",
    ),
    Operator(
        "scatter_add",
        "Indices",
        {
            "scatter_add": "indexing.elements:scatter_add",
            "scatter_add.out": "indexing.elements:scatter_add_out",
            "scatter_add_": "indexing.elements:scatter_add_",
        },
        FLOATS + INTEGERS,
        path="sums at indices, in order",
        error="rounding of sums in float32",
    ),
    Operator(
        "cat",
        "Indices",
        {"cat": "indexing.joining:cat", "cat.out": "indexing.joining:cat_out"},
        _ALL,
        path="rows of four tensors at a time",
        error=_NONE,
    ),
    Operator(
        "index",
        "Indices",
        {"index.Tensor": "indexing.advanced:index", "index.Tensor_out": "indexing.advanced:index_out"},
        _ALL,
        path="rows or elements at indices",
        error=_NONE,
    ),
    Operator(
        "index_put",
        "Indices",
        {"_index_put_impl_": "indexing.advanced:index_put_"},
        _ALL,
        path="rows or elements at indices, in order",
        error="accumulating: rounding of sums in float32",
    ),
    Operator("mm", "Products", _forms(_MATRICES, "mm", "", "out"), FLOATS + INTEGERS, "a product by one of four paths", _IN_FLOAT32),
    Operator("bmm", "Products", _forms(_MATRICES, "bmm", "", "out"), FLOATS + INTEGERS, "as mm", _IN_FLOAT32),
    Operator("addmm", "Products", _forms(_MATRICES, "addmm", "", "out", "_"), FLOATS + INTEGERS, "as mm, in one kernel", _IN_FLOAT32),
    Operator("baddbmm", "Products", _forms(_MATRICES, "baddbmm", "", "out", "_"), FLOATS + INTEGERS, "as mm, in one kernel", _IN_FLOAT32),
    Operator("_int_mm", "Products", _forms(_MATRICES, "_int_mm", "", "out"), ("int8",), "as mm, with sums of int32", "exact"),
    Operator("mv", "Products", _forms(_VECTORS, "mv", "", "out"), FLOATS + INTEGERS, "sums along rows", _IN_FLOAT32),
    Operator("addmv", "Products", _forms(_VECTORS, "addmv", "", "out", "_"), FLOATS + INTEGERS, "as mv, in one kernel", _IN_FLOAT32),
    Operator("dot", "Products", _forms(_VECTORS, "dot", "", "out"), FLOATS + INTEGERS, "a sum of vectors", _IN_FLOAT32),
    Operator("vdot", "Products", {"vdot": f"{_VECTORS}:dot", "vdot.out": f"{_VECTORS}:dot_out"}, FLOATS + INTEGERS, "as dot", _IN_FLOAT32),
    Operator(
        "addr",
        "Products",
        {"addr": "products.outer:addr", "addr.out": "products.outer:addr_out"},
        FLOATS + INTEGERS,
        "one loop",
        "rounding of each step",
    ),
    Operator(
        "convolution",
        "Convolutions",
        {
            "convolution": "convolution.forward:convolution",
            "convolution_backward": "convolution.backward:convolution_backward",
        },
        FLOATS,
        "a product for each tap; single channels by a kernel of their own",
        _IN_FLOAT32,
    ),
    Operator(
        "thnn_conv2d",
        "Convolutions",
        {
            "_slow_conv2d_forward": "convolution.forward:slow_conv2d",
            "_slow_conv2d_backward.output_mask": "convolution.backward:slow_conv2d_backward",
        },
        FLOATS,
        "as convolution",
        _IN_FLOAT32,
    ),
    Operator("max_pool2d", "Convolutions", _pool("max_pool2d_with_indices"), FLOATS, "one kernel", _NONE),
    Operator("avg_pool2d", "Convolutions", _pool("avg_pool2d"), FLOATS, "one kernel", _IN_FLOAT32),
    _reduction("sum", {"sum.dim_IntList": "sum_", "sum.IntList_out": "sum_out"}, _ALL, _SUMS),
    _reduction("mean", {"mean.dim": "mean", "mean.out": "mean_out"}, FLOATS, _SUMS),
    _reduction("prod", {"prod": "prod", "prod.dim_int": "prod_dim", "prod.int_out": "prod_dim_out"}, _ALL, _PRODUCTS),
    _reduction(
        "global_avg_pool",
        {"_adaptive_avg_pool2d": "global_avg_pool", "adaptive_avg_pool2d.out": "global_avg_pool_out"},
        FLOATS,
        _SUMS,
    ),
    _reduction("var", {"var.correction": "var", "var.correction_out": "var_out"}, FLOATS, _SUMS),
    _reduction("std", {"std.correction": "std", "std.correction_out": "std_out"}, FLOATS, _SUMS),
    _reduction("var_mean", {"var_mean.correction": "var_mean"}, FLOATS, _SUMS),
    _reduction("std_mean", {"std_mean.correction": "std_mean"}, FLOATS, _SUMS),
    _reduction(
        "norm",
        {
            "linalg_vector_norm": "vector_norm",
            "linalg_vector_norm.out": "vector_norm_out",
            "norm.ScalarOpt_dim": "norm",
            "norm.ScalarOpt_dim_dtype": "norm_dtype",
            "norm.out": "norm_out",
            "norm.dtype_out": "norm_dtype_out",
        },
        FLOATS,
        _SUMS + ", and of powers",
    ),
    _reduction(
        "any",
        {
            "any": "any_",
            "any.all_out": "any_out",
            "any.dim": "any_dims",
            "any.out": "any_dims_out",
            "any.dims": "any_dims",
            "any.dims_out": "any_dims_out",
        },
        _ALL,
        _NONE,
    ),
    _reduction(
        "all",
        {
            "all": "all_",
            "all.all_out": "all_out",
            "all.dim": "all_dims",
            "all.out": "all_dims_out",
            "all.dims": "all_dims",
            "all.dims_out": "all_dims_out",
        },
        _ALL,
        _NONE,
    ),
    _reduction("count_nonzero", {"count_nonzero.dim_IntList": "count_nonzero"}, _ALL, _NONE),
    _reduction("logsumexp", {"logsumexp": "logsumexp"}, _ALL, _SUMS + ", and of exponentials"),
    _reduction("amax", {"amax": "amax", "amax.out": "amax_out"}, _ALL, _NONE, "extrema"),
    _reduction("amin", {"amin": "amin", "amin.out": "amin_out"}, _ALL, _NONE, "extrema"),
    _reduction(
        "max",
        {"max": "max_", "max.unary_out": "max_out", "max.dim": "max_dim", "max.dim_max": "max_dim_out"},
        _ALL,
        _NONE,
        "extrema",
    ),
    _reduction(
        "min",
        {"min": "min_", "min.unary_out": "min_out", "min.dim": "min_dim", "min.dim_min": "min_dim_out"},
        _ALL,
        _NONE,
        "extrema",
    ),
    _reduction("argmax", {"argmax": "argmax", "argmax.out": "argmax_out"}, (*FLOATS, *INTEGERS), _NONE, "extrema"),
    _reduction("argmin", {"argmin": "argmin", "argmin.out": "argmin_out"}, (*FLOATS, *INTEGERS), _NONE, "extrema"),
    _softmax("softmax", "_softmax"),
    _softmax("log_softmax", "_log_softmax"),
    _reduction("cumsum", {"cumsum": "cumsum", "cumsum.out": "cumsum_out", "cumsum_": "cumsum_in_place"}, _ALL, _IN_FLOAT64, "scans"),
    Operator(
        "binary_cross_entropy",
        "Losses",
        {
            "binary_cross_entropy": "reductions.losses:binary_cross_entropy",
            "binary_cross_entropy.out": "reductions.losses:binary_cross_entropy_out",
            "binary_cross_entropy_backward": "reductions.losses:binary_cross_entropy_backward",
            "binary_cross_entropy_backward.grad_input": "reductions.losses:binary_cross_entropy_backward_out",
        },
        FLOATS,
        "a loop, and a sum",
        _SUMS + ", and of logarithms",
    ),
    *(
        Operator(
            name,
            "Losses",
            _at("reductions.distances", {name: name, f"{name}.out": f"{name}_out"} | backward),
            FLOATS,
            "one loop, which adds up losses as it computes them",
            _SUMS,
        )
        for name, backward in (
            ("mse_loss", {"mse_loss_backward": "mse_loss_backward", "mse_loss_backward.grad_input": "mse_loss_backward_out"}),
            # PyTorch composes the others' gradients of those into a given tensor.
            ("smooth_l1_loss", {"smooth_l1_loss_backward.grad_input": "smooth_l1_loss_backward_out"}),
            ("huber_loss", {"huber_loss_backward.out": "huber_loss_backward_out"}),
        )
    ),
    Operator(
        "dropout",
        "Random numbers",
        {"native_dropout": "elementwise.dropout:native_dropout", "bernoulli_.float": "elementwise.dropout:bernoulli_"},
        _ALL,
        path="Philox, seeded from PyTorch's generator: other numbers than PyTorch's",
        error="1 ulp",
    ),
    _norm("layer_norm", {"native_layer_norm": "layer_norm", "native_layer_norm_backward": "layer_norm_backward"}),
    _norm("rms_norm", {"_fused_rms_norm": "rms_norm", "_fused_rms_norm_backward": "rms_norm_backward"}),
    _norm("group_norm", {"native_group_norm": "group_norm", "native_group_norm_backward": "group_norm_backward"}),
    _norm(
        "batch_norm",
        {
            "native_batch_norm": "batch_norm",
            "native_batch_norm.out": "batch_norm_out",
            "native_batch_norm_backward": "batch_norm_backward",
            "_native_batch_norm_legit": "batch_norm",
            "_native_batch_norm_legit.out": "batch_norm_out",
            "_native_batch_norm_legit.no_stats": "batch_norm_no_stats",
            "_native_batch_norm_legit.no_stats_out": "batch_norm_no_stats_out",
            "_batch_norm_with_update": "batch_norm_with_update",
            "batch_norm_backward": "batch_norm_backward_with_reserve",
        },
        "batch_norm",
    ),
    Operator(
        "log_sigmoid",
        "Element-wise",
        {
            "log_sigmoid_forward": "elementwise.pairs:log_sigmoid_forward",
            "log_sigmoid_forward.output": "elementwise.pairs:log_sigmoid_forward_output",
            "log_sigmoid_backward": "elementwise.overloads:log_sigmoid_backward",
            "log_sigmoid_backward.grad_input": "elementwise.overloads:log_sigmoid_backward.grad_input",
        },
        FLOATS,
        path="two loops",
        error="2 ulp",
    ),
    Operator(
        "prelu",
        "Element-wise",
        {"_prelu_kernel": "elementwise.overloads:_prelu_kernel", "_prelu_kernel_backward": "elementwise.pairs:_prelu_kernel_backward"},
        FLOATS,
        path="one loop",
        error="0.5 ulp",
    ),
    *(
        Operator(
            row.name,
            "Element-wise",
            {overload: f"elementwise.overloads:{overload}" for part in ROWS if part.part_of == row.name for overload in part.overloads},
            row.dtypes,
            path="one loop",
            error=f"{row.error:g} ulp" if row.error else "rounding of each step",
        )
        for row in ROWS
        if row.part_of == row.name
    ),
)


def by_name() -> dict[str, Operator]:
    """Every operator by its name."""
    return {operator.name: operator for operator in OPERATORS}
