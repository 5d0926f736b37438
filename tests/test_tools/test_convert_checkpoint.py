import os
import re
from pathlib import Path

import pytest
import torch
from convert_checkpoint import main
from full_disk import full_disk
from mmengine.config import Config
from parity.detweights import make_state_dict
from pickles import Call
from tiny_arch import write_arch

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.seg import ReferringInferencer

REPOSITORY = Path(__file__).parents[2]
TOOL = REPOSITORY / 'tools' / 'convert_checkpoint.py'
MANIFEST = REPOSITORY / 'tests' / 'parity' / 'vpd_seg' / 'manifest.json'
DEPTH_MANIFEST = REPOSITORY / 'tests' / 'parity' / 'vpd_depth' / 'manifest.json'
DEPTH_CONFIG = REPOSITORY / 'configs' / 'vpd' / 'vpd_sd1-5_4xb8-25k_nyu-480x480.py'
REFER_MANIFEST = REPOSITORY / 'tests' / 'parity' / 'vpd_refer' / 'manifest.json'
REFER_CONFIG = REPOSITORY / 'configs' / 'vpd' / 'vpd_sd1-5-refer_8xb4-40e_refcoco-512x512.py'
CONFIG = REPOSITORY / 'configs' / 'vpd' / 'vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    config = Config.fromfile(CONFIG)
    config.model.backbone.arch = write_arch(tmp_path_factory.mktemp('arch') / 'arch', 'parity')
    config.model.backbone.prompts.classes = [f'class {index}' for index in range(7)]
    config.model.neck.in_channels = [32, 71, 135, 128]
    config.model.decode_head.num_classes = 7
    config.test_dataloader.dataset.metainfo = dict(classes=[f'class {index}' for index in range(7)])
    path = tmp_path_factory.mktemp('config') / 'config.py'
    config.dump(path)
    return path


@pytest.fixture(scope='module')
def weights():
    return make_state_dict(str(MANIFEST))


def convert(*arguments):
    """Run the tool in this process; return its exit status."""
    return main([*map(str, arguments)])


def test_writes_a_checkpoint_of_openmmlab(tmp_path, config, weights, capsys):
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'official.pth')
    assert convert(tmp_path / 'official.pth', '--out-file', tmp_path / 'ours.pth', '--config', config) == 0
    checkpoint = load_file(tmp_path / 'ours.pth')
    names = checkpoint['state_dict']
    assert f'{len(names)} weights' in capsys.readouterr().out
    torch.testing.assert_close(names['backbone.prompts.embeddings'], weights['class_embeddings'])
    torch.testing.assert_close(names['decode_head.conv_seg.bias'], weights['decode_head.conv_seg.bias'])
    meta = checkpoint['meta']['dataset_meta']
    assert list(meta['classes']) == [f'class {index}' for index in range(7)]
    assert len(meta['palette']) == 150


def test_a_config_of_the_new_style(tmp_path, config, weights):
    """Its types are classes."""
    torch.save(dict(state_dict=weights), tmp_path / 'official.pth')
    text = f"{config.read_text()}\ntest_dataloader['dataset']['type'] = ADE20KDataset\n"
    (tmp_path / 'new.py').write_text(f'from mmseg.datasets import ADE20KDataset\n\n{text}')
    assert convert(tmp_path / 'official.pth', '--out-file', tmp_path / 'ours.pth', '--config', tmp_path / 'new.py') == 0
    meta = load_file(tmp_path / 'ours.pth')['meta']['dataset_meta']
    assert list(meta['classes']) == [f'class {index}' for index in range(7)] and len(meta['palette']) == 150


def test_writes_nothing_when_a_weight_is_missing(tmp_path, config, weights, capsys):
    partial = {key: value for key, value in weights.items() if key != 'gamma'}
    torch.save(dict(state_dict=partial), tmp_path / 'official.pth')
    assert convert(tmp_path / 'official.pth', '--out-file', tmp_path / 'ours.pth', '--config', config) == 1
    assert 'missing gamma (our backbone.prompts.adapter.gamma)' in capsys.readouterr().err
    assert not (tmp_path / 'ours.pth').exists()


