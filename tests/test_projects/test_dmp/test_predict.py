"""The tool for all tasks on a model of DMP."""

import cv2
import numpy as np
import predict
import pytest
from mmengine.config import Config

from mmdiffperc.generative import TargetInferencer


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """A config of depth in metres, up to 8 of them."""
    text = """
custom_imports = dict(imports=['mmdiffperc'])
model = dict(
    type='DeterministicDiffusion',
    arch='tiny-sd',
    target_mode='F',
    target_scale=8.0,
    guidance_scale=2.0,
    num_steps=2,
    init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
)
test_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(40, 40))]))
"""
    path = tmp_path_factory.mktemp('config') / 'depth.py'
    path.write_text(text)
    return path


@pytest.fixture
def run(tmp_path, config, adapter):
    """Run the tool on an adapter; returns its exit status."""

    def run(*arguments):
        words = [config, adapter, *arguments, '--out', tmp_path / 'out', '--device', 'cpu']
        return predict.main([str(word) for word in words])

    return run


def test_options_reach_the_model(run, config, adapter, photos, tmp_path):
    (tmp_path / 'captions.txt').write_text('a bed\na door\n')
    options = ['--text-file', tmp_path / 'captions.txt', '--num-steps', 3, '--save-steps', '--size', 48]
    options += ['--num-samples', 2]
    assert run(photos, *options, '--batch-size', 2, '--cfg-options', 'model.sampler=oracle') == 0
    steps = [f'_{step:03}.png' for step in (1, 334, 667)]
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == sorted(
        f'{name}{ending}' for name in ('bed', 'door') for ending in ('.npz', '.png', *steps)
    )
    inferencer = TargetInferencer(config, adapter, device='cpu', show_progress=False, size=48)
    inferencer.model.process.sampler = 'oracle'
    (expected,) = inferencer(photos / 'bed.png', text='a bed', num_steps=3)['predictions']
    depth = np.load(tmp_path / 'out/bed.npz')['x']
    np.testing.assert_allclose(depth, expected['target'], atol=1e-3)
    seen = cv2.imread(str(tmp_path / 'out/bed.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(seen / 65535, (depth / 8).clip(0, 1), atol=1e-5)


@pytest.mark.parametrize(
    ('settings', 'attributes'),
    [
        (['model.prediction_type=epsilon'], dict(prediction_type='epsilon')),
        (
            ['model.sampler=one_pass', 'model.prediction_type=sample', 'model.guidance_scale=1'],
            dict(prediction_type='sample', sampler='one_pass'),
        ),
    ],
)
def test_settings_that_were_options_of_the_official_code(run, config, adapter, photos, tmp_path, settings, attributes):
    """``--target-pred-type`` and ``--onepass``, with ``--target-scale``."""
    assert run(photos / 'bed.png', '--text', 'a bed', '--cfg-options', *settings, 'model.target_scale=4') == 0
    expected = Config.fromfile(config)
    expected.model.update(attributes, target_scale=4.0, guidance_scale=2.0 - ('sampler' in attributes))
    inferencer = TargetInferencer(expected, adapter, device='cpu', show_progress=False)
    (found,) = inferencer(photos / 'bed.png', text='a bed')['predictions']
    np.testing.assert_allclose(np.load(tmp_path / 'out/bed.npz')['x'], found['target'], atol=1e-4)


def test_adapter_trained_without_prompts(run, photos, tmp_path):
    settings = 'model.use_prompts=False', 'model.guidance_scale=1'
    assert run(photos / 'bed.png', '--cfg-options', *settings) == 0
    assert np.load(tmp_path / 'out/bed.npz')['x'].shape == (67, 51)


def test_errors_are_one_clear_line(run, photos, tmp_path, capsys):
    (tmp_path / 'captions.txt').write_bytes(b'\xff\xfe')
    for arguments, message in (
        ([photos / 'bed.png'], 'predict: use_prompts=True'),
        ([photos, '--text-file', tmp_path / 'captions.txt'], 'captions.txt'),
        ([photos, '--text', 'a bed', '--num-steps', 1001], 'num_steps=1001'),
    ):
        assert run(*arguments) == 1
        assert message in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(SystemExit):
        run(photos, '--size', 1)
    assert '--size' in capsys.readouterr().err
