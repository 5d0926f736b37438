"""Every shipped config parses, all it names is registered, its model builds; the recipe of VPD is the official one."""

import ast
import re
from copy import deepcopy
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch
from mmengine._strategy import BaseStrategy
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.hub import get_config as get_shipped_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    EVALUATOR,
    FUNCTIONS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    PARAM_SCHEDULERS,
    RUNNERS,
    STRATEGIES,
    TRANSFORMS,
    VISUALIZERS,
    init_default_scope,
)
from mmengine.runner import FlexibleRunner
from mmengine.visualization import Visualizer
from mmseg.apis import MMSegInferencer
from torch import nn

from mmdiffperc.engine import CheckFiniteHook, LowMemoryOptimWrapper, RandomStateHook
from mmdiffperc.models import CaptionPrompts, CombinedPrompts, MetaPrompts, ScenePrompts

CONFIGS = Path(__file__).parents[1] / 'configs'
# tests/test_generative/test_configs.py covers the models without a backbone.
NAMES = sorted(
    str(path.relative_to(CONFIGS))
    for path in CONFIGS.rglob('*.py')
    if not {'_base_', 'one_step'} & set(path.relative_to(CONFIGS).parts)
)
VPD = 'vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'
VPD_DEPTH = 'vpd/vpd_sd1-5_8xb3-25e_nyu-480x480.py'
METAPROMPTS_DEPTH = {
    data: f'metaprompts/metaprompts_sd1-5_8xb3-25e_{data}.py' for data in ('nyu-480x480', 'kitti-352x352')
}
METAPROMPTS = {
    data: f'metaprompts/metaprompts_sd1-5-upernet_8xb1-80k_{data}.py'
    for data in ('ade20k-512x512', 'cityscapes-1024x1024')
}
MMSEG_DEPTH = {size: f'vpd/vpd_sd1-5_4xb8-25k_nyu-{size}x{size}.py' for size in (480, 512)}
DETECTION = [name for name in NAMES if name.startswith(('detection/', 'tadp/faster-rcnn'))]
CAPTIONED = [name for name in NAMES if name.startswith('tadp/') and 'tadp-meta' not in name]
ZERO_SHOT = [name for name in NAMES if 'zero-shot' in name]
SEGMENTATION = [name for name in NAMES if ('fpn' in name or 'upernet' in name) and name not in DETECTION]
DEPTH = [name for name in NAMES if ('nyu' in name or 'kitti' in name) and 'zero-shot' not in name]
POSE = [name for name in NAMES if '/td-hm_' in name]
REFERRING = [name for name in NAMES if 'refer' in name]
STOCK_DETECTORS = {
    'detection/retinanet_sd1-5-fpn_8xb2-1x_coco-1333x800.py': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'detection/mask-rcnn_sd1-5-fpn_8xb2-1x_coco-1333x800.py': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
}
BIG_TRAINING = {
    strategy: f'vpd/vpd_sd1-5-fpn_{strategy}_8xb2-80k_ade20k-512x512.py' for strategy in ('fsdp', 'deepspeed')
}
SMALL_GPU = [name for name in NAMES if name.endswith('gb.py')]
BUILT = {}  # models by their scope and config
VPD_REFER = {data: f'vpd/vpd_sd1-5-refer_8xb4-40e_{data}-512x512.py' for data in ('refcoco', 'refcoco+', 'refcocog')}


@cache
def read(name):
    return Config.fromfile(CONFIGS / name)


def load(name):
    config = deepcopy(read(name))
    init_default_scope(config.default_scope)
    import mmseg.datasets  # noqa: F401
    import mmseg.engine  # noqa: F401
    import mmseg.evaluation  # noqa: F401
    import mmseg.models  # noqa: F401
    import mmseg.visualization  # noqa: F401

    return config


@cache
def model_of(name):
    """Full width, no memory; read, but never changed. Configs that differ in other parts share it."""
    config = load(name)
    key = config.default_scope, str(config.model)
    if key not in BUILT:
        with torch.device('meta'):
            BUILT[key] = MODELS.build(config.model)
    return BUILT[key]


def widths_in(code):
    """The numbers of channels that a config writes itself, apart from counts of levels and factors."""
    keywords = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.keyword))
    values = (word.value for word in keywords if word.arg in ('in_channels', 'embed_dims'))
    numbers = (node.value for value in values for node in ast.walk(value) if isinstance(node, ast.Constant))
    return sorted(number for number in numbers if number > 8)


def test_widths_are_written_once():
    """In the bases of the U-Nets, from which all others compute."""
    assert widths_in('neck = dict(in_channels=[320, 640 + maps, 4 * maps], embed_dims=96)') == [96, 320, 640]
    files = [*CONFIGS.rglob('*.py'), *CONFIGS.parent.glob('projects/*/configs/**/*.py')]
    assert {file.name: found for file in files if (found := widths_in(file.read_text()))} == {}


def resolve(registry, config):
    with registry.switch_scope_and_registry(None) as scoped:
        found = scoped.get(config['type'])
    assert found is not None, f'{config["type"]} is no {registry.name}'
    return found


