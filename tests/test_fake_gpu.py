"""Training losses and predictions of the toy configs on a pretended GPU: no mix of devices, and no wait."""

import re
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from fake_gpu import GPU, OURS, pretended_gpu, put_on_gpu
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from tiny_arch import write_arch, write_changed_arch

from mmdiffperc.generative.target_codec import TargetCodec
from mmdiffperc.generative.tiles import predict_in_tiles
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.layers import SentenceEncoder
from mmdiffperc.models.layers.image_classifier import ImageClassifier
from mmdiffperc.seg.depth.depth_estimator import blending_weights
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

ROOT = Path(__file__).parents[1]
CONFIGS = {
    path.name: path
    for folder in (ROOT / 'configs', ROOT / 'projects/dmp/configs')
    for path in sorted(folder.rglob('*.py'))
    if '_base_' not in path.parts
}
TOY = {name: path for name, path in CONFIGS.items() if '_toy-' in name}
FULL = CONFIGS.keys() - TOY.keys()
# Half of the configs; the models of the others are equal.
SAME = re.compile(r'^(?!dmp|regression).*-random|^(dmp|regression_tiny-sd_).*-(normals|segmentation|shading)-')
NAMES = [name for name in TOY if not SAME.search(name)]
# The tokens of a new sentence and constants of the model are copied to the GPU, once, and so is each clean image, which
# is data like the images.
ONCE = ('models/layers/sentence_encoder.py', 'models/layers/on_device.py', 'models/layers/reconstruction.py to_input')


@cache
def read(name):
    return Config.fromfile(CONFIGS[name])


def model_of(name):
    """The config of the model, without the source of its weights."""
    model = deepcopy(read(name).model)
    for part in (model, model.get('backbone', {})):
        part.pop('init_cfg', None)
    return model


def kind_of(name):
    """What decides which data a model takes, the most important first."""
    model = read(name).model
    prompts = model.get('backbone', {}).get('prompts', {})
    return model.type, model.get('head', {}).get('type'), model.get('target_mode'), prompts.get('type')


def scenes_for(name):
    """A toy config whose data the model of a full-size config takes."""
    kind = kind_of(name)
    return max(NAMES, key=lambda toy: [own == other for own, other in zip(kind, kind_of(toy), strict=True)])


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """The folder from which the configs find the toy scenes."""
    folder = tmp_path_factory.mktemp('scenes')
    write_dataset(folder / 'data/toy', DatasetSpec(num_train=3, num_val=2, size=128, seed=7))
    (folder / 'data/toy_192').symlink_to(folder / 'data/toy')
    return folder


@pytest.fixture
def batches(scenes, monkeypatch):
    """A function that returns a batch of a config, as it comes from its data loader."""
    monkeypatch.chdir(scenes)

    def load(config, phase):
        dataset = DATASETS.build(config[f'{phase}_dataloader'].dataset)
        return pseudo_collate([dataset[index % len(dataset)] for index in range(2)])

    return load


def build(name):
    """The model of a config, with random weights."""
    config, model = read(name), model_of(name)
    init_default_scope(config.get('default_scope', 'mmengine'))
    if 'num_steps' in model:
        model.num_steps = 2  # further ones do the same
    if name in FULL:
        for head in ('head', 'keypoint_head'):
            if 'out_channels' in model.get(head, {}):
                model[head].out_channels = 17  # keypoints of the toy scenes
        if 'rpn' in model.get('test_cfg', {}):
            model.test_cfg.rpn.max_per_img = 100  # NMS takes each of many boxes alone, as if it had its own class
    with torch.device('meta' if name in FULL else 'cpu'):
        model = MODELS.build(model)
    if name in FULL and hasattr(model, 'process'):
        schedule = model.process.scheduler  # not a module, so it is not put on the GPU
        model.process.scheduler = schedule.from_config(schedule.config)
    for module in model.modules():
        if isinstance(module, SentenceEncoder):
            module.note_weights()
        if isinstance(module, ImageClassifier):
            module.is_init = True
    return model


def on_gpu(data):
    """A batch of a data preprocessor, copied to the pretended GPU as mmengine copies it."""
    return dict(inputs=data['inputs'].to(GPU), data_samples=[sample.to(GPU) for sample in data['data_samples']])


def run(model, data, phase):
    """A training loss or a prediction."""
    model.train(phase == 'train')
    if phase == 'train':
        return model.parse_losses(model(**on_gpu(data), mode='loss'))[0]
    with torch.no_grad():
        return model(**on_gpu(data), mode='predict')


