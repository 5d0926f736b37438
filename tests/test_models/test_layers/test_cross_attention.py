import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from mmdiffperc.models import CrossAttentionMaps
from mmdiffperc.models.layers import Recorder
from mmdiffperc.models.layers.cross_attention import MapAttnProcessor
from mmdiffperc.weights.architectures import build_unet

LAYERS = {
    8: ['down_blocks.0.attentions.0', 'down_blocks.0.attentions.1', *(f'up_blocks.3.attentions.{i}' for i in range(3))],
    16: [
        'down_blocks.1.attentions.0',
        'down_blocks.1.attentions.1',
        *(f'up_blocks.2.attentions.{i}' for i in range(3)),
    ],
    32: [
        'down_blocks.2.attentions.0',
        'down_blocks.2.attentions.1',
        *(f'up_blocks.1.attentions.{i}' for i in range(3)),
    ],
    64: ['mid_block.attentions.0'],
}
SIZES = {8: (11, 6), 16: (6, 3), 32: (3, 2), 64: (2, 1)}
LATENTS, PROMPTS = (2, 4, 11, 6), (2, 5)


def inputs(unet):
    return torch.randn(LATENTS), 1, torch.randn(*PROMPTS, unet.config.cross_attention_dim)


def collect(maps, unet, latent_stride=8):
    """Attach the maps to a network, run it once, and give the maps of all its strides."""
    recorder = Recorder()
    maps.attach(unet, latent_stride, recorder)
    with recorder.recording() as record:
        unet(*inputs(unet))
    sizes = {latent_stride * 2**level: size for level, size in enumerate(SIZES.values())}
    return {stride: maps.average(record, stride, sizes[stride]) for stride in maps.strides}


def keep_projections(unet, layer, kept):
    attn = unet.get_submodule(f'{layer}.transformer_blocks.0.attn2')
    for name in ('to_q', 'to_k'):
        attn.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: kept.setdefault((layer, name), output)
        )
    return attn.heads


@pytest.mark.parametrize('name', ['sd1', 'sd2'])
@pytest.mark.parametrize(
    ('strides', 'blocks'),
    [
        ((16, 32), ('down', 'up')),
        ((8,), ('down', 'up')),
        ((16, 32), ('down',)),
        ((8, 32), ('up',)),
        ((32, 64), ('mid', 'up')),
    ],
)
def test_maps_are_the_mean_softmax_of_queries_and_keys(archs, name, strides, blocks):
    unet = build_unet(archs[name]).eval()
    with torch.no_grad():  # fresh weights give maps that are nearly flat
        for weight_name, weight in unet.named_parameters():
            if '.attn2.to_q.' in weight_name or '.attn2.to_k.' in weight_name:
                weight.mul_(8)
    kept = {}
    layers = {stride: [layer for layer in LAYERS[stride] if layer.startswith(blocks)] for stride in strides}
    heads = {layer: keep_projections(unet, layer, kept) for stride in strides for layer in layers[stride]}
    with torch.no_grad():
        results = collect(CrossAttentionMaps(strides, blocks), unet)
    for stride in strides:
        height, width = SIZES[stride]
        expected = torch.zeros(2, 5, height, width)
        for layer in layers[stride]:
            query = kept[layer, 'to_q'].view(2, height * width, heads[layer], -1)
            key = kept[layer, 'to_k'].view(2, 5, heads[layer], -1)
            scores = torch.einsum('bqhd,bkhd->bhqk', query, key) / query.shape[-1] ** 0.5
            expected += scores.softmax(-1).mean(1).transpose(1, 2).reshape(expected.shape)
        expected /= len(layers[stride])
        assert results[stride].std(1).mean() > 0.02
        torch.testing.assert_close(results[stride], expected)
        torch.testing.assert_close(results[stride].sum(1), torch.ones(2, height, width))


def test_maps_of_both_sides_are_the_weighted_mean_of_each_side(arch):
    """At every stride, two of five layers are in the down blocks."""
    unet, results = build_unet(arch).eval(), {}
    for blocks in (('down', 'up'), ('down',), ('up',)):
        torch.manual_seed(0)  # for the same inputs
        with torch.no_grad():
            results[blocks] = collect(CrossAttentionMaps(blocks=blocks), unet)
    for stride in (16, 32):
        both, down, up = (maps[stride] for maps in results.values())
        torch.testing.assert_close(both, (2 * down + 3 * up) / 5)
        assert not torch.allclose(down, up, rtol=1e-3)