def parts_of(dataset):
    """The data sets that are concatenated, or the only one."""
    return dataset.get('datasets', [dataset])


def as_list(config):
    return config if isinstance(config, (list, tuple)) else [config]


def test_there_are_configs():
    assert {VPD, *METAPROMPTS.values()} < set(SEGMENTATION)
    assert {VPD_DEPTH, *MMSEG_DEPTH.values(), *METAPROMPTS_DEPTH.values()} <= set(DEPTH)
    assert set(VPD_REFER.values()) < set(REFERRING)
    assert set(STOCK_DETECTORS) < set(DETECTION)


@pytest.mark.parametrize('name', NAMES)
def test_model_builds(name):
    config = load(name)
    model = model_of(name)
    first = model.neck if model.with_neck else getattr(model, 'decode_head', None) or model.head
    in_channels = (first[0] if isinstance(first, nn.Sequential) else first).in_channels
    in_channels = tuple(as_list(in_channels))
    assert model.backbone.out_channels[: len(in_channels)] == in_channels
    if 'tta_model' in config:
        resolve(MODELS, config.tta_model)


@pytest.mark.parametrize('name', NAMES)
def test_data_resolve(name):
    config = load(name)
    for phase in ('train', 'val', 'test'):
        for loader in as_list(config[f'{phase}_dataloader']):
            resolve(DATASETS, loader.dataset)
            resolve(DATA_SAMPLERS, loader.sampler)
            for part in parts_of(loader.dataset):
                resolve(DATASETS, part)
                assert all(callable(TRANSFORMS.build(transform)) for transform in part.pipeline)
    assert all(callable(TRANSFORMS.build(transform)) for transform in config.get('tta_pipeline', []))
    for phase in ('val', 'test'):
        for metric in as_list(config[f'{phase}_evaluator']):
            resolve(EVALUATOR if metric['type'] == 'Evaluator' else METRICS, metric)


@pytest.mark.parametrize('name', [*SEGMENTATION, *DEPTH, *REFERRING])
def test_inferencer_of_mmseg_takes_the_pipeline(name):
    """It looks for the loader by its name."""
    pipeline = MMSegInferencer._init_pipeline(MMSegInferencer.__new__(MMSegInferencer), load(name))
    assert type(pipeline.transforms[0]).__name__ == 'InferencerLoader'


@pytest.mark.parametrize('name', SEGMENTATION)
def test_classes_agree(name):
    config = load(name)
    prompts = model_of(name).backbone.prompts
    is_free = isinstance(prompts, (CaptionPrompts, CombinedPrompts, MetaPrompts))
    assert is_free or prompts.num_prompts == config.model.decode_head.num_classes
    for phase in ('train', 'val', 'test'):
        for part in parts_of(config[f'{phase}_dataloader'].dataset):
            assert len(resolve(DATASETS, part).METAINFO['classes']) == config.model.decode_head.num_classes
            assert checked_classes(part.pipeline) == [config.model.decode_head.num_classes]
    assert checked_classes(chain(*config.tta_pipeline[1].transforms)) == [config.model.decode_head.num_classes]
    if 'auxiliary_head' in config.model:
        assert config.model.auxiliary_head.num_classes == config.model.decode_head.num_classes


def checked_classes(pipeline):
    """Number of classes of each check, which has to come next after the labels are loaded."""
    pairs = pairwise(pipeline)
    return [check.get('num_classes') for loader, check in pairs if loader['type'] == 'LoadAnnotations']


@pytest.mark.parametrize('name', DEPTH)
def test_scenes_and_depths_agree(name):
    """The scene ids of the data are those of the prompts, and reach the model; the head's range is the metric's."""
    config = load(name)
    model = model_of(name)
    assert config.val_evaluator.max_depth_eval == model.decode_head.max_depth
    prompts = model.backbone.prompts
    if name.startswith('evp/'):
        packs = [config[f'{phase}_dataloader'].dataset.pipeline[-1] for phase in ('train', 'val', 'test')]
        assert [('text' in pack.meta_keys) for pack in packs] == [isinstance(prompts, CaptionPrompts)] * 3
    if not isinstance(prompts, ScenePrompts):
        return
    for phase in ('train', 'val', 'test'):
        dataset = config[f'{phase}_dataloader'].dataset
        assert tuple(resolve(DATASETS, dataset).METAINFO['classes']) == model.backbone.prompts.classes
        assert 'category_id' in dataset.pipeline[-1].meta_keys


@pytest.mark.parametrize('name', REFERRING)
def test_sentences_reach_the_model(name):
    """The data hand them on, as many maps as tokens go into the head, and without a checkpoint's text encoder the one
    of the weights that training starts from is loaded."""
    config = load(name)
    prompts = config.model.backbone.prompts
    finest, *others = config.model.decode_head.in_channels
    plain = build_unmapped(config)
    assert others[:2] == [channels + prompts.max_length for channels in plain[1:3]]
    assert (finest, others[2]) == (plain[0], plain[3])
    assert prompts.checkpoint == config.model.backbone.init_cfg.checkpoint
    for phase in ('train', 'val', 'test'):
        dataset = config[f'{phase}_dataloader'].dataset
        assert 'text' in dataset.pipeline[-1].meta_keys
        assert dataset.get('test_mode', False) == (phase != 'train')
        assert resolve(DATASETS, dataset).METAINFO['classes'] == ('background', 'referred object')
    assert config.val_evaluator.type == 'ReferringSegMetric'
    assert config.default_hooks.checkpoint.save_best == 'oIoU' and config.default_hooks.checkpoint.rule == 'greater'


