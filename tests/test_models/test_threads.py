"""One model serves several callers at once: threads, replicas, copies, and generators that take turns."""

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from mmdiffperc.generative import DeterministicDiffusion
from mmdiffperc.models import DiffusionUNet

CALLERS = 3
SIZES = [(48, 40), (40, 64), (72, 24)]  # another one for every caller
SENTENCES = ['a red sphere', 'two boxes', 'a cone on the floor']
MAPS = dict(strides=(16, 32))
KINDS = {
    'maps': dict(prompts=dict(type='ClassPrompts', classes=['a', 'b', 'c', 'd', 'e'])),
    'maps with gradients, checkpointing': dict(
        prompts=dict(type='MetaPrompts', num_prompts=5),
        cross_attention=dict(strides=(16, 32), with_grad=True),
        with_cp=True,
    ),
    'passes': dict(prompts=dict(type='MetaPrompts', num_prompts=4), num_refine_steps=2, learned_timesteps=True),
    'scenes': dict(prompts=dict(type='ScenePrompts', classes=['a', 'b', 'c'])),
    'sentences': dict(prompts=dict(type='TextPrompts', max_length=6)),
}


def build(arch, kind):
    torch.manual_seed(0)
    options = dict(cross_attention=MAPS) | KINDS[kind]
    backbone = DiffusionUNet(arch, **options).eval()
    if kind == 'sentences':
        backbone.prompts.text_encoder.note_weights()
    return backbone


def inputs_of(kind, caller):
    images = torch.rand(2, 3, *SIZES[caller], generator=torch.Generator().manual_seed(caller))
    if kind == 'sentences':
        return images, [SENTENCES[caller], SENTENCES[caller - 1]]
    return (images, torch.tensor([caller, -1])) if kind == 'scenes' else images


def meet_inside(backbone):
    """Let nobody leave the middle of the U-Net before everybody is there."""
    barrier = Barrier(CALLERS)

    def wait(module, args):
        barrier.wait(timeout=60)

    backbone.unet.mid_block.register_forward_pre_hook(wait)


def replicate(network):
    """As ``torch.nn.parallel.replicate`` does, which needs a GPU: shallow copies, whose weights are no parameters."""
    replicas = {module: module._replicate_for_data_parallel() for module in network.modules()}
    for module, replica in replicas.items():
        for name, child in module._modules.items():
            if child is not None:
                setattr(replica, name, replicas[child])
        for name, weight in module._parameters.items():
            if weight is None:
                replica._parameters[name] = None
            else:
                setattr(replica, name, weight.view_as(weight))
    return replicas[network]


def call_all(networks, kind):
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(lambda caller: networks[caller](inputs_of(kind, caller)), range(CALLERS)))


def assert_equal(found, expected):
    for features, wanted in zip(found, expected, strict=True):
        for feature, same in zip(features, wanted, strict=True):
            torch.testing.assert_close(feature, same)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('how', ['threads', 'replicas', 'copies', 'inference mode'])
def test_callers_do_not_disturb_each_other(arch, kind, how):
    backbone = build(arch, kind)
    alone = [backbone(inputs_of(kind, caller)) for caller in range(CALLERS)]
    networks = [backbone] * CALLERS
    if how == 'inference mode':
        networks = [torch.inference_mode()(backbone)] * CALLERS
    if how == 'copies':
        networks = [copy.deepcopy(backbone) for _ in range(CALLERS)]
    else:
        meet_inside(backbone)
    if how == 'replicas':
        networks = [replicate(backbone) for _ in range(CALLERS)]
    assert_equal(call_all(networks, kind), alone)
    assert not backbone.recorder.is_recording


@pytest.mark.parametrize('kind', KINDS)
def test_forward_passes_before_the_backward_passes(arch, kind):
    def gradients(callers):
        backbone.zero_grad()
        losses = [sum(feature.square().mean() for feature in backbone(inputs_of(kind, caller))) for caller in callers]
        for loss in losses:
            loss.backward()
        return {name: weight.grad.clone() for name, weight in backbone.named_parameters() if weight.grad is not None}

    backbone = build(arch, kind).train()
    one, other = gradients([0]), gradients([1])
    for name, gradient in gradients([0, 1]).items():
        torch.testing.assert_close(gradient, one[name] + other[name], msg=name)


def test_sentences_are_forgotten_by_one_thread_while_another_needs_them(arch):
    backbone = build(arch, 'sentences')
    encoder = backbone.prompts.text_encoder
    encoder.cache_size = 1
    sentences = [f'{number} boxes' for number in range(8)]
    expected = {sentence: encoder([sentence])[0] for sentence in sentences}

    def encode(turn):
        chosen = [sentences[(turn * step) % 8] for step in range(1, 5)]
        found = zip(chosen, encoder(chosen), strict=True)
        return all(torch.allclose(states, expected[sentence]) for sentence, states in found)

    with ThreadPoolExecutor(CALLERS) as pool:
        assert all(pool.map(encode, range(60)))
    assert len(encoder._encoded) <= 1 + CALLERS * 4


def test_compiled(archs):
    backbone = build(archs['one layer'], 'maps')
    images = [torch.rand(1, 3, 32, 24) for _ in range(CALLERS)]  # of one size: each further one compiles again
    alone = [backbone(one) for one in images]
    compiled = torch.compile(backbone, backend='aot_eager', fullgraph=True)  # a break of the graph would slow it down
    compiled(images[0])
    with ThreadPoolExecutor(CALLERS) as pool:
        assert_equal(pool.map(compiled, images), alone)


@pytest.fixture(scope='module')
def dmp():
    model = DeterministicDiffusion('tiny-sd', num_steps=3, init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'))
    model.init_weights()
    return model.eval()


def images_of(caller):
    return torch.rand(1, 3, *SIZES[caller], generator=torch.Generator().manual_seed(caller)) * 2 - 1


@pytest.mark.parametrize('options', [dict(), dict(sampler='oracle'), dict(prediction_type='epsilon')])
def test_generators_take_turns(dmp, options):
    model = DeterministicDiffusion('tiny-sd', num_steps=3, lora=None, networks=dmp.networks, **options)
    alone = [list(model.trace(images_of(caller), [SENTENCES[caller]], caller + 2)) for caller in range(2)]
    traces = [model.trace(images_of(caller), [SENTENCES[caller]], caller + 2) for caller in range(2)]
    for step in range(2):
        for caller in range(2):
            torch.testing.assert_close(next(traces[caller]), alone[caller][step])
        model.estimate(images_of(2), [SENTENCES[2]], num_steps=1)  # another number of steps in between
    torch.testing.assert_close(next(traces[1]), alone[1][2])
    assert [next(trace, None) for trace in traces] == [None, None]


def test_dmp_in_threads(dmp):
    def estimate(caller):
        return dmp.estimate(images_of(caller), [SENTENCES[caller]], num_steps=caller + 1)

    alone = [estimate(caller) for caller in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        for found, expected in zip(pool.map(estimate, list(range(CALLERS)) * 3), alone * 3, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
