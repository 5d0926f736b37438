import json
import subprocess
import sys
from pathlib import Path

import benchmark
import pytest
import tiny_depth
import tiny_refer
import torch
from diffusers import AutoencoderTiny
from measuring import speed
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from tiny_arch import write_arch
from torch import nn

from mmdiffperc.models import DiffusionUNet


def test_json_holds_circumstances_and_results(tiny_vpd, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmdiffperc.progress.DELAY', 0)
    out = tmp_path / 'speed.json'
    arguments = ['--size', '64', '128', '--batch-size', '2', '--repeats', '3', '--device', 'cpu']
    more = ['--train', '--test-mode', '--weights-dtype', 'bfloat16']
    assert benchmark.main([tiny_vpd, *arguments, *more, '--out-file', str(out)]) == 0
    report = json.loads(out.read_text())
    assert (report['size'], report['batch_size'], report['dtype'], report['config']) == (
        [64, 128],
        2,
        'float32',
        tiny_vpd,
    )
    assert report['torch'] == torch.__version__ and report['threads'] >= 1
    results, (shown, progress) = report['results'], capsys.readouterr()
    assert 'measure: 100%' in progress
    assert set(results) == {
        *('floor', 'backbone', 'backbone without maps', 'model', 'test mode', 'model in bfloat16', 'training step')
    }
    for name, result in results.items():
        assert name in shown and f'{result["seconds"]:.3f}' in shown
        assert len(result['turns']) == 3 and min(result['turns']) > 0
        assert result['seconds'] == sorted(result['turns'])[1]
    assert results['floor']['time_ratio'] == results['floor']['memory_ratio'] == 1
    assert 'time_ratio' not in results['training step']


def test_time_ratio_is_that_of_the_median_turn():
    results = {
        'floor': dict(turns=[1.0, 10.0, 2.0], peak_memory_mib=8.0),
        'backbone': dict(turns=[5.0, 11.0, 4.0], peak_memory_mib=10.0),
    }
    speed.with_ratios(results)
    assert results['backbone']['time_ratio'] == 2  # of 5, 1.1 and 2; that of the medians would be 2.5
    assert results['backbone']['memory_ratio'] == 1.25


TOOLS = Path(speed.__file__).parents[1]
# A process that has freed much memory may reuse some of it instead of asking the system, so this one is new.
HOLDING = """
import torch
from measuring.speed import peak_memory

def run():
    held = torch.ones(16 * 2**20)  # 64 MiB
    return [(held + 1).sum(), (held + 2).sum()]  # 64 MiB more, twice, never both

print(peak_memory(run, torch.device('cpu')))
"""


def test_peak_memory_is_what_a_run_holds_at_most():
    result = subprocess.run([sys.executable, '-c', HOLDING], cwd=TOOLS, capture_output=True, text=True, check=True)
    assert float(result.stdout) == pytest.approx(128, abs=8)


@pytest.fixture
def model(tiny_vpd):
    cfg = Config.fromfile(tiny_vpd)
    model = speed.build_model(cfg).eval()
    return model, cfg.model.backbone


def test_stock_unet_shares_weights_and_computes_the_same(model):
    backbone = model[0].backbone
    unet = speed.stock_unet(backbone)
    latents, prompts = torch.randn(2, 4, 8, 16), backbone.prompts(2)
    kept = []
    unet.up_blocks[-1].register_forward_hook(lambda module, args, output: kept.append(output))
    with torch.no_grad(), backbone.recorder.recording() as record:
        out = unet(latents, 1, encoder_hidden_states=prompts).sample
        backbone.unet(latents, 1, encoder_hidden_states=prompts)
    torch.testing.assert_close(record[backbone.taps[0][0].name], kept[0])
    assert out.shape == latents.shape and out.isfinite().all()
    own = {weight.data_ptr() for weight in backbone.unet.parameters()}
    added = {name for name, weight in unet.named_parameters() if weight.data_ptr() not in own}
    assert added == {'conv_norm_out.weight', 'conv_norm_out.bias', 'conv_out.weight', 'conv_out.bias'}


def test_the_floor_has_the_inputs_and_the_autoencoder_of_the_model(tmp_path):
    vae = AutoencoderTiny(encoder_block_out_channels=[4] * 4, decoder_block_out_channels=[4] * 4)
    vae.save_config(tmp_path / 'vae')
    path = Path(write_arch(tmp_path / 'arch')) / 'unet/config.json'
    task = dict(class_embed_type='projection', projection_class_embeddings_input_dim=4)
    path.write_text(json.dumps(json.loads(path.read_text()) | task | dict(in_channels=8, time_cond_proj_dim=6)))
    arch = dict(unet=str(tmp_path / 'arch'), vae=str(tmp_path / 'vae'))
    inputs = dict(extra_latents='marigold', guidance_scale=8.0, task_embedding=(1, 0))
    model = nn.Module()
    model.backbone = DiffusionUNet(arch, prompts=dict(type='MetaPrompts', num_prompts=2), **inputs).eval()
    with torch.no_grad():
        subjects = speed.inference_subjects(model, {}, torch.rand(1, 3, 64, 32))
        assert subjects['floor']().sample.shape == (1, 4, 8, 4)
        assert subjects['backbone']()[0].shape == (1, 8, 8, 4)


def test_backbone_without_maps_gives_the_same_features(model):
    backbone, config = model[0].backbone, model[1]
    plain = speed.without_maps(backbone, config)
    images = torch.rand(1, 3, 64, 128) * 2 - 1
    with torch.no_grad():
        for ours, feature in zip(plain(images), backbone(images), strict=True):
            torch.testing.assert_close(ours, feature[:, : ours.shape[1]])
    assert plain.out_channels == (8, 16, 24, 40)
    assert next(plain.unet.parameters()).data_ptr() == next(backbone.unet.parameters()).data_ptr()


def test_depth_estimators_learn_from_depth(tmp_path):
    cfg = Config.fromfile(tiny_depth.write_config(tmp_path))
    model = speed.build_model(cfg).train()
    losses = speed.training_losses(model, torch.rand(2, 3, 64, 96))()
    assert losses['decode.loss_silog'] > 0 and losses['decode.maps_without_depth'] == 0


def test_optimizer_is_built_as_the_config_says(tiny_vpd, model):
    cfg = Config.fromfile(tiny_vpd)
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    wrapper = speed.optim_wrapper_of(model[0], cfg)
    assert type(wrapper) is OptimWrapper
    rates = {group['lr'] for group in wrapper.param_groups}
    assert len(rates) < len(wrapper.param_groups) < 10  # grouped, not one for each parameter


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['model.backbone.type=ResNet'], 'ResNet'),
        (['default_scope=mmdet'], '--train'),
    ],
)
def test_unsuitable_config(tiny_vpd, capsys, options, message):
    arguments = ['--size', '64', '64', '--repeats', '1', '--device', 'cpu', '--train']
    assert benchmark.main([tiny_vpd, *arguments, '--cfg-options', *options]) == 1
    assert message in capsys.readouterr().err