@pytest.mark.parametrize('name', NAMES)
def test_nothing_waits_for_the_gpu(name, batches):
    model, config = build(name), read(name)
    data = {phase: model.data_preprocessor(batches(config, phase), phase == 'train') for phase in ('train', 'test')}
    with pretended_gpu(truth=config.get('default_scope') == 'mmdet') as traffic:
        put_on_gpu(model)
        loss = run(model, data['train'], 'train')
        samples = run(model, data['test'], 'test')
    assert loss.device == GPU and loss.dim() == 0
    assert len(samples) == 2
    assert [found for found in traffic.found if not found.startswith(ONCE)] == []


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(FULL))
def test_full_size(name, batches):
    """Losses and predictions of the full-size configs, for toy scenes. No weights are made, so each takes seconds."""
    model, toy = build(name), scenes_for(name)
    preprocess = build(toy).data_preprocessor  # some models make their own
    is_trained = read(name).get('train_dataloader') is not None
    phases = ('train', 'test') if is_trained else ('test',)
    data = {phase: preprocess(batches(read(toy), phase), phase == 'train') for phase in phases}
    with pretended_gpu(truth=read(name).get('default_scope') == 'mmdet') as traffic:
        put_on_gpu(model)
        if is_trained:
            assert run(model, data['train'], 'train').device == GPU
        assert len(run(model, data['test'], 'test')) == 2
    assert [found for found in traffic.found if not found.startswith(ONCE)] == []


@pytest.mark.parametrize(
    'name',
    ['e2e-ft_tiny-sd_1xb8-600_toy-dmp-normals-128x128.py', 'vpd_tiny-sd-refer_1xb4-1800_toy-refcoco-128x128.py'],
)
def test_nothing_is_copied_twice(name, batches):
    model = build(name)
    data = model.data_preprocessor(batches(read(name), 'train'), True)
    with pretended_gpu() as traffic:
        put_on_gpu(model)
        run(model, data, 'train')
        assert traffic.found and all(found.startswith(ONCE) for found in traffic.found)
        traffic.found.clear()
        run(model, data, 'train')
    assert not traffic.found


def backbones(folder):
    """Backbones with the options that no toy config has, by name."""
    eight = write_changed_arch(folder / 'eight', 'unet', 'two levels', in_channels=9)
    return dict(
        strips=dict(arch='tiny-sd', autoencoder_tiling=32 * 32),
        noise=dict(arch='tiny-sd', timestep=[1, 50], noise='fixed', scale_latents=True),
        sizes=dict(arch=write_arch(folder / 'sdxl', 'sdxl')),
        latents=dict(arch=eight, extra_latents=['scaled image', 'noise'], taps=['mid_block']),
        scenes=dict(arch='tiny-sd', prompts=dict(type='ScenePrompts', classes=['bedroom', 'office'])),
    )


@pytest.mark.parametrize('kind', ['strips', 'noise', 'sizes', 'latents', 'scenes'])
def test_options_of_the_backbone(kind, tmp_path):
    backbone = DiffusionUNet(**backbones(tmp_path)[kind]).train()
    with pretended_gpu() as traffic:
        put_on_gpu(backbone)
        images = torch.rand(2, 3, 48, 64).to(GPU)
        inputs = (images, torch.zeros(2, dtype=torch.long).to(GPU)) if kind == 'scenes' else images
        backbone(inputs)
        traffic.found.clear()
        features = backbone(inputs)
        backbone(images)
    assert {feature.device for feature in features} == {GPU}
    assert not traffic.found


@pytest.mark.parametrize('scale', ['per_image', 'quantiles'])
def test_maps_are_scaled_on_the_gpu(scale):
    with pretended_gpu() as traffic:
        maps = torch.rand(2, 1, 5, 6).to(GPU)
        codec = TargetCodec('F', target_scale=scale, transform='disparity')
        assert codec.decode(codec.encode(maps, maps > 0.5)).shape == (2, 1, 5, 6)
        blending_weights(12, 6, [0, 3, 6], GPU)
        predict_in_tiles(maps, lambda tile, place: tile, size=4, overlap=1)
    assert not traffic.found


def test_what_waits_is_found():
    """By each kind of operation, in a function that counts as one of the package."""
    kinds = dict(
        number=lambda x: x.sum().item(),
        truth=lambda x: bool((x > 0).any()),
        copy=lambda x: x + torch.ones(3, 4).to(GPU),
        back=lambda x: x.cpu(),
        array=lambda x: x.numpy(),
        constant=lambda x: x.new_tensor([1.0, 2.0, 3.0, 4.0]),
        mask=lambda x: x[x > 0],
        nonzero=lambda x: (x > 0).nonzero(),
        indices=lambda x: x[[0, 2]],
        unique=lambda x: x.unique(),
    )
    for name, operation in kinds.items():
        with pretended_gpu() as traffic:
            x = torch.rand(3, 4).to(GPU)
            operate = eval(compile('lambda operation, x: operation(x)', f'{OURS}example.py', 'eval'))
            traffic.found.clear()
            operate(operation, x)
            x * 2 + torch.ones((), device=GPU)
        assert len(traffic.found) == 1, name


def test_two_devices_do_not_mix():
    with pretended_gpu(), pytest.raises(RuntimeError, match='cuda.*cpu'):
        torch.rand(3, 4).to(GPU) + torch.rand(3, 4)


def test_the_models_of_the_other_configs_are_equal():
    models = {name: model_of(name) for name in TOY}
    tested = [models[name] for name in NAMES]
    assert [name for name, model in models.items() if model not in tested] == []