@pytest.mark.parametrize('name', CAPTIONED)
def test_captions_reach_the_model(name):
    """They are set in every pipeline and handed on by its last transform; the maps belong to their 77 tokens."""
    config = load(name)
    prompts = config.model.backbone.prompts
    assert prompts.type == 'CaptionPrompts' and prompts.checkpoint == config.model.backbone.init_cfg.checkpoint
    assert model_of(name).backbone.prompts.num_prompts == 77
    pipelines = [
        part.pipeline for phase in ('train', 'val', 'test') for part in parts_of(config[f'{phase}_dataloader'].dataset)
    ]
    if 'tta_pipeline' in config:
        pipelines.append([*chain(*config.tta_pipeline[1].transforms)])
    for pipeline in pipelines:
        kinds = [transform.type for transform in pipeline]
        assert sum(kind in ('LoadCaption', 'NameClasses') for kind in kinds) == 1
        assert 'text' in pipeline[-1].meta_keys
        if 'NameClasses' in kinds:
            assert kinds.index('LoadAnnotations') < kinds.index('NameClasses')
            assert 'RandomCrop' not in kinds[: kinds.index('NameClasses')]


def test_tadp_protocol():
    """Weight decay 5e-3, 16 images; the fast schedule has twice the rate and 75 iterations of warm-up."""
    long, fast = (load(f'tadp/tadp_sd1-5-fpn_2xb8-{length}_ade20k-512x512.py') for length in ('80k', '4k'))
    for config, lr, warm_up in ((long, 8e-5, 1500), (fast, 1.6e-4, 75)):
        assert config.optim_wrapper.optimizer.weight_decay == 5e-3 and config.optim_wrapper.optimizer.lr == lr
        assert config.param_scheduler[0].end == warm_up + 1 and config.train_dataloader.batch_size == 8
        assert config.model.backbone.scale_latents and config.model.backbone.sample_latents
    voc = load('tadp/tadp_sd1-5-fpn_1xb2-15e_voc12aug-512x512.py')
    assert voc.optim_wrapper.accumulative_counts == 4 and voc.train_dataloader.batch_size == 2
    recipe = recipe_of('tadp/tadp_sd1-5-fpn_1xb2-15e_voc12aug-512x512.py')
    assert set(recipe.values()) == {(1e-5, 1e-2)}


def test_tadp_detector_is_that_of_torchvision():
    """Sizes of anchors, boxes and pooling, which a converted checkpoint needs."""
    model = load('tadp/faster-rcnn_tadp-sd1-5-fpn_1xb2-100e_voc0712-watercolor-512x512.py').model
    anchors = model.rpn_head.anchor_generator
    assert [anchors.scales[0] * stride for stride in anchors.strides] == [32, 64, 128, 256]
    layer = model.roi_head.bbox_roi_extractor.roi_layer
    assert layer.sampling_ratio == 2 and layer.aligned is False


ECODEPTH = [name for name in NAMES if name.startswith('ecodepth/ecodepth') and '_8xb4-25e_' in name]


@pytest.mark.parametrize('name', ECODEPTH)
def test_ecodepth_recipe(name):
    """AdamW 5e-4; the U-Net a hundredth, what is called embeddings ten times; no decay of weights of one axis."""
    recipe, model = recipe_of(name), model_of(name)
    shapes = {weight: value.shape for weight, value in model.named_parameters()}
    assert not any('autoencoder' in weight for weight in recipe)
    for weight, found in recipe.items():
        lr = 5e-6 if weight.startswith('backbone.unet.') else 5e-3 if 'embeddings' in weight else 5e-4
        assert found == pytest.approx((lr, 0 if len(shapes[weight]) == 1 else 0.1)), weight
    has_vit = any('classifier.vit' in weight for weight in recipe)
    assert has_vit == ('-v2' in name) and any('embeddings' in weight for weight in recipe)


@pytest.mark.parametrize('name', ECODEPTH)
def test_ecodepth_protocol(name):
    config = load(name)
    head, is_second = config.model.decode_head, '-v2' in name
    assert (head.padding, head.cut) == (('grey', 'decoded') if is_second else ('black', 'depth'))
    assert head.loss_decode.loss_weight == (1.0 if is_second else 10.0) and head.loss_decode.variance_focus == 0.85
    assert config.train_dataloader.batch_size == 4 and config.train_cfg.max_epochs == 25
    assert config.model.backbone.scale_latents and config.model.test_cfg.flip
    kinds = [transform.type for transform in config.train_dataloader.dataset.pipeline]
    if 'kitti' in name:
        assert config.model.test_cfg == dict(mode='blend', crop_width=640, overlap=64, flip=True)
        assert 'RandomDepthMix' not in kinds and 'RandomCrop' in kinds
    else:
        assert config.model.test_cfg == dict(mode='whole', flip=True)
        assert 'RandomDepthMix' in kinds and 'RandomCrop' not in kinds
    if name not in ZERO_SHOT:
        assert config.val_evaluator.clamp and config.val_evaluator.crop_type in ('nyu_crop', 'garg_crop')


