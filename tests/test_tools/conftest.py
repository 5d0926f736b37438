"""The shipped VPD config at a tiny width, with three classes, for images as they are."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from pickles import Call
from tiny_arch import write_arch

from mmdiffperc.compat.checkpoint import load_file

ROOT = Path(__file__).parents[2]
CLASSES = ['sphere', 'box', 'traffic cone']
VPD = ROOT / 'configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'


@pytest.fixture(scope='session')
def tiny_vpd(tmp_path_factory):
    """A config file whose U-Net has levels of 8, 16, 24 and 40 channels."""
    folder = tmp_path_factory.mktemp('tiny_vpd')
    cfg = Config.fromfile(VPD)
    cfg.model.backbone.update(arch=write_arch(folder / 'arch'))
    cfg.model.backbone.prompts.classes = CLASSES
    cfg.model.neck.update(in_channels=[8, 16 + 3, 24 + 3, 40], out_channels=16)
    cfg.model.decode_head.update(in_channels=[16] * 4, channels=16, num_classes=3)
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', reduce_zero_label=True),
        dict(type='PackSegInputs'),
    ]
    cfg.dump(folder / 'tiny_vpd.py')
    return str(folder / 'tiny_vpd.py')


@pytest.fixture(scope='session')
def tiny_checkpoint(tiny_vpd, tmp_path_factory):
    """A checkpoint of its model, with random weights."""
    from mmseg.apis import init_model

    path = tmp_path_factory.mktemp('tiny_checkpoint') / 'tiny_vpd.pth'
    meta = dict(dataset_meta=dict(classes=CLASSES, palette=[[0, 0, 0]] * 3))
    torch.save(dict(state_dict=init_model(tiny_vpd, device='cpu').state_dict(), meta=meta), path)
    return str(path)


@pytest.fixture
def broken_checkpoints(tmp_path):
    """Write checkpoints that a tool has to refuse, each with what it has to say: damaged, cut short, unsafe, and one
    without the weights of a part."""

    def write(checkpoint, part, model):
        content = Path(checkpoint).read_bytes()
        (tmp_path / 'damaged.pth').write_bytes(b'garbage' * 100)
        (tmp_path / 'short.pth').write_bytes(content[: len(content) // 2])
        torch.save(dict(state_dict={}, meta=Call(os.mkdir, str(tmp_path / 'executed'))), tmp_path / 'unsafe.pth')
        weights = load_file(checkpoint)['state_dict']
        others = {key: weight for key, weight in weights.items() if not key.startswith(part)}
        torch.save(dict(state_dict=others, meta=dict(dataset_meta={})), tmp_path / 'other.pth')
        yield str(tmp_path / 'damaged.pth'), 'damaged.pth'
        yield str(tmp_path / 'short.pth'), 'short.pth'
        yield str(tmp_path / 'unsafe.pth'), '`posix.mkdir`'
        yield str(tmp_path / 'other.pth'), part
        assert not (tmp_path / 'executed').exists()

    return write


@pytest.fixture
def tool(monkeypatch):
    """Makes the scripts of ``tools/`` importable by name."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
