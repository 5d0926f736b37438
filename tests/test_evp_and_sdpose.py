"""EVP and SDPose: their toy configs train and test through the scripts that ``mim`` runs, and predict."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from host_scripts import read_log, run, train
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from pages import write_config as write_snippet

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.inference import build_inferencer
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset
from mmdiffperc.weights.architectures import build_text_encoder, build_vae
from mmdiffperc.weights.loading import load_weights

ITERATIONS = 3
CONFIGS = Path(__file__).parents[1] / 'configs'
FORMATS = {'nyu': ('nyu', 'captions'), 'refcoco': ('refcoco',), 'coco': ('coco',)}
HEADS = {
    'nyu': dict(embed_dim=4, feature_dim=32, num_deconv_filters=(12, 8, 4), bottleneck_dims=8, bin_dims=6),
    'refcoco': dict(channels=8),
    'coco': dict(),
}
EVP_DEPTH = 'evp/evp_tiny-sd_1xb4-1800_toy-nyu-128x128.py'
EVP_REFER = 'evp/evp_tiny-sd-refer_1xb4-1800_toy-refcoco-128x128.py'
SDPOSE = 'sdpose/td-hm_sdpose-tiny-sd_1xb4-1800_toy-coco-128x96.py'
CASES = {EVP_DEPTH: ('mmseg', 'nyu'), EVP_REFER: ('mmseg', 'refcoco'), SDPOSE: ('mmpose', 'coco')}


def write_config(folder, name):
    """Write the config for a few scenes of 64 x 96 pixels, with tiny-sd itself and a narrow head."""
    data = CASES[name][1]
    write_dataset(folder / 'toy', DatasetSpec(8, 6, (64, 96), seed=2, formats=FORMATS[data]))
    cfg = Config.fromfile(CONFIGS / name)
    cfg.model.get('decode_head', cfg.model.get('head')).update(HEADS[data])
    if 'size' in cfg.model.data_preprocessor:
        cfg.model.data_preprocessor.size = (64, 64) if data == 'refcoco' else (64, 96)
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = str(folder / 'toy' / data)
        for transform in dataset.pipeline:
            if transform.type == 'LoadCaption':
                transform.ann_file = str(folder / transform.ann_file.removeprefix('data/'))
            if transform.type == 'Resize':
                transform.scale = (64, 64)
    cfg.train_dataloader.batch_size = 2
    cfg.dump(folder / 'config.py')
    return str(folder / 'config.py')


@pytest.fixture(scope='module', params=CASES)
def trained(request, tmp_path_factory):
    """Name, config file and checkpoint of each model."""
    folder = tmp_path_factory.mktemp('trained')
    config = write_config(folder, request.param)
    train(CASES[request.param][0], config, folder / 'work', ITERATIONS)
    return request.param, config, folder / 'work' / f'iter_{ITERATIONS}.pth'


def test_training_is_logged(trained):
    name, _, checkpoint = trained
    *training, validation = read_log(checkpoint.parent)
    assert [line['step'] for line in training] == [1, 2, 3]
    assert all(np.isfinite(line['loss']) and line['loss'] > 0 for line in training)
    assert all(('loss_reconstruction' in line) == (name == SDPOSE) for line in training)
    measure = {EVP_DEPTH: 'rmse', EVP_REFER: 'oIoU', SDPOSE: 'coco/AP'}[name]
    assert np.isfinite(validation[measure])


def test_what_has_been_trained(trained):
    """EVP trains the autoencoder and the text encoder, too; SDPose trains the U-Net, whose autoencoder is frozen."""
    name, _, checkpoint = trained
    weights = load_file(checkpoint)['state_dict']
    assert all(torch.isfinite(value).all() for value in weights.values())
    vae, text_encoder = build_vae('tiny-sd'), build_text_encoder('tiny-sd')
    load_weights('tiny-sd', vae=vae, text_encoder=text_encoder)
    prefixes = {'backbone.autoencoder.vae.': vae, 'backbone.prompts.text_encoder.clip.': text_encoder}
    for prefix, part in prefixes.items():
        before = part.state_dict()
        held = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        changed = [key for key, value in held.items() if not torch.equal(value, before[key].to(value))]
        assert bool(changed) == (name != SDPOSE) and (held or name == SDPOSE)


def test_checkpoint_is_tested(trained, tmp_path):
    name, config, checkpoint = trained
    host = CASES[name][0]
    run(host, 'test.py', config, checkpoint, '--work-dir', tmp_path)
    found = json.loads(next(tmp_path.glob('*/*.json')).read_text())
    validation = read_log(checkpoint.parent)[-1]
    shared = set(found) & set(validation) - {'data_time', 'time', 'step', 'memory'}
    assert shared and {key: found[key] for key in shared} == pytest.approx(
        {key: validation[key] for key in shared}, rel=1e-4
    )


def test_prediction(trained, tmp_path):
    name, config, checkpoint = trained
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'scene.png'), image)
    inferencer = build_inferencer(config, str(checkpoint), device='cpu', show_progress=False)
    options = dict(boxes=[[5, 6, 45, 50]]) if name == SDPOSE else dict(text='a red sphere')
    (prediction,) = inferencer(str(tmp_path / 'scene.png'), **options)['predictions']
    if name == SDPOSE:
        assert np.isfinite(prediction['keypoints']).all() and len(prediction['keypoints'][0]) == 17
    elif name == EVP_DEPTH:
        assert prediction['depth'].shape == (50, 70) and (prediction['depth'] > 0).all()
    else:
        assert next(iter(prediction.values())).shape == (50, 70)


def test_second_task_with_a_head_of_mmseg(tmp_path):
    """The config on the page of SDPose: the clean image reaches the model, and its loss is added."""
    cfg = Config.fromfile(write_snippet('config: reconstruction', tmp_path))
    types = [transform.type for transform in cfg.train_dataloader.dataset.pipeline]
    assert types[-3:] == ['KeepCleanImage', 'DisturbImage', 'PackSegInputs'] and types.count('PackSegInputs') == 1
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    model = MODELS.build(cfg.model).train()
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    results = dict(img=image, img_path='a.png', gt_seg_map=np.zeros((128, 128), np.uint8), seg_fields=['gt_seg_map'])
    packed = Compose(cfg.train_dataloader.dataset.pipeline[-3:])(results)
    assert not np.array_equal(packed['inputs'].numpy().transpose(1, 2, 0), image)
    assert np.array_equal(packed['data_samples'].clean_img, image)
    data = model.data_preprocessor(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]), True)
    losses = model(**data, mode='loss')
    assert losses['loss_reconstruction'] > 0 and losses['decode.loss_ce'] > 0


def test_parts_trained_by_name(tmp_path):
    """The config on the training page: the text encoder is trained, at a rate of its own."""
    cfg = Config.fromfile(write_snippet('config: trained by name', tmp_path))
    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    model = MODELS.build(cfg.model)
    assert model.backbone.frozen == ('autoencoder',)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {id(weight): group['lr'] for group in optimizer.param_groups for weight in group['params']}
    found = {rates[id(weight)] for weight in model.backbone.prompts.text_encoder.parameters()}
    assert found == {cfg.optim_wrapper.optimizer.lr * 0.001}
    assert not any(weight.requires_grad for weight in model.backbone.autoencoder.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['evp/evp_sd1-5_2xb2-15e_nyu-480x480.py', 'sdpose/td-hm_sdpose-sd2_8xb16-42e_coco-wholebody-1024x768.py']
)
def test_full_width(name):
    """A forward pass with random weights; 8 GB of memory, a few minutes."""
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        if name.startswith('evp'):
            images, states = torch.rand(1, 3, 480, 480) * 2 - 1, torch.randn(1, 40, 768)
            depth = model.decode_head(model.extract_feat((images, states)))
            assert depth.shape == (1, 1, 480, 480) and depth.isfinite().all() and (depth > 0).all()
        else:
            heatmaps = model.head(model.extract_feat(torch.rand(1, 3, 1024, 768) * 2 - 1))
            assert heatmaps.shape == (1, 133, 256, 192) and heatmaps.isfinite().all()
