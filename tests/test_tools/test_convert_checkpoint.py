import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from parity.detweights import make_state_dict
from tiny_arch import write_arch

from mmdiffperc.compat.checkpoint import load_file

REPOSITORY = Path(__file__).parents[2]
TOOL = REPOSITORY / 'tools' / 'convert_checkpoint.py'
MANIFEST = REPOSITORY / 'tests' / 'parity' / 'vpd_seg' / 'manifest.json'
CONFIG = REPOSITORY / 'configs' / 'vpd' / 'vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    config = Config.fromfile(CONFIG)
    config.model.backbone.arch = write_arch(tmp_path_factory.mktemp('arch') / 'arch', 'parity')
    config.model.backbone.prompts.classes = [f'class {index}' for index in range(7)]
    config.model.neck.in_channels = [32, 71, 135, 128]
    config.model.decode_head.num_classes = 7
    config.train_dataloader.dataset.metainfo = dict(classes=[f'class {index}' for index in range(7)])
    path = tmp_path_factory.mktemp('config') / 'config.py'
    config.dump(path)
    return path


@pytest.fixture(scope='module')
def weights():
    return make_state_dict(str(MANIFEST))


def test_writes_a_checkpoint_of_openmmlab(tmp_path, config, weights):
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'official.pth')
    command = [sys.executable, TOOL, tmp_path / 'official.pth', tmp_path / 'ours.pth', '--config', config]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    checkpoint = load_file(tmp_path / 'ours.pth')
    names = checkpoint['state_dict']
    assert f'VPD segmentation: {len(names)} weights written' in done.stdout
    torch.testing.assert_close(names['backbone.prompts.embeddings'], weights['class_embeddings'])
    torch.testing.assert_close(names['decode_head.conv_seg.bias'], weights['decode_head.conv_seg.bias'])
    meta = checkpoint['meta']['dataset_meta']
    assert list(meta['classes']) == [f'class {index}' for index in range(7)]
    assert len(meta['palette']) == 150


def test_writes_nothing_when_a_weight_is_missing(tmp_path, config, weights, monkeypatch):
    partial = {key: value for key, value in weights.items() if key != 'gamma'}
    torch.save(dict(state_dict=partial), tmp_path / 'official.pth')
    arguments = ['', tmp_path / 'official.pth', tmp_path / 'ours.pth', '--config', config]
    monkeypatch.setattr(sys, 'argv', [str(argument) for argument in arguments])
    with pytest.raises(ValueError, match=r'missing gamma \(our backbone\.prompts\.adapter\.gamma\)'):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert not (tmp_path / 'ours.pth').exists()
