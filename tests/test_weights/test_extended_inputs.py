import pytest
import torch
from tiny_arch import write_arch, write_changed_arch, write_diffusers_folder

from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.extended_inputs import plain_inputs
from mmdiffperc.weights.loading import load_weights
from mmdiffperc.weights.sources import locate


@pytest.fixture(scope='module')
def arch(tmp_path_factory):
    return write_arch(tmp_path_factory.mktemp('arch') / 'sd2', 'sd2')


@pytest.fixture(scope='module')
def weights(arch, tmp_path_factory):
    return write_diffusers_folder(tmp_path_factory.mktemp('weights'), arch)


def load(unet, weights, **options):
    source = locate(weights, ['unet'])
    load_weights(source, unet=unet, while_filling=lambda source: plain_inputs(unet, source, **options))
    return unet


def plain(arch, weights):
    unet = build_unet(arch)
    load_weights(weights, unet=unet)
    return unet


@torch.no_grad()
def run(unet, latents, **inputs):
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randn(2, 5, 20, generator=generator)
    return unet(latents, 7, encoder_hidden_states=prompts, **inputs).sample


def test_an_image_beside_itself_gives_the_same(arch, weights):
    narrow, wide = plain(arch, weights), load(build_unet(arch, target_input=True), weights)
    latents = torch.randn(2, 4, 8, 16)
    torch.testing.assert_close(run(wide, latents.repeat(1, 2, 1, 1)), run(narrow, latents), rtol=1e-4, atol=1e-5)
    assert wide.config.in_channels == wide.conv_in.in_channels == 8


def test_the_bias_is_halved_on_request(arch, weights):
    narrow = plain(arch, weights)
    for halve_bias, factor in ((False, 1), (True, 0.5)):
        wide = load(build_unet(arch, target_input=True), weights, halve_bias=halve_bias)
        assert torch.equal(wide.conv_in.bias, narrow.conv_in.bias * factor)
        assert torch.equal(wide.conv_in.weight[:, :4], narrow.conv_in.weight / 2)
        assert torch.equal(wide.conv_in.weight[:, 4:], narrow.conv_in.weight / 2)


def test_a_new_task_embedding_changes_nothing_at_first(arch, weights):
    narrow, other = plain(arch, weights), load(build_unet(arch, task_input=True), weights)
    latents, task = torch.randn(2, 4, 8, 16), torch.randn(2, 4)
    torch.testing.assert_close(run(other, latents, class_labels=task), run(narrow, latents))
    assert other.config.class_embed_type == 'projection'


def test_weights_that_have_the_inputs_fill_them(arch, tmp_path):
    """As those of a fine-tuned model do; nothing is halved or started anew."""
    both = dict(in_channels=8, class_embed_type='projection', projection_class_embeddings_input_dim=4)
    wide = write_changed_arch(tmp_path / 'wide', 'unet', 'sd2', **both)
    weights = write_diffusers_folder(tmp_path / 'weights', wide)
    expected = build_unet(wide)
    load_weights(weights, unet=expected)
    unet = load(build_unet(arch, target_input=True, task_input=True), weights, halve_bias=True)
    assert all(torch.equal(weight, unet.state_dict()[name]) for name, weight in expected.state_dict().items())
    assert build_unet(wide, target_input=True, task_input=True).config.in_channels == 8  # it has them already


def test_a_failure_leaves_the_inputs(arch, weights, tmp_path):
    other = write_arch(tmp_path / 'other', 'sd1')
    unet = build_unet(other, target_input=True, task_input=True)
    before = {name: weight.clone() for name, weight in unet.state_dict().items()}
    with pytest.raises(ValueError, match='nothing was loaded'):
        load(unet, weights)
    assert all(torch.equal(weight, before[name]) for name, weight in unet.state_dict().items())
    assert (unet.config.in_channels, unet.config.class_embed_type) == (8, 'projection')


def test_other_numbers_of_channels_are_refused(arch, tmp_path):
    nine = write_changed_arch(tmp_path / 'nine', 'unet', 'sd2', in_channels=9)
    weights = write_diffusers_folder(tmp_path / 'weights', nine)
    with pytest.raises(ValueError, match='in_channels=9.*in_channels=8'):
        load(build_unet(arch, target_input=True), weights)