@pytest.mark.parametrize('name', ZERO_SHOT)
def test_zero_shot_tests(name):
    config = load(name)
    assert len(config.test_dataloader) == len(config.test_evaluator) == 4
    assert all(metric.clamp and 'align' not in metric for metric in config.test_evaluator)


def build_unmapped(config):
    """Channels of the backbone without cross-attention maps."""
    with torch.device('meta'):
        return MODELS.build(dict(config.model.backbone, cross_attention=None)).out_channels


@pytest.mark.parametrize('name', NAMES)
def test_training_resolves(name):
    config = load(name)
    for phase in ('train', 'val', 'test'):
        resolve(LOOPS, config[f'{phase}_cfg'])
    assert isinstance(VISUALIZERS.build(config.visualizer), Visualizer)
    hooks = [HOOKS.build(hook) for hook in [*config.default_hooks.values(), *config.custom_hooks]]
    assert all(isinstance(hook, Hook) for hook in hooks)
    assert {RandomStateHook, CheckFiniteHook} <= {type(hook) for hook in hooks}
    optimizer = build_optim_wrapper(model_of(name), config.optim_wrapper)
    if type(optimizer.optimizer) is torch.optim.AdamW:
        assert optimizer.optimizer.defaults['fused'] or isinstance(optimizer, LowMemoryOptimWrapper)
    for scheduler in as_list(config.param_scheduler):
        built = PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optimizer, epoch_length=1009))
        assert built.optimizer is optimizer


def recipe_of(name):
    """Learning rate and weight decay of every trained weight, by its name."""
    config = load(name)
    model = model_of(name)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    assert type(wrapper.optimizer) is torch.optim.AdamW
    groups = {id(param): group for group in wrapper.optimizer.param_groups for param in group['params']}
    assert {group['betas'] for group in groups.values()} == {(0.9, 0.999)}
    named = {id(weight): name for name, weight in model.named_parameters() if weight.requires_grad}
    return {named[key]: (group['lr'], group['weight_decay']) for key, group in groups.items() if key in named}


@pytest.fixture(scope='module')
def recipe():
    return recipe_of(VPD)


@pytest.mark.parametrize(
    ('name', 'lr', 'weight_decay'),
    [
        ('unet.conv_in.weight', 8e-6, 1e-3),
        ('unet.time_embedding.linear_1.bias', 8e-6, 1e-3),
        ('unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight', 8e-6, 1e-3),
        ('unet.mid_block.attentions.0.proj_in.weight', 8e-6, 1e-3),
        # The key 'norm' has no rate of its own, so these train at the full one: a quirk of the official recipe.
        ('unet.down_blocks.0.attentions.1.transformer_blocks.0.norm2.weight', 8e-5, 0),
        ('unet.up_blocks.3.attentions.2.norm.bias', 8e-5, 0),
        # Called in_layers.0 and out_layers.0 there, which 'norm' does not match.
        ('unet.up_blocks.0.resnets.1.norm1.weight', 8e-6, 1e-3),
        ('unet.mid_block.resnets.0.norm2.bias', 8e-6, 1e-3),
        ('prompts.adapter.gamma', 8e-5, 1e-3),
        ('prompts.adapter.mlp.0.weight', 8e-5, 1e-3),
    ],
)
def test_vpd_backbone_recipe(recipe, name, lr, weight_decay):
    assert recipe[f'backbone.{name}'] == pytest.approx((lr, weight_decay))


def test_vpd_recipe_of_everything(recipe):
    assert not any('autoencoder' in name for name in recipe)
    for name, found in recipe.items():
        in_unet, in_resnet = name.startswith('backbone.unet.'), '.resnets.' in name
        norm = re.search(r'\.norm\d?\.', name) and not in_resnet
        expected = (8e-5, 0) if norm else (8e-6, 1e-3) if in_unet else (8e-5, 1e-3)
        assert found == pytest.approx(expected), name
    assert sum(name.startswith(('neck.', 'decode_head.')) for name in recipe) > 20


