"""What is read of Triton's ops."""

import pytest
from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.dialect.context import make_context


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("cache_modifier = cs, eviction_policy = evict_first", True),
        ("eviction_policy = evict_first, cache_modifier = cs", True),
        ("cache_modifier=cs", True),
        ("cache_modifier = csx, eviction_policy = evict_first", False),
        ("eviction_policy = cs, cache_modifier = wt", False),
        (None, False),
    ],
)
def test_stores_that_stream(policy: str | None, expected: bool) -> None:
    attributes = f"{{cachePolicy = #tt.cache_policy<{policy}>}}" if policy else ""
    with make_context():
        module = ir.Module.parse(f'func.func @f(%p: i64, %v: i32) {{ "tt.store"(%p, %v) {attributes} : (i64, i32) -> () return }}')
        store = module.body.operations[0].regions[0].blocks[0].operations[0].operation
        assert tt.streams(store) == expected
