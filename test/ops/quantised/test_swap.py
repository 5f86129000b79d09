"""Linear layers of models that become quantised ones."""

import copy

import pytest
import torch
from torch import nn

from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.rounding import ROUNDED, quantise
from triton_spacemit.ops.quantised.swap import QuantisedLinear


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 96)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(96, 33, bias=False), nn.ReLU()), nn.Sequential(nn.Linear(33, 64))])
        self.again = self.first  # one layer in two places

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[0](self.first(x))


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model()


def of_whole_blocks(name: str, layer: nn.Linear) -> bool:
    return layer.in_features % 32 == 0


@pytest.mark.parametrize("name", ROUNDED)
def test_layers_are_swapped(name, model, host):
    weight = model.first.weight.detach().clone()
    assert quantised.swap(model, name, of_whole_blocks) is model
    kinds = {name: type(layer) for name, layer in model.named_modules() if not list(layer.children())}
    assert kinds == {"first": QuantisedLinear, "blocks.0.0": QuantisedLinear, "blocks.0.1": nn.ReLU, "blocks.1.0": nn.Linear}
    assert model.again is model.first
    assert torch.equal(model.first.weight.unpack(), quantise(weight, name))
    assert str(model.first) == f"QuantisedLinear(in_features=64, out_features=96, bias=True, weight={name})"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ROUNDED)
def test_results_are_those_of_the_rounded_weights(name, dtype, model, host):
    """Each number of x is off by half a step of 1/127 of its block's largest; of the result, at most the sum of that times the weights."""
    x = torch.randn(2, 5, 64).to(dtype)
    layer = quantised.swap(model.first, name)
    weights = layer.weight.dequantise(torch.float64)
    expected = x.double() @ weights.T + layer.bias.double()
    steps = x.double().unflatten(-1, (-1, 32)).abs().amax(-1, keepdim=True).expand(-1, -1, -1, 32).flatten(-2) / 127
    bound = (steps / 2 * 1.01) @ weights.T.abs() + expected.abs() * torch.finfo(dtype).eps + 1e-6
    result = layer(x)
    assert result.dtype is dtype
    assert ((result.double() - expected).abs() <= bound).all()
    assert (result.double() - expected).abs().max() > 0


def test_a_state_goes_into_a_swapped_model_of_the_same_format(model, host):
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        parameter.data.add_(1)
    quantised.swap(model, "Q4_0", of_whole_blocks)
    quantised.swap(other, "Q4_0", of_whole_blocks)
    x = torch.randn(3, 64)
    assert not torch.equal(model(x), other(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(x), other(x))
    eight = quantised.swap(Model(), "Q8_0", of_whole_blocks)
    with pytest.raises(RuntimeError, match="packed as q8_0x16: packed weights are no ordinary tensor"):
        eight.load_state_dict(model.state_dict())


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_swapped_models_are_compiled(backend, model, host):
    quantised.swap(model, "Q4_0", of_whole_blocks)
    x = torch.randn(3, 64)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(model, backend=backend, fullgraph=True)(x), model(x))


def test_nothing_changes_where_a_layer_cannot_be_swapped(model):
    with pytest.raises(FormatError, match="the layer 'blocks.1.0' cannot be swapped: Q4_0 has blocks of 32 weights: a row of 33"):
        quantised.swap(model, "Q4_0")
    assert type(model.first) is nn.Linear
    with pytest.raises(FormatError, match="weights cannot be rounded to Q4_K"):
        quantised.swap(model.first, "Q4_K")
    with pytest.raises(FormatError, match="no such format of weights: 'int4'"):
        quantised.swap(nn.ReLU(), "int4")


REFUSED = {
    "hooks": (lambda layer: layer.register_forward_hook(lambda *args: None), "it has hooks, which would be lost"),
    "beyond float16": (lambda layer: layer.weight.data[0, 0].fill_(-1e6), "weights as large as 1e[+]06 are beyond Q4_0, whose scales"),
    "no number": (lambda layer: layer.weight.data[0, 0].fill_(torch.nan), "infinite or no numbers"),
    "no memory": (lambda layer: layer.to("meta"), r"wanted, not \(96, 64\) of torch.float32 on meta"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_layers_that_cannot_be_swapped(case, model):
    change, message = REFUSED[case]
    change(model.first)
    with pytest.raises(FormatError, match=f"the layer 'first' cannot be swapped: .*{message}"):
        quantised.swap(model, "Q4_0", of_whole_blocks)
    assert type(model.blocks[0][0]) is nn.Linear


def test_only_modules_have_layers():
    for other in (None, torch.ones(3), nn.Linear):
        with pytest.raises(TypeError, match="the layers of a module are swapped, not of"):
            quantised.swap(other, "Q4_0")


def test_layers_are_in_the_mode_of_those_that_they_replace(model):
    model.first.eval()
    quantised.swap(model, "Q4_0", of_whole_blocks)
    assert not model.first.training
    assert model.blocks[0][0].training


@pytest.mark.parametrize("mask", [None, torch.tensor([[False, False, True], [False, False, False]])])
def test_transformer_layers_infer(mask, host):
    """PyTorch's own way for inference takes weights that are ordinary; one for masked rows makes nested tensors."""
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 64, batch_first=True), 2).eval()
    x = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
    quantised.swap(model, "Q8_0")
    with torch.no_grad():
        result = model(x, src_key_padding_mask=mask)
    expected = model.requires_grad_()(x, src_key_padding_mask=mask)
    torch.testing.assert_close(result, expected.detach(), rtol=0, atol=0.02)  # attention still has a way of its own, rounded otherwise


def test_a_module_without_linear_layers_stays(model):
    module = nn.Sequential(nn.ReLU())
    assert quantised.swap(module, "Q4_0") is module
