"""The toy configs of TADP and ECoDepth, from training to test and prediction, at a tiny width."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from host_scripts import read_log, run, train
from mmengine.config import Config
from mmengine.dataset import Compose
from pages import write_config as write_snippet
from tiny_arch import write_arch
from tiny_vit import VIT

from mmdiffperc.inference import build_inferencer
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

CONFIGS = Path(__file__).parents[1] / 'configs'
SIZE = (128, 128)  # that of the toy configs
ITERATIONS = 2
UNNEEDED = ('LoadAnnotations', 'CheckLabels', 'Resize')
# config -> host, format of its scenes, a measure of its test
TOYS = {
    'tadp/tadp_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py': ('mmseg', 'ade', 'mIoU'),
    'tadp/tadp-oracle_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py': ('mmseg', 'ade', 'mIoU'),
    'tadp/tadp_tiny-sd_1xb4-1800_toy-nyu-128x128.py': ('mmseg', 'nyu', 'rmse'),
    'tadp/faster-rcnn_tadp-tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py': ('mmdet', 'coco', 'coco/bbox_mAP'),
    'ecodepth/ecodepth_tiny-sd_1xb4-1800_toy-nyu-128x128.py': ('mmseg', 'nyu', 'rmse'),
    'ecodepth/ecodepth-v2_tiny-sd_1xb4-1800_toy-nyu-128x128.py': ('mmseg', 'nyu', 'rmse'),
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes')
    write_dataset(folder, DatasetSpec(4, 3, SIZE, seed=2, formats=('ade', 'nyu', 'coco', 'captions')))
    return folder


def write_config(toy, scenes, folder):
    """Write a toy config with features of 16, 24, 32 and 40 channels."""
    cfg = Config.fromfile(CONFIGS / toy)
    arch = write_arch(folder / 'arch', 'sd2')
    prompts = cfg.model.backbone.prompts
    if prompts.type == 'CaptionPrompts':
        prompts.update(checkpoint=None, max_length=9)
    else:
        prompts.classifier.update(hidden_size=20, intermediate_size=16, num_hidden_layers=1)
    cfg.model.backbone.update(arch=arch, init_cfg=None)
    maps = 9 if 'cross_attention' in cfg.model.backbone else 0
    widths = [16, 24 + maps, 32 + maps, 40]
    if 'neck' in cfg.model:
        cfg.model.neck.in_channels = widths
    else:
        cfg.model.decode_head.update(in_channels=widths, embed_dim=4, feature_dim=32, num_deconv_filters=(12, 8, 4))
    path = folder / 'toy.py'
    path.write_text(cfg.pretty_text.replace('data/toy', str(scenes)))
    return str(path)


@pytest.fixture(scope='module', params=TOYS, ids=lambda toy: Path(toy).stem)
def trained(request, scenes, tmp_path_factory):
    """The toy config, its tiny version, and the folder of its training."""
    folder = tmp_path_factory.mktemp('trained')
    config = write_config(request.param, scenes, folder)
    host = TOYS[request.param][0]
    options = ['train_dataloader.batch_size=2', f'load_from={start_of(config, folder)}']
    train(host, config, folder / 'work', ITERATIONS, *options)
    return request.param, config, folder / 'work'


def start_of(config, folder):
    """A checkpoint of random weights, which holds the text encoder."""
    from mmengine.registry import MODELS, init_default_scope

    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    import mmdet.models  # noqa: F401
    import mmseg.models  # noqa: F401

    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'start.pth')
    return folder / 'start.pth'


def test_training(trained):
    toy, _, work = trained
    *training, validation = read_log(work)
    assert len(training) == ITERATIONS and all(np.isfinite(line['loss']) and line['loss'] > 0 for line in training)
    assert TOYS[toy][2] in validation


def test_test(trained, tmp_path):
    toy, config, work = trained
    host, _, measure = TOYS[toy]
    validated = read_log(work)[-1][measure]
    checkpoint = work / f'iter_{ITERATIONS}.pth'
    for tta in (False, True) if host == 'mmseg' else (False,):
        folder = tmp_path / str(tta)
        run(host, 'test.py', config, checkpoint, '--work-dir', folder, *(['--tta'] if tta else []))
        found = json.loads(next(folder.glob('*/*.json')).read_text())[measure]
        assert found == pytest.approx(validated, rel=0.5 if tta else 1e-4, abs=30 if tta else 1e-4)


def test_prediction(trained, scenes, tmp_path):
    toy, config, work = trained
    inferencer = build_inferencer(config, str(work / f'iter_{ITERATIONS}.pth'), device='cpu', dtype='float32')
    image = next((scenes / 'ade/images/validation').glob('*.png'))
    if 'tadp' not in toy:
        with pytest.raises(ValueError, match='text='):
            inferencer(str(image), text='a red sphere')
        assert inferencer(str(image))['predictions'][0]['depth'].shape == SIZE
        return
    with pytest.raises(ValueError, match=f'{image.name}.*caption'):
        inferencer(str(image))
    first, other = (inferencer(str(image), text=text)['predictions'][0] for text in ('a red sphere', 'two boxes'))
    for name in {'depth', 'scores'} & set(first):
        assert first[name].shape != other[name].shape or (first[name] != other[name]).any()
    assert [control.name for control in inferencer.controls][0] == 'text'


def test_zero_shot(scenes, tmp_path):
    """Two data sets in the formats that the config reads, with a tiny model; one result for each."""
    cfg = Config.fromfile(CONFIGS / 'ecodepth/ecodepth_sd1-5_8xb4-25e_nyu-480x640_zero-shot.py')
    cfg.model.backbone.update(arch=write_arch(tmp_path / 'arch', 'sd2'), init_cfg=None)
    cfg.model.backbone.prompts.update(classifier=VIT, num_scenes=5)
    cfg.model.decode_head.update(
        in_channels=[16, 24, 32, 40], embed_dim=4, feature_dim=32, num_deconv_filters=(12, 8, 4)
    )
    folder, (first, *_) = scenes / 'nyu', sorted((scenes / 'nyu/annotations/test').iterdir())
    depth = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
    (tmp_path / 'sun.png').write_bytes(encode_png((depth << 3) | (depth >> 13)))
    np.save(tmp_path / 'diode.npy', (depth / 1000).astype(np.float32))
    np.save(tmp_path / 'mask.npy', np.ones(depth.shape, np.float32))
    shutil.copy(folder / 'images/test' / first.name, tmp_path / 'image.png')
    (tmp_path / 'sun.txt').write_text('image.png sun.png')
    (tmp_path / 'diode.txt').write_text('image.png diode.npy mask.npy')
    for part in ('test_dataloader', 'test_evaluator'):
        cfg[part] = [cfg[part][index] for index in (0, 2)]
    for loader, name in zip(cfg.test_dataloader, ('sun', 'diode'), strict=True):
        loader.num_workers = 0
        loader.dataset.update(ann_file=str(tmp_path / f'{name}.txt'))
        loader.dataset.data_prefix = dict(img_path=str(tmp_path), target_path=str(tmp_path))
    cfg.test_evaluator[0].crop_type = None
    cfg.dump(tmp_path / 'zero.py')
    checkpoint = start_of(tmp_path / 'zero.py', tmp_path)
    run('mmseg', 'test.py', tmp_path / 'zero.py', checkpoint, '--work-dir', tmp_path / 'work')
    found = json.loads(next((tmp_path / 'work').glob('*/*.json')).read_text())
    assert set(found) - {'time', 'data_time'} == {
        f'{name}/{measure}' for name in ('sun', 'diode') for measure in ('d1', 'abs_rel', 'rmse')
    }
    assert found['sun/rmse'] == pytest.approx(found['diode/rmse'], rel=1e-4) and found['sun/rmse'] > 0


def build_snippet(name, folder):
    """The model of a config on a page, without its weights; the snippet has a file of learned tokens."""
    from mmengine.registry import MODELS, init_default_scope

    cfg = Config.fromfile(write_snippet(name, folder))
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        return cfg, MODELS.build(cfg.model)


def test_style_of_another_domain(tmp_path):
    """The snippet as it stands; and with a small network, from an image and its caption to the labels."""
    cfg, model = build_snippet('config: night style', tmp_path)
    pipeline = cfg.test_dataloader.dataset.pipeline
    load = next(one for one in pipeline if one.type == 'LoadCaption')
    assert load.template == 'a dark <night> photo of a {}' and 'nighttimedriving' in load.ann_file
    prompts = cfg.model.backbone.prompts
    assert model.backbone.prompts.text_encoder.token_embeddings.all_names == [*prompts.new_tokens] == ['<night>']

    torch.manual_seed(0)
    cfg.model.backbone.update(arch=write_arch(tmp_path / 'arch', 'sd2'), init_cfg=None)
    torch.save({'<night>': torch.randn(20)}, tmp_path / 'learned_embeds.bin')
    prompts.update(checkpoint=None, max_length=9, new_tokens={'<night>': str(tmp_path / 'learned_embeds.bin')})
    cfg.model.neck.in_channels = [16, 24 + 9, 32 + 9, 40]
    cfg.model.test_cfg = dict(mode='whole')
    (tmp_path / 'captions.json').write_text(json.dumps({'street.png': {'captions': ['bus on a road']}}))
    load.ann_file = str(tmp_path / 'captions.json')
    cv2.imwrite(str(tmp_path / 'street.png'), np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8))
    cfg.test_dataloader.dataset.pipeline = [one for one in pipeline if one.type not in UNNEEDED]
    cfg.dump(tmp_path / 'night.py')
    checkpoint = start_of(tmp_path / 'night.py', tmp_path)
    inferencer = build_inferencer(str(tmp_path / 'night.py'), str(checkpoint), device='cpu', show_progress=False)
    first, other = (
        inferencer(str(tmp_path / 'street.png'), text=text)['predictions'][0]['labels'] for text in ('bus', 'two cars')
    )
    assert first.shape == (64, 128) and (first != other).any()
    packed = Compose(cfg.test_dataloader.dataset.pipeline)(dict(img_path=str(tmp_path / 'street.png')))
    assert packed['data_samples'].text == 'a dark <night> photo of a bus on a road'


def test_captions_and_meta_prompts(tmp_path):
    _, model = build_snippet('config: captions and meta prompts', tmp_path)
    assert model.backbone.prompts.num_prompts == 77 + 8