def learning_rates(config, num_iters, epoch_length=None):
    """Of the first iterations."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=config.optim_wrapper.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optimizer, epoch_length=epoch_length))
        for scheduler in as_list(config.param_scheduler)
    ]
    rates = []
    optimizer.step()  # once suffices: the schedulers only count
    for _ in range(num_iters):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    return rates


def test_vpd_learning_rate():
    """Linear warm-up over 1500 of 80,000 iterations, times a linear decay to zero."""
    rates = learning_rates(load(VPD), 4001)
    for iteration in (0, 750, 1500, 4000):
        warm_up = min(1, 1e-6 + (1 - 1e-6) * iteration / 1500)
        assert rates[iteration] == pytest.approx(8e-5 * warm_up * (1 - iteration / 80000), rel=1e-6)


@pytest.mark.parametrize('name', SMALL_GPU)
def test_recipe_for_a_small_gpu_updates_as_the_official_one(name):
    """As many updates of as many images, at the same rates: schedulers step for each batch, updates take several."""
    official = load(METAPROMPTS['ade20k-512x512'] if name.startswith('metaprompts') else VPD)
    config = load(name)
    batches = config.optim_wrapper.accumulative_counts
    assert config.train_dataloader.batch_size * batches == 8 * official.train_dataloader.batch_size
    assert f'_1xb{config.train_dataloader.batch_size}-{80 * batches}k_' in name
    for phase in ('max_iters', 'val_interval'):
        assert config.train_cfg[phase] == batches * official.train_cfg[phase]
    assert config.default_hooks.checkpoint.interval == batches * official.default_hooks.checkpoint.interval
    for ours, theirs in zip(config.param_scheduler, official.param_scheduler, strict=True):
        assert (ours.end - 1) == batches * (theirs.end - 1) and ours.type == theirs.type
    rates = learning_rates(config, 2000 * batches)[batches - 1 :: batches]
    expected = learning_rates(official, 2001)
    # An update uses the rate of its last batch, which is less than one update later in the schedule.
    for rate, now, following in zip(rates, expected, expected[1:], strict=False):
        assert min(now, following) * (1 - 1e-9) <= rate <= max(now, following) * (1 + 1e-9)


@pytest.mark.parametrize('name', SMALL_GPU)
def test_recipe_for_a_small_gpu_trains_all_that_the_official_one_does(name):
    official = METAPROMPTS['ade20k-512x512'] if name.startswith('metaprompts') else VPD
    config, model = load(name), model_of(name)
    assert config.model.backbone.with_cp and type(model) is type(model_of(official))
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    groups = {id(param): group for group in wrapper.optimizer.param_groups for param in group['params']}
    expected = recipe_of(official)
    for weight_name, weight in model.named_parameters():
        if weight.requires_grad:
            group = groups[id(weight)]
            assert (group['lr'], group['weight_decay']) == pytest.approx(expected[weight_name]), weight_name


def test_vpd_multi_scale_protocol():
    """Scales of (2048, 512) and a flip, each in both directions: ten views."""
    config = load(VPD)
    resizes, flips = config.tta_pipeline[1].transforms[:2]
    assert [resize.scale for resize in resizes] == [(2048, 512), (2304, 576), (2560, 640), (2816, 704), (3072, 768)]
    assert [flip.prob for flip in flips] == [0.0, 1.0]
    assert config.tta_model.type == 'BatchedSegTTAModel'
    assert config.model.test_cfg == dict(mode='slide', crop_size=(512, 512), stride=(341, 341), window_batch=8)


def test_vpd_depth_recipe():
    """AdamW 5e-4, the U-Net a hundredth of it; weights of one axis and biases do not decay."""
    recipe = recipe_of(VPD_DEPTH)
    shapes = {name: weight.shape for name, weight in model_of(VPD_DEPTH).named_parameters()}
    assert not any('autoencoder' in name for name in recipe)
    for name, found in recipe.items():
        lr = 5e-6 if name.startswith('backbone.unet.') else 5e-4
        assert found == pytest.approx((lr, 0 if len(shapes[name]) == 1 else 0.1)), name
    assert {'backbone.prompts.adapter.gamma', 'decode_head.decoder.deconv_layers.0.weight'} <= set(recipe)


def test_vpd_depth_learning_rate():
    """From 3e-5 up to 5e-4 in 12 epochs, down again in 12, and one epoch more; power 0.9 in both directions."""
    epoch = 10
    rates = learning_rates(load(VPD_DEPTH), 25 * epoch, epoch)
    for iteration, rate in enumerate(rates):
        x = (iteration + 1) / (12 * epoch)
        expected = 3e-5 + 4.7e-4 * x**0.9 if x < 1 else 5e-4 - 4.7e-4 * min(x - 1, 1) ** 0.9
        assert rate == pytest.approx(expected, rel=1e-9), iteration
    assert max(rates) == rates[12 * epoch - 1] == pytest.approx(5e-4)
    assert rates[24 * epoch - 1 :] == pytest.approx([3e-5] * (epoch + 1))


def test_vpd_depth_protocol():
    config = load(VPD_DEPTH)
    assert config.model.test_cfg == dict(mode='shift', num_windows=2, flip=True)
    assert config.train_dataloader.batch_size == 3 and config.train_dataloader.drop_last
    assert config.train_cfg.max_epochs == 25


@pytest.mark.parametrize(('size', 'stride', 'resized'), [(480, 160, (2000, 480)), (512, 128, (2048, 512))])
def test_mmseg_depth_is_the_recipe_of_mmseg(size, stride, resized):
    """Compared with the config that mmseg ships."""
    ours = load(MMSEG_DEPTH[size])
    theirs = get_shipped_config(f'mmseg::vpd/vpd_sd_4xb8-25k_nyu-{size}x{size}.py')
    windows = dict(mode='slide_flip', crop_size=(size, size), stride=(stride, stride))
    assert theirs.model.test_cfg == windows and ours.model.test_cfg == dict(windows, window_batch=4)
    for part in ('param_scheduler', 'train_cfg'):
        assert without_scope(ours[part]) == without_scope(theirs[part])
    assert ours.optim_wrapper.optimizer == dict(theirs.optim_wrapper.optimizer, fused=True)
    assert ours.train_dataloader.batch_size == theirs.train_dataloader.batch_size == 8
    pipeline = [transform for transform in ours.train_dataloader.dataset.pipeline if transform.type != 'CheckDepth']
    assert pipeline[0] == dict(type='LoadRGBImageFromFile')  # mmseg's, with more checks
    assert without_scope(pipeline[1:]) == without_scope(theirs.train_dataloader.dataset.pipeline[1:])
    assert ours.test_dataloader.dataset.pipeline[1] == dict(type='Resize', scale=resized, keep_ratio=True)
    for name, (lr, weight_decay) in recipe_of(MMSEG_DEPTH[size]).items():
        assert lr == pytest.approx(1e-5 if name.startswith('backbone.unet.') else 1e-3), name
        assert weight_decay == (0 if name.endswith('.bias') else 0.1), name


def without_scope(config):
    if isinstance(config, (list, tuple)):
        return [without_scope(part) for part in config]
    if isinstance(config, dict):
        return {key: without_scope(value) for key, value in config.items() if key != '_scope_'}
    return config


@pytest.mark.parametrize('data', VPD_REFER)
def test_vpd_refer_protocol(data):
    """32 objects a step for 40 epochs, squashed to 512 pixels; loss weights 0.9 and 1.1; 40 tokens, RefCOCOg 77."""
    config = load(VPD_REFER[data])
    assert config.model.backbone.prompts.max_length == (77 if data == 'refcocog' else 40)
    assert config.train_dataloader.batch_size == 4 and config.train_dataloader.drop_last
    assert config.train_cfg.max_epochs == 40 and config.log_processor.by_epoch
    assert config.model.decode_head.loss_decode.class_weight == [0.9, 1.1]
    assert config.train_dataloader.dataset.ann_file == f'{data}/instances.json'
    split_by = 'umd' if data == 'refcocog' else 'unc'
    assert config.test_dataloader.dataset.split_file == f'{data}/refs({split_by}).p'


def test_vpd_refer_recipe():
    """One learning rate; of what the original calls a norm, nothing decays."""
    recipe = recipe_of(VPD_REFER['refcoco'])
    assert not any('autoencoder' in name or 'text_encoder' in name for name in recipe)
    for name, found in recipe.items():
        norm = re.search(r'\.norm\d?\.', name) and '.resnets.' not in name
        assert found == pytest.approx((5e-5, 0 if norm else 1e-2)), name
    assert {'backbone.unet.conv_in.weight', 'backbone.prompts.adapter.gamma', 'decode_head.conv_seg.bias'} < set(recipe)


def test_vpd_refer_learning_rate():
    """Polynomial of power 0.9, iteration by iteration; the last rate is not zero."""
    epoch = 50
    rates = learning_rates(load(VPD_REFER['refcoco']), 40 * epoch, epoch)
    expected = [5e-5 * (1 - iteration / (40 * epoch)) ** 0.9 for iteration in range(40 * epoch)]
    assert rates == pytest.approx(expected, rel=1e-9)
    assert rates[-1] == pytest.approx(5e-5 / 2000**0.9)


@pytest.mark.parametrize('data', METAPROMPTS)
def test_metaprompts_protocol(data):
    """Three passes, 150 prompts, one image per device; windows as large as the crop; 0.5 to 2.0 times the scale."""
    config = load(METAPROMPTS[data])
    model = model_of(METAPROMPTS[data])
    crop, stride, batch = {'ade20k-512x512': (512, 341, 8), 'cityscapes-1024x1024': (1024, 512, 2)}[data]
    assert model.backbone.num_refine_steps == len(model.backbone.learned_timesteps) == 3
    assert model.backbone.prompts.num_prompts == 150 and model.neck.out_channels == (150,) * 4
    windows = dict(crop_size=(crop, crop), stride=(stride, stride), window_batch=batch)
    assert config.model.test_cfg == dict(mode='slide', **windows)
    assert config.model.data_preprocessor.size == (crop, crop)
    assert config.train_dataloader.batch_size == 1 and config.train_cfg.max_iters == 80000
    losses = [(loss.type, loss.loss_weight) for loss in config.model.decode_head.loss_decode]
    assert losses == [('CrossEntropyLoss', 1.0), ('LovaszLoss', 1.0)]
    assert config.model.auxiliary_head.loss_decode.loss_weight == 0.4
    resizes, flips = config.tta_pipeline[1].transforms[:2]
    assert [resize.scale for resize in resizes] == [(quarter * 512, quarter * crop // 4) for quarter in range(2, 9)]
    assert [flip.prob for flip in flips] == [0.0, 1.0]


def test_metaprompts_recipe():
    """As VPD's; the output layer is a part of the U-Net, prompts and time embeddings are not."""
    recipe = recipe_of(METAPROMPTS['ade20k-512x512'])
    assert not any('autoencoder' in name for name in recipe)
    for name, found in recipe.items():
        norm = re.search(r'\.norm\d?\.', name) and '.resnets.' not in name
        expected = (8e-5, 0) if norm else (8e-6, 1e-3) if name.startswith('backbone.unet.') else (8e-5, 1e-3)
        assert found == pytest.approx(expected), name
    assert {'backbone.unet.conv_norm_out.weight', 'backbone.learned_timesteps.2', 'neck.levels.3.1.bias'} < set(recipe)
    assert recipe['backbone.prompts.embeddings.0'] == pytest.approx((8e-5, 1e-3))