@pytest.mark.parametrize('at_once', [1, 2 * 2 * 5 * 4, 10**6])
def test_few_probabilities_at_a_time(arch, at_once, monkeypatch):
    """Of two images and five prompts: those of one place, of a few, and of all."""
    unet, sizes, scores_of = build_unet(arch).eval(), [], Attention.get_attention_scores
    torch.manual_seed(0)
    with torch.no_grad():
        expected = collect(CrossAttentionMaps((8,)), unet)[8]

    def scores(*args):
        sizes.append(args[1].shape[1])
        return scores_of(*args)

    monkeypatch.setattr(Attention, 'get_attention_scores', scores)
    monkeypatch.setattr('mmdiffperc.models.layers.cross_attention.MAX_SCORES', at_once)
    torch.manual_seed(0)
    with torch.no_grad():
        torch.testing.assert_close(collect(CrossAttentionMaps((8,)), unet)[8], expected)
    heads = unet.get_submodule(f'{LAYERS[8][0]}.transformer_blocks.0.attn2').heads
    rows = min(max(1, at_once // (2 * heads * 5)), 66)
    assert sizes == [min(rows, 66 - start) for start in range(0, 66, rows)] * len(LAYERS[8])


def test_only_the_wanted_layers_compute_probabilities(arch):
    unet = build_unet(arch)
    CrossAttentionMaps((16, 32)).attach(unet, 8, Recorder())
    wanted = {f'{layer}.transformer_blocks.0.attn2.processor' for stride in (16, 32) for layer in LAYERS[stride]}
    for name, processor in unet.attn_processors.items():
        assert type(processor) is (MapAttnProcessor if name in wanted else AttnProcessor2_0), name
    assert wanted < set(unet.attn_processors)


def test_the_output_of_the_network_stays(arch):
    unet = build_unet(arch).eval()
    given = inputs(unet)
    with torch.no_grad():
        expected = unet(*given).sample
        CrossAttentionMaps((8, 16, 32)).attach(unet, 8, Recorder())
        torch.testing.assert_close(unet(*given).sample, expected)


def test_adds_nothing_to_the_state_dict(arch):
    unet = build_unet(arch)
    names = list(unet.state_dict())
    CrossAttentionMaps((16,)).attach(unet, 8, Recorder())
    assert list(unet.state_dict()) == names


@pytest.mark.parametrize('with_grad', [False, True])
def test_gradients_flow_through_the_maps_if_wanted(arch, with_grad):
    unet = build_unet(arch)
    result = collect(CrossAttentionMaps((16,), with_grad=with_grad), unet)[16]
    assert result.requires_grad == with_grad
    if with_grad:
        (result * torch.randn_like(result)).sum().backward()
        to_q = unet.get_submodule(f'{LAYERS[16][0]}.transformer_blocks.0.attn2.to_q')
        assert to_q.weight.grad.abs().sum() > 0


def test_maps_leave_no_weight_in_the_cache_of_autocast(arch, monkeypatch):
    """Cast for the maps, without a gradient, it would get none from the attention that uses it next."""
    cached, scores_of = [], Attention.get_attention_scores

    def scores(*args):
        cached.append(torch.is_autocast_cache_enabled())
        return scores_of(*args)

    monkeypatch.setattr(Attention, 'get_attention_scores', scores)  # the maps use it, AttnProcessor2_0 does not
    unet = build_unet(arch)
    with torch.autocast('cpu', torch.bfloat16):
        collect(CrossAttentionMaps((16,)), unet)
        assert torch.is_autocast_cache_enabled()
    assert cached == [False] * len(LAYERS[16])


def test_nothing_is_computed_when_nobody_records(arch, monkeypatch):
    unet = build_unet(arch)
    CrossAttentionMaps((16, 32)).attach(unet, 8, Recorder())
    monkeypatch.setattr(Attention, 'get_attention_scores', None)  # the maps call it, AttnProcessor2_0 does not
    unet(*inputs(unet))


def test_another_latent_stride(archs):
    maps = collect(CrossAttentionMaps((4, 8)), build_unet(archs['three levels']), latent_stride=4)
    assert maps[4].shape == (2, 5, 11, 6)
    assert maps[8].shape == (2, 5, 6, 3)


def test_a_stride_without_cross_attention(arch):
    with pytest.raises(ValueError, match=r'\[12, 64\].*\[8, 16, 32\]'):
        CrossAttentionMaps((64, 16, 12)).attach(build_unet(arch), 8, Recorder())


@pytest.mark.parametrize(
    ('strides', 'blocks', 'message'),
    [((16, 64), ('up', 'down'), r'\[64\].*up, down'), ((16, 64), ('mid',), r'\[16\].*mid.*\[64\]')],
)
def test_a_stride_that_the_blocks_lack(arch, strides, blocks, message):
    with pytest.raises(ValueError, match=message):
        CrossAttentionMaps(strides, blocks).attach(build_unet(arch), 8, Recorder())


@pytest.mark.parametrize('blocks', [(), ('up', 'up'), ('up_cross',), 'up'])
def test_wrong_blocks(blocks):
    with pytest.raises(ValueError, match="CrossAttentionMaps: blocks=.*'down', 'mid'"):
        CrossAttentionMaps(blocks=blocks)
