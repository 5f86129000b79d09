"""Blocks for FlagGems' operators on CPUs, by the keys under which they ask.

A block is a few thousand elements: enough that a program's fixed cost does not count, few enough that it stays in a core's first cache.
Where rows follow one another in memory a block is one row or few, and wide. Products take blocks that the backend cuts into its own tiles.
Warps and stages mean nothing here, so that there is one configuration where a GPU's table has twenty: each one would be compiled and timed.
Two or three are kept where shapes differ so much that none is good for all. Never where an operator works in place (`IN_PLACE`): measuring
launches a kernel again and again, and FlagGems does not restore what it overwrites.

`pad` and the keys of SpacemiT's own table are there because other operators of FlagGems ask for them.
"""

from itertools import product
from typing import Any

Blocks = dict[str, int | bool]


def _each(**values: tuple[int | bool, ...]) -> tuple[Blocks, ...]:
    """Every combination of the parameters' values."""
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))


_FLAT = ({"BLOCK_SIZE": 1024},)
_PLANE = ({"BLOCK_H": 8, "BLOCK_W": 64},)
_ROWS = ({"BLOCK_M": 1, "BLOCK_N": 1024}, {"BLOCK_M": 4, "BLOCK_N": 1024})
_LOOP = ({"TILE_N": 1024},)
_BATCHED = ({"TILE_M": 32, "TILE_N": 32, "TILE_K": 32, "GROUP_M": 1}, {"TILE_M": 64, "TILE_N": 64, "TILE_K": 32, "GROUP_M": 1})
_PRODUCT = ({"BLOCK_SIZE_M": 32, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 64},)
_INDEXED = ({"BLOCK_SIZE0": 1, "BLOCK_SIZE1": 1024},)
_EXPERTS = ({"BLOCK_SIZE_N": 64, "GROUP_SIZE_M": 1},)
_RESIZED = ({"BLOCK_X": 64, "BLOCK_Y": 1},)