def test_bad_input_is_one_clear_line(tiny_vpd, tmp_path, capsys):
    (tmp_path / 'empty.py').write_text('')
    for arguments, message in (
        ([str(tmp_path / 'empty.py')], 'None'),
        ([tiny_refer.write_config(tmp_path)], 'got TextPrompts, which need sentences'),
        ([tiny_vpd, '--out-file', str(tmp_path / 'empty.py' / 'speed.json')], 'empty.py'),
    ):
        assert benchmark.main(arguments) == 1
        assert message in capsys.readouterr().err


def test_counts_instead_of_times(tiny_vpd, tmp_path, capsys):
    out = tmp_path / 'counts.json'
    assert benchmark.main([tiny_vpd, '--size', '64', '128', '--flops', '--out-file', str(out)]) == 0
    results = json.loads(out.read_text())['results']
    assert list(results)[0] == 'autoencoder' and list(results)[-1] == 'total'
    assert {'U-Net up_blocks.3 (stride 8)', 'attention maps', 'prompts', 'neck', 'decode_head'} <= set(results)
    # A convolution of 16 channels to 3 classes at stride 8.
    head = Config.fromfile(tiny_vpd).model.decode_head
    assert head.num_classes == 3 and results['decode_head']['multiply_adds'] > 8 * 16 * 16 * 3
    shown = capsys.readouterr().out
    for name, result in results.items():
        assert name in shown and f'{result["parameters"] / 1e6:.3f}' in shown
    assert results['total']['parameters'] == sum(
        weight.numel() for weight in speed.build_model(Config.fromfile(tiny_vpd)).parameters()
    )


def test_memory_instead_of_times(tiny_vpd, tmp_path, capsys):
    out = tmp_path / 'memory.json'
    options = ['--memory', '--test-mode', '--weights-dtype', 'bfloat16', '--out-file', str(out)]
    strips = ['--cfg-options', 'model.backbone.autoencoder_tiling=2048']
    assert benchmark.main([tiny_vpd, '--size', '64', '128', *options, *strips]) == 0
    results = {name: row['peak_memory_mib'] * 2**20 for name, row in json.loads(out.read_text())['results'].items()}
    shown = capsys.readouterr().out
    assert all(name in shown for name in results)
    model = speed.build_model(Config.fromfile(tiny_vpd))
    assert results['weights'] == sum(weight.nbytes for weight in model.state_dict().values())
    backbone = sum(weight.nbytes for weight in model.backbone.state_dict().values())
    assert results['weights in bfloat16'] == results['weights'] - backbone / 2
    finest = 64 * 128 * 8 * 4  # a tensor of the autoencoder's first level, of 8 channels
    assert 3 * finest < results['floor'] < 5 * finest
    assert results['backbone'] < 0.8 * results['floor']
    assert results['model in bfloat16'] < results['test mode']


def test_the_test_mode_needs_mmseg(tiny_vpd, capsys):
    for option in ([], ['--memory']):
        arguments = ['--test-mode', *option, '--size', '64', '64', '--device', 'cpu']
        assert benchmark.main([tiny_vpd, *arguments, '--cfg-options', 'default_scope=mmdet']) == 1
        assert '--test-mode' in capsys.readouterr().err