def test_full_disk_leaves_the_destination(tmp_path, config, weights, capsys):
    torch.save(dict(state_dict=weights), tmp_path / 'official.pth')
    (tmp_path / 'ours.pth').write_bytes(b'precious')
    with full_disk(100_000):
        assert convert(tmp_path / 'official.pth', '--out-file', tmp_path / 'ours.pth', '--config', config) == 1
    assert str(tmp_path / 'ours.pth') in capsys.readouterr().err
    assert (tmp_path / 'ours.pth').read_bytes() == b'precious'
    assert sorted(os.listdir(tmp_path)) == ['official.pth', 'ours.pth']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (torch.zeros(3), 'Tensor'),
        ([1, 2], 'got list'),
        ({0: torch.zeros(3)}, '1 (0)'),
        ({'layer.weight': torch.zeros(3)}, "got 1 keys, first ['layer.weight']"),
        (Call(os.getcwd), 'getcwd'),
    ],
    ids=['tensor', 'list', 'numbers', 'another model', 'unsafe'],
)
def test_a_file_that_is_no_such_checkpoint(tmp_path, capsys, content, message):
    torch.save(content, tmp_path / 'official.pth')
    assert convert(tmp_path / 'official.pth', '--out-file', tmp_path / 'ours.pth') == 1
    error = capsys.readouterr().err
    assert error.startswith('convert_checkpoint: ') and message in error


def test_a_file_that_is_cut_or_not_there(tmp_path, capsys):
    torch.save({'gamma': torch.zeros(300)}, tmp_path / 'whole.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'whole.pth').read_bytes()[:500])
    for name, message in (('cut.pth', 'incomplete'), ('absent.pth', 'absent.pth')):
        assert convert(tmp_path / name, '--out-file', tmp_path / 'ours.pth') == 1
        error = capsys.readouterr().err
        assert name in error and message in error


def test_depth_of_mmsegmentation(tmp_path, capsys):
    """Its checkpoint, made of the official one's weights, gives the same as the official one."""
    config = Config.fromfile(DEPTH_CONFIG)
    config.model.backbone.arch = write_arch(tmp_path / 'arch', 'parity')
    config.model.decode_head.in_channels = [32, 64, 128, 128]
    config.dump(tmp_path / 'config.py')
    official = make_state_dict(str(DEPTH_MANIFEST))
    names = {
        r'encoder\.layer1': 'decode_head.conv1',
        r'encoder\.layer2\.0': 'decode_head.conv2',
        r'encoder\.out_layer': 'decode_head.conv_aggregation',
        r'encoder': 'backbone',
        r'decoder': 'decode_head.decoder',
        r'last_layer_depth': 'decode_head.depth_pred_layer',
    }
    released = {}
    for key, weight in official.items():
        ours = next(pattern for pattern in names if re.match(pattern, key))
        released[re.sub(ours, names[ours], key, count=1)] = weight
    embeddings = released['backbone.class_embeddings']
    released['backbone.class_embeddings'] = torch.cat([embeddings, embeddings.mean(0, keepdim=True)])
    torch.save(dict(model=official), tmp_path / 'official.ckpt')
    torch.save(dict(meta=dict(epoch=1), state_dict=released), tmp_path / 'released.pth')
    converted = []
    for name in ('official.ckpt', 'released.pth'):
        assert convert(tmp_path / name, '--out-file', tmp_path / 'ours.pth', '--config', tmp_path / 'config.py') == 0
        converted.append(load_file(tmp_path / 'ours.pth'))
    assert 'VPD depth of mmsegmentation' in capsys.readouterr().out
    for checkpoint in converted:
        assert checkpoint['meta']['dataset_meta']['classes'][6] == 'kitchen'
    assert set(converted[0]['state_dict']) == set(converted[1]['state_dict'])
    for name, weight in converted[0]['state_dict'].items():
        torch.testing.assert_close(converted[1]['state_dict'][name], weight, rtol=0, atol=0)


def test_referring_segmentation_says_where_its_text_encoder_comes_from(tmp_path, capsys):
    config = Config.fromfile(REFER_CONFIG)
    config.model.backbone.arch = write_arch(tmp_path / 'arch', 'parity')
    config.model.backbone.prompts.max_length = 11
    config.model.decode_head.update(in_channels=[32, 64 + 11, 128 + 11, 128], channels=64)
    config.dump(tmp_path / 'config.py')
    torch.save(dict(model=make_state_dict(str(REFER_MANIFEST))), tmp_path / 'official.pth')
    assert (
        convert(tmp_path / 'official.pth', '--out-file', tmp_path / 'ours.pth', '--config', tmp_path / 'config.py') == 0
    )
    printed = capsys.readouterr().out
    assert 'referring' in printed and 'text encoder' in printed
    assert printed.rstrip().endswith('prompts.checkpoint=stable-diffusion-v1-5/stable-diffusion-v1-5')
    assert not any('text_encoder' in name for name in load_file(tmp_path / 'ours.pth')['state_dict'])
    with pytest.raises(RuntimeError, match=r'(?s)text encoder.*stable-diffusion-v1-5.*hf download'):
        ReferringInferencer(str(tmp_path / 'config.py'), str(tmp_path / 'ours.pth'), device='cpu')