TABLE: dict[str, tuple[Blocks, ...]] = {
    # Element by element.
    "_conj": _FLAT,
    "_conj_copy": _FLAT,
    "conj_physical": _FLAT,
    "count_nonzero": _FLAT,
    "masked_fill": _FLAT,
    "masked_select": _FLAT,
    "nansum_final_reduce": _FLAT,
    "nonzero": _FLAT,
    "pad": _FLAT,
    "renorm_": _FLAT,
    "rnn_relu": ({"BLOCK_SIZE": 128},),
    "rot90": _FLAT,
    "unbind_copy": _FLAT,
    "vstack": _FLAT,
    "triu": ({"M_BLOCK_SIZE": 1, "N_BLOCK_SIZE": 1024},),
    "triu_batch": ({"BATCH_BLOCK_SIZE": 1, "MN_BLOCK_SIZE": 512},),
    "diff_1d": ({"BLOCK_DIFF": 1024},),
    "diff": ({"BLOCK_M": 1, "BLOCK_DIFF": 1024},),
    # Indexed.
    "index": _INDEXED,
    "index_put": _INDEXED,
    "index_adjacent": (
        {"BLOCK_SIZE0": 4, "BLOCK_SIZE1": 64},
        {"BLOCK_SIZE0": 4, "BLOCK_SIZE1": 256},
        {"BLOCK_SIZE0": 64, "BLOCK_SIZE1": 1},
    ),
    "index_select": _ROWS,
    "index_select_backward": ({"BLOCK": 256},),
    "gather": _ROWS,
    "scatter": ({"BLOCK_M": 1, "BLOCK_N": 1024},),
    "select_scatter": _ROWS,
    "select_scatter_inner": ({"R": 4, "C": 128},),
    "compute_global_topk_indices_and_lens": ({"BLOCK": 256, "TPP": 1},),
    # Reductions and normalisations.
    "all": _ROWS,
    "amax": _ROWS,
    "any": _ROWS,
    "argmax": ({"BLOCK_M": 8},),
    "argmin": ({"BLOCK_M": 8},),
    "argmin_split_k": ({"BLOCK_M": 4, "BLOCK_N": 64, "BLOCK_K": 32},),
    "batch_norm": ({},),
    "cross_entropy_loss": ({"BLOCK_C": 256, "BLOCK_D": 1}, {"BLOCK_C": 256, "BLOCK_D": 4}),
    "cross_entropy_loss_sum_and_scale": ({"BLOCK_N": 256},),
    "gated_activation": _ROWS,
    "instancenorm": ({},),
    "instance_norm_backward": ({"BLOCK_ROW_SIZE": 1, "BLOCK_COL_SIZE": 1024},),
    "instance_norm_loop": _LOOP,
    "instance_norm_weight_bias_backward": ({"BLOCK_BATCH_SIZE": 1, "BLOCK_COL_SIZE": 1024},),
    "add_rms_norm_loop": _LOOP,
    "layer_norm_backward": ({"BLOCK_ROW_SIZE": 1, "BLOCK_COL_SIZE": 1024},),
    "layer_norm_loop": _LOOP,
    "layer_norm_persistent": ({},),
    "log_softmax": ({"BLOCK_M": 8, "BLOCK_N": 256},),
    "max": ({"BLOCK_M": 8, "BLOCK_N": 256},),
    "mean": ({"TILE_N": 512},),
    "min": ({"BLOCK_M": 8, "BLOCK_N": 256},),
    "naive_reduction": _ROWS,
    "nansum_dim": ({"BLOCK_M": 1, "BLOCK_N": 1024}, {"BLOCK_M": 8, "BLOCK_N": 64}),
    "pairwise_distance": _each(BLOCK_M=(1,), BLOCK_D=(1, 16, 64, 256, 1024, 4096)),
    "prod": ({"BLOCK_M": 8, "BLOCK_N": 256},),
    "rms_norm_loop": _LOOP,
    "rmsnorm_bwd_dgamma": ({"BLOCK_ROW_SIZE": 32, "BLOCK_COL_SIZE": 64},),
    "rmsnorm_bwd_dx": ({"BLOCK_ROW_SIZE": 1, "BLOCK_COL_SIZE": 1024},),
    "softmax": ({"TILE_K": 64},),
    "softmax_inner": ({"TILE_N": 256}, {"TILE_N": 1024}),
    "softmax_non_inner": ({"TILE_K": 64}, {"TILE_K": 256}),
    "sum": _ROWS,
    "var_mean": _ROWS,
    "vector_norm": _ROWS,
    "weight_bias_backward": ({"BLOCK_ROW_SIZE": 32, "BLOCK_COL_SIZE": 8},),
    "weight_norm_kernel": ({"BLOCK_ROW_SIZE": 4, "BLOCK_COL_SIZE": 256},),
    "weight_norm_kernel_first": ({"BLOCK_ROW_SIZE": 1, "BLOCK_COL_SIZE": 1024},),
    "weight_norm_kernel_last": ({"BLOCK_ROW_SIZE": 256, "BLOCK_COL_SIZE": 4},),
    # Products and convolutions.
    "addmm": _PRODUCT,
    "attention": ({"BLOCK_M": 128, "BLOCK_N": 32, "PRE_LOAD_V": False},),  # one of the two that its operators let pass
    "attention_bwd": ({"BLOCK_M1": 32, "BLOCK_N1": 64, "BLOCK_M2": 64, "BLOCK_N2": 32},),
    "baddbmm": _BATCHED,
    "bmm": _BATCHED,
    "conv2d_backward_weight": ({"BLOCK_CI_HK_WK": 32, "BLOCK_CO": 32, "BLOCK_NO": 32},),
    "conv2d_forward": (
        {"BLOCK_NI_HO_WO": 32, "BLOCK_CO": 32, "BLOCK_CI": 32},
        {"BLOCK_NI_HO_WO": 64, "BLOCK_CO": 16, "BLOCK_CI": 16},
    ),
    "conv3d_forward": ({"BLOCK_NI_DO_HO_WO": 64, "BLOCK_CO": 16, "BLOCK_CI": 16},),
    "conv_transpose1d": ({"BLOCK_N_OW": 32, "BLOCK_OC": 32, "BLOCK_IC": 32},),
    "fp8_fp4_mqa_logits": ({"BLOCK_M": 4, "BLOCK_N": 64, "HEAD_BLOCK": 16},),
    "fp8_mqa_logits": ({"BLOCK_M": 16, "BLOCK_N": 32, "BLOCK_D": 64},),
    "fp8_paged_mqa_logits": (
        {"BLOCK_KV": 32, "BLOCK_D": 64, "NUM_D_TILES": 2, "BLOCK_H": 16},
        {"BLOCK_KV": 32, "BLOCK_D": 128, "NUM_D_TILES": 1, "BLOCK_H": 16},
    ),
    "fused_marlin_moe_w4a16_int4": _EXPERTS,
    "fused_marlin_moe_w4a16_int4_gemm_silu": _EXPERTS,
    "fused_marlin_moe_w4a16_mxfp4": _EXPERTS,
    "fused_marlin_moe_w4a16_mxfp4_gemm_silu": _EXPERTS,
    "im2col": ({"BLOCK_M": 64, "BLOCK_N": 128},),  # its programs are counted by these
    "kron": ({"BLOCK_M": 1, "BLOCK_N": 1024},),
    "linear": _PRODUCT,
    "mm": ({"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 32}, {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 64}),
    "mm_self_transpose": ({"BLOCK_M": 32, "BLOCK_K": 32}, {"BLOCK_M": 64, "BLOCK_K": 64}),
    "mv": ({"BLOCK_M": 64, "BLOCK_N": 8}, {"BLOCK_M": 256, "BLOCK_N": 4}),
    "scaled_mm": ({"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_K": 128},),
    "w8a8_block_fp8_bmm": ({"TILE_ORDER": 0},),
    "w8a8_block_fp8_bmm_general": ({"BLOCK_M": 16, "BLOCK_N": 32, "BLOCK_K": 128, "GROUP_M": 1},),
    "w8a8_block_fp8_bmm_splitk": ({"BLOCK_M": 16, "BLOCK_N": 32, "BLOCK_K": 128, "SPLIT_K": 4},),
    # Pooling, resizing, sampling and padding of images.
    "_adaptive_avg_pool2d_backward": _PLANE,
    "_adaptive_avg_pool3d_backward": ({"BLOCK_SIZE": 512},),
    "adaptive_max_pool2d": _PLANE,
    "adaptive_max_pool2d_backward": ({"BLOCK_SIZE": 256},),
    "adaptive_max_pool3d_backward": ({"BLOCK_SIZE": 64},),
    "fractional_max_pool2d_backward": _PLANE,
    "fractional_max_pool2d_forward": _PLANE,
    "global_average_pool": ({"BLOCK_SIZE": 32},),
    "grid_sample_2d_bicubic": ({"BLOCK_SIZE": 256},),
    "grid_sample_2d_bilinear": ({"BLOCK_SIZE": 256},),
    "grid_sample_2d_nearest": ({"BLOCK_SIZE": 256},),
    "grid_sample_3d_nearest": ({"BLOCK_SIZE": 256},),
    "grid_sample_3d_trilinear": ({"BLOCK_SIZE": 256},),
    "grid_sample_2d_nearest_tiled": _PLANE,
    "grid_sample_2d_bilinear_tiled": _PLANE,
    "grid_sample_3d_nearest_tiled": ({"BLOCK_D": 4, "BLOCK_H": 4, "BLOCK_W": 16},),
    "grid_sample_3d_trilinear_tiled": ({"BLOCK_D": 4, "BLOCK_H": 4, "BLOCK_W": 16},),
    "max_unpool2d": _PLANE,
    "randperm": ({},),
    "reflection_pad2d_backward": _PLANE,
    "replication_pad3d": _PLANE,
    "upsample_bicubic2d_aa": _RESIZED,
    "upsample_bilinear2d": _RESIZED,
    "upsample_bilinear2d_aa": _RESIZED,
    "upsample_nearest1d": _FLAT,
    "upsample_nearest2d": _FLAT,
    "upsample_nearest3d": _FLAT,
}

#: Where an operator looks at the number of warps to say whether a configuration will do; elsewhere it is 1.
WARPS = {"attention": 4}

#: Keys of kernels that read what they write: `addbmm_`, `renorm_`, `index_put_`, running statistics, and others in place.
IN_PLACE = ("addmm", "batch_norm", "index_put", "instancenorm", "masked_fill", "renorm_", "scatter")

#: Of the kernels that FlagGems generates for element-wise operators: elements of a tile, and programs, each of which loops over tiles.
ELEMENTWISE: dict[str, Any] = {
    "max_tile_size": 1024,
    "max_grid_size": (64, 1, 1),
    "max_num_warps_per_cta": 1,
    "prefer_block_pointer": False,
    "prefer_1d_tile": True,
}


def tables() -> dict[str, list[dict[str, Any]]]:
    """`TABLE` as FlagGems reads it from a vendor's file: for each key a list of configurations."""
    return {
        key: [{"META": dict(blocks), "num_warps": WARPS.get(key, 1), "num_stages": 1} for blocks in choices]
        for key, choices in TABLE.items()
    }
