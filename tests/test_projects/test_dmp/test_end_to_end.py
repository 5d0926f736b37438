"""From toy scenes to predictions through the scripts that ``mim train mmseg`` and ``mim test mmseg`` run."""

import json
from pathlib import Path

import numpy as np
import pytest
from host_scripts import read_log, run, train
from mmengine.config import Config

from mmdiffperc.generative import TargetInferencer
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

CONFIG = Path(__file__).parents[3] / 'projects/dmp/configs/dmp_tiny-sd_1xb8-600_toy-dmp-depth-128x128.py'
ITERATIONS = 3


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Domains a and b, of another size than the model's."""
    folder = tmp_path_factory.mktemp('scenes')
    write_dataset(folder, DatasetSpec(4, 2, (48, 64), seed=1, formats=('dmp', 'dmp_b')))
    return folder


@pytest.fixture(scope='module')
def config_file(scenes):
    """The toy config, on a few scenes and with fewer steps."""
    config = Config.fromfile(CONFIG)
    for phase, name in dict(train='dmp', val='dmp', test='dmp_b').items():
        config[f'{phase}_dataloader'].dataset.data_root = str(scenes / name)
    config.train_dataloader.batch_size = 2
    config.model.num_steps = 2
    config.custom_hooks[-1].folder = str(scenes / 'latents')
    config.dump(scenes / 'config.py')
    return scenes / 'config.py'


@pytest.fixture(scope='module')
def work_dir(config_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp('work')
    train('mmseg', config_file, folder, ITERATIONS)
    return folder


def test_latents_are_stored(work_dir, scenes):
    assert len([*(scenes / 'latents').rglob('*.safetensors')]) > ITERATIONS


def test_training_is_logged(work_dir):
    *training, validation = read_log(work_dir)
    assert [line['step'] for line in training] == [1, 2, 3]
    assert all(np.isfinite(line['loss_latents']) and line['loss_latents'] > 0 for line in training)
    assert 0 < validation['abs_rel'] < 3 and 0 < validation['normalised/rmse'] < 1


def test_other_domain_is_tested(config_file, work_dir, tmp_path):
    checkpoint = work_dir / f'iter_{ITERATIONS}.pth'
    run('mmseg', 'test.py', config_file, checkpoint, '--work-dir', tmp_path, '--cfg-options', 'model.init_cfg=None')
    found = json.loads(next(tmp_path.glob('*/*.json')).read_text())
    assert 0 < found['abs_rel'] < 3 and found['abs_rel'] != read_log(work_dir)[-1]['abs_rel']


def test_prediction_from_checkpoint_and_adapter_agree(config_file, work_dir, scenes):
    """And have the size of the scene."""
    image = next((scenes / 'dmp_b/val').glob('*.png'))
    trained = [
        TargetInferencer(config_file, weights, device='cpu')(image, text='a scene')['predictions'][0]['target']
        for weights in (work_dir / f'iter_{ITERATIONS}.pth', work_dir / f'lora_iter_{ITERATIONS}')
    ]
    assert trained[0].shape == (48, 64)
    np.testing.assert_allclose(*trained, atol=1e-5)
