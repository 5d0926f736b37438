import pytest
import torch

from mmdiffperc.models.layers import Recorder, Tap, feature_table
from mmdiffperc.models.layers.feature_taps import remove_untapped
from mmdiffperc.weights.architectures import build_unet


@pytest.mark.parametrize('preset', ['sd1-5', 'sd2-1'])
def test_table_of_stable_diffusion(preset):
    with torch.device('meta'):
        unet = build_unet(preset)
    assert feature_table(unet.config) == (
        Tap('up_blocks.3', 8, 320),
        Tap('up_blocks.2.attentions.1', 16, 640),
        Tap('up_blocks.1.attentions.1', 32, 1280),
        Tap('up_blocks.0.resnets.1', 64, 1280),
    )


def test_table_follows_the_configuration(archs):
    assert feature_table(build_unet(archs['three levels']).config, latent_stride=4) == (
        Tap('up_blocks.2', 4, 8),
        Tap('up_blocks.1.attentions.1', 8, 16),
        Tap('up_blocks.0.resnets.1', 16, 32),
    )
    # Up blocks of 2, 4, 3 and 2 layers, coarsest first.
    assert [tap.module for tap in feature_table(build_unet(archs['uneven layers']).config)] == [
        'up_blocks.3',
        'up_blocks.2.attentions.1',
        'up_blocks.1.attentions.2',
        'up_blocks.0.resnets.1',
    ]


def test_taps_are_the_outputs_of_the_modules(arch):
    unet, recorder, outputs = build_unet(arch).eval(), Recorder(), {}
    for tap in feature_table(unet.config):
        recorder.watch(unet, tap.module)
        unet.get_submodule(tap.module).register_forward_hook(
            lambda module, args, output, name=tap.module: outputs.update({name: output})
        )
    with torch.no_grad(), recorder.recording() as record:
        unet(torch.randn(1, 4, 9, 14), 1, torch.randn(1, 3, 12))
    for tap in feature_table(unet.config):
        output = outputs[tap.module]
        assert record[tap.module] is (output[0] if isinstance(output, tuple) else output)
        assert record.pop(tap.module).shape[1] == tap.channels
    assert not record


def test_remove_untapped_keeps_all_of_the_finest_level(arch):
    unet = build_unet(arch)
    kept = {name for name, _ in unet.named_parameters() if not name.startswith(('conv_norm_out', 'conv_out'))}
    remove_untapped(unet, finest=0)
    assert {name for name, _ in unet.named_parameters()} == kept