@pytest.mark.parametrize('data', METAPROMPTS_DEPTH)
def test_metaprompts_depth_protocol(data):
    """Three passes with 50 prompts each; three images per device for 25 epochs; the images are enlarged."""
    config = load(METAPROMPTS_DEPTH[data])
    model = model_of(METAPROMPTS_DEPTH[data])
    cells, depth, windows, crop = {'nyu-480x480': (1, 10.0, 2, 480), 'kitti-352x352': (2, 80.0, 16, 352)}[data]
    test_cfg = dict(config.model.test_cfg)
    assert test_cfg.pop('window_batch', None) == (8 if windows > 8 else None)
    assert test_cfg == dict(mode='shift', num_windows=windows, flip=True)
    assert model.decode_head.max_depth == depth
    assert config.model.data_preprocessor.size == (crop, crop)
    enlarged = model.decode_head.fit_images(torch.empty(1, 3, crop, crop, device='meta'))
    assert enlarged.shape[2:] == ((crop // 64 + cells) * 64,) * 2
    prompts = model.backbone.prompts
    assert [tuple(embeddings.shape) for embeddings in prompts.embeddings] == [(50, 768)] * 3
    assert len(prompts.adapters) == 3 and not any('gamma' in name for name, _ in prompts.named_parameters())
    assert config.train_dataloader.batch_size == 3 and config.train_cfg.max_epochs == 25


@pytest.mark.parametrize('name', [VPD_DEPTH, *METAPROMPTS_DEPTH.values()])
def test_original_depth_recipes_broadcast_the_statistics_of_batch_norm(name):
    wrapper = load(name).model_wrapper_cfg
    assert wrapper == dict(type='MMDistributedDataParallel', broadcast_buffers=True)


@pytest.mark.parametrize('name', MMSEG_DEPTH.values())
def test_mmseg_depth_uses_the_default_wrapper_of_mmengine(name):
    """It does not broadcast buffers."""
    assert 'model_wrapper_cfg' not in load(name)


def test_scenes_are_matched_as_in_the_recipes():
    for name, match in {VPD_DEPTH: 'part', **dict.fromkeys(MMSEG_DEPTH.values(), 'whole')}.items():
        config = load(name)
        for phase in ('train', 'val', 'test'):
            assert config[f'{phase}_dataloader'].dataset.get('scene_match', 'whole') == match


def test_class_embeddings_of_ade20k_are_of_one_sentence():
    prompts = model_of('vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py').backbone.prompts
    assert prompts.templates == ('a photo of a {}',)


def test_metaprompts_depth_recipe():
    """As VPD's: the U-Net, and with it its output layer, at a hundredth of the rate."""
    recipe = recipe_of(METAPROMPTS_DEPTH['nyu-480x480'])
    for name, (lr, _) in recipe.items():
        assert lr == pytest.approx(5e-6 if name.startswith('backbone.unet.') else 5e-4), name
    assert recipe['neck.levels.2.conv_layers.0.bias'] == pytest.approx((5e-4, 0))
    assert recipe['backbone.prompts.embeddings.1'] == pytest.approx((5e-4, 0.1))


def test_metaprompts_with_one_pass():
    """That of the fine annotations but for the passes and the images labelled by a network."""
    three = load(METAPROMPTS['cityscapes-1024x1024'])
    one_pass = 'metaprompts/metaprompts_sd1-5-upernet-1pass_8xb1-80k_cityscapes-extra-1024x1024.py'
    one = load(one_pass)
    assert len(model_of(one_pass).backbone.learned_timesteps) == 1
    fine, extra = one.train_dataloader.dataset.datasets
    assert fine.data_prefix == three.train_dataloader.dataset.data_prefix
    assert extra.data_prefix == dict(img_path='leftImg8bit/train_extra', seg_map_path='convert_autolabelled')
    assert without_scope(extra.pipeline) == without_scope(three.train_dataloader.dataset.pipeline)
    three.model.backbone.num_refine_steps = 1
    assert one.model == three.model and one.optim_wrapper == three.optim_wrapper


def test_metaprompts_on_mapillary():
    """The model and the pipelines of the run on Cityscapes that goes on from it."""
    mapillary = load('metaprompts/metaprompts_sd1-5-upernet-1pass_8xb1-80k_mapillary-1024x1024.py')
    cityscapes = load('metaprompts/metaprompts_sd1-5-upernet-1pass_8xb1-80k_cityscapes-extra-1024x1024.py')
    assert mapillary.model == cityscapes.model and mapillary.optim_wrapper == cityscapes.optim_wrapper
    fine = cityscapes.train_dataloader.dataset.datasets[0]
    assert without_scope(mapillary.train_dataloader.dataset.pipeline) == without_scope(fine.pipeline)
    assert {loader.dataset.type for loader in (mapillary.train_dataloader, mapillary.val_dataloader)} == {
        'MapillaryAsCityscapesDataset'
    }
    assert without_scope(mapillary.tta_pipeline) == without_scope(cityscapes.tta_pipeline)


@pytest.mark.parametrize('name', POSE)
def test_crop_and_flip_test_go_with_the_codec(name):
    """UDP crops by the distance between pixel centres and needs no shift of the mirrored heatmaps; sigma by size."""
    config = load(name)
    is_udp = 'udp' in name or 'tiny' in name or 'sdpose' in name
    codec = config.model.head.decoder
    assert codec.type == ('UDPHeatmap' if is_udp else 'MSRAHeatmap') and config.codec == codec
    assert config.model.test_cfg.flip_test and config.model.test_cfg.shift_heatmap is not is_udp
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        crops = [transform for transform in loader.dataset.pipeline if transform.type == 'TopdownAffine']
        assert [(crop.input_size, crop.get('use_udp', False)) for crop in crops] == [(codec.input_size, is_udp)]
    height, width = map(int, re.search(r'(\d+)x(\d+)\.py', name).groups())
    assert tuple(codec.input_size) == (width, height)
    sigmas = {1024: 6, 512: 3, 256: 1.5, 128: 1.5} if 'sdpose' in name else {256: 2, 384: 3, 128: 1.5}
    assert codec.sigma == sigmas[height]


@pytest.mark.parametrize('name', DETECTION)
def test_detected_classes_agree(name):
    """Prompts of classes have the names of the data set, in its order; every head has as many classes."""
    config = load(name)
    model = model_of(name)
    heads = [module for part, module in model.named_modules() if hasattr(module, 'num_classes') and part != 'rpn_head']
    for phase in ('train', 'val', 'test'):
        for dataset in parts_of(config[f'{phase}_dataloader'].dataset):
            classes = dataset.get('metainfo', resolve(DATASETS, dataset).METAINFO)['classes']
            if name not in CAPTIONED:
                assert tuple(classes) == model.backbone.prompts.classes
            assert {head.num_classes for head in heads} == {len(classes)}
    assert 'NumClassCheckHook' in [hook.type for hook in config.custom_hooks]


@pytest.mark.parametrize('name', STOCK_DETECTORS)
def test_detection_is_the_recipe_of_mmdet(name):
    """But for the backbone, what adapts the strides, and the optimizer."""
    ours, theirs = load(name), get_shipped_config(f'mmdet::{STOCK_DETECTORS[name]}')
    for part in ('train_cfg', 'param_scheduler', 'train_dataloader', 'val_dataloader', 'val_evaluator'):
        assert without_scope(ours[part]) == without_scope(theirs[part]), part
    changed = {'data_preprocessor', 'backbone', 'neck'}
    assert {
        key for key in theirs.model if without_scope(ours.model[key]) != without_scope(theirs.model[key])
    } == changed
    fpn = ours.model.neck[-1] if 'roi_head' in ours.model else ours.model.neck
    assert fpn.num_outs == theirs.model.neck.num_outs and fpn.out_channels == theirs.model.neck.out_channels


@pytest.mark.parametrize('name', STOCK_DETECTORS)
def test_detection_rates(name):
    """The U-Net at a tenth, all of it."""
    recipe = recipe_of(name)
    assert not any('autoencoder' in part for part in recipe)
    for part, found in recipe.items():
        assert found == pytest.approx((1e-5 if part.startswith('backbone.unet.') else 1e-4, 1e-2)), part
    assert 'backbone.prompts.adapter.gamma' in recipe and any(part.startswith('neck.') for part in recipe)


@pytest.mark.parametrize('name', BIG_TRAINING.values())
def test_big_training_is_the_recipe_of_vpd(name):
    ours, vpd = load(name), load(VPD)
    assert ours.runner_type == 'FlexibleRunner'
    assert issubclass(resolve(RUNNERS, dict(type=ours.runner_type)), FlexibleRunner)
    assert issubclass(resolve(STRATEGIES, ours.strategy), BaseStrategy)
    assert {key for key in vpd if ours[key] != vpd[key]} <= {'optim_wrapper'}
    assert recipe_of(name) == recipe_of(VPD)


def test_units_of_fsdp():
    config = load(BIG_TRAINING['fsdp'])
    policy = FUNCTIONS.get(config.strategy.model_wrapper.auto_wrap_policy)
    unet = model_of(BIG_TRAINING['fsdp']).backbone.unet
    sizes = [sum(map(torch.numel, part.parameters())) for part in unet.modules() if policy(part, False, 0)]
    everything = sum(map(torch.numel, unet.parameters()))
    assert len(sizes) > 30 and max(sizes) < everything / 16 and sum(sizes) > 0.9 * everything
