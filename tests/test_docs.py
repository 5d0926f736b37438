"""The guides in ``docs/``: their snippets run, the messages they quote exist, and the reference leaves nothing out."""

import ast
import json
import re
import shlex
from argparse import ArgumentParser

import numpy as np
import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS, init_default_scope
from pages import PAGES, ROOT, quotes, run_snippet, says, write_config
from PIL import Image

from mmdiffperc.engine import HalfPrecisionHook
from mmdiffperc.generative.data.normals_from_depth import Intrinsics
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.config_checks import InitCfg
from mmdiffperc.validation import Validator

DOCS = ROOT / 'docs'
TROUBLES = quotes(DOCS / 'troubleshooting.md')


def settings_on_command_lines(text):
    """The settings behind each ``--cfg-options`` of a text, as a dict."""
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    for line in re.findall(r"--cfg-options ([^`'\n]*=[^`'\n]*)", text.replace('\\\n', ' ')):
        yield parser.parse_known_args(['--cfg-options', *shlex.split(line, comments=True)])[0].cfg_options


def build_on_meta(cfg):
    """The model of a config, without weights."""
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def write_images(folder, names, size=(520, 560), value=None):
    """Write images of noise, or maps that hold one value."""
    folder.mkdir(parents=True)
    for name in names:
        noise = np.random.randint(0, 255, (*size, 3), np.uint8)
        Image.fromarray(noise if value is None else np.full(size, value)).save(folder / name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_backbone_alone(capsys):
    run_snippet('run: backbone alone')
    printed = capsys.readouterr().out.splitlines()
    assert printed == ['64 8 (1, 64, 12, 20)', '96 16 (1, 96, 6, 10)', '128 32 (1, 128, 3, 5)', '128 64 (1, 128, 2, 3)']


def test_half_precision():
    backbone = run_snippet('run: halve')['backbone']
    assert {weight.dtype for weight in backbone.parameters()} == {torch.bfloat16}


def test_half_precision_on_the_command_line():
    (settings,) = settings_on_command_lines((DOCS / 'performance.md').read_text())
    config = Config.fromfile(ROOT / 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py')
    config.merge_from_dict(settings)
    assert isinstance(HOOKS.build(config.default_hooks.half), HalfPrecisionHook)


def test_settings_on_the_command_line_are_read():
    """By the class with which the scripts of all hosts read them."""
    found = [settings for page in PAGES for settings in settings_on_command_lines(page.read_text())]
    assert len(found) > 20 and all(found)


def test_autoencoder_in_half_precision(folder):
    backbone = build_on_meta(Config.fromfile(write_config('config: autoencoder in half precision', folder))).backbone
    assert backbone.autoencoder.vae.dtype == torch.bfloat16 and backbone.unet.dtype == torch.float32


def test_windows_for_large_images(folder):
    model = build_on_meta(Config.fromfile(write_config('config: windows for large images', folder)))
    assert model.test_cfg == dict(
        mode='auto', whole_pixels=2**22, crop_size=(512, 512), stride=(341, 341), window_batch=8
    )


def test_taps(capsys):
    features = run_snippet('run: taps')['features']
    assert capsys.readouterr().out == '(128, 128, 128, 192) (64, 32, 32, 16)\n'
    assert [tuple(feature.shape[2:]) for feature in features] == [(2, 3), (3, 5), (3, 5), (6, 10)]


def test_timesteps_and_noise(capsys):
    run_snippet('run: timesteps and noise')
    assert capsys.readouterr().out == '(128,) (384,)\n'


def test_channels_in_the_table_are_those_of_the_backbone():
    table = (DOCS / 'swap_in.md').read_text()
    stable_diffusion, sdxl = 'SD 1.4, 1.5, 2.1', 'SDXL, SDXL-Turbo'
    rows = {'sd1-5': stable_diffusion, 'sd2-1': stable_diffusion, 'sdxl': sdxl, 'tiny-sd': 'tiny-sd'}
    for arch, row in rows.items():
        with torch.device('meta'):
            backbone = DiffusionUNet(arch)
        channels, strides = (', '.join(map(str, numbers)) for numbers in (backbone.out_channels, backbone.out_strides))
        assert f'| {row} | {channels} | {strides} |' in table


def test_learning_rates(folder):
    cfg = Config.fromfile(write_config('config: learning rates', folder))
    model = torch.nn.ModuleDict(
        dict(backbone=torch.nn.ModuleDict(dict(unet=torch.nn.Linear(2, 3))), head=torch.nn.Linear(3, 5))
    )
    wrapper = dict(cfg.optim_wrapper, type='OptimWrapper')
    constructor = dict(
        type=wrapper.pop('constructor'), paramwise_cfg=wrapper.pop('paramwise_cfg'), optim_wrapper_cfg=wrapper
    )
    constructor['optim_wrapper_cfg'].pop('_delete_', None)
    groups = OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(model).param_groups
    assert sorted({group['lr'] for group in groups}) == pytest.approx([8e-6, 8e-5])


def test_own_segmentation_data(folder):
    names = ['a', 'b']
    write_images(folder / 'data/trams/images/train', [f'{name}.jpg' for name in names])
    write_images(folder / 'data/trams/labels/train', [f'{name}.png' for name in names], value=np.uint8(2))
    config = write_config('config: own segmentation', folder)
    sample = run_snippet('run: look at the data')['sample']
    assert sample['inputs'].shape == (3, 512, 512)
    assert set(sample['data_samples'].gt_sem_seg.data.unique().tolist()) <= {2, 255}

    cfg = Config.fromfile(config)
    assert DATASETS.build(cfg.train_dataloader.dataset).metainfo['classes'] == ['road', 'tram', 'tram stop']
    assert cfg.val_dataloader.dataset.data_prefix.img_path == 'images/val'
    model = build_on_meta(cfg)
    assert model.backbone.prompts.num_prompts == model.decode_head.num_classes == 3

    write_images(folder / 'data/trams/labels/wrong', [f'{name}.png' for name in names], value=np.uint8(3))
    cfg.train_dataloader.dataset.data_prefix.seg_map_path = 'labels/wrong'
    with pytest.raises(ValueError, match=r'\[3\].*\b3\b'):
        DATASETS.build(cfg.train_dataloader.dataset)[0]


def test_own_depth_data(folder):
    names = ['kitchen_0001.png', 'photo.png']
    write_images(folder / 'data/office/images/train', names)
    write_images(folder / 'data/office/annotations/train', names, value=np.uint16(2500))
    cfg = Config.fromfile(write_config('config: own depth data', folder))
    init_default_scope('mmseg')
    samples = [sample['data_samples'] for sample in DATASETS.build(cfg.train_dataloader.dataset)]
    assert [sample.category_id for sample in samples] == [6, -1]
    assert samples[0].gt_depth_map.data.unique().tolist() == [2.5]
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert METRICS.build(evaluator).crop_type is None


def write_garden(folder):
    """A wall, seen at an angle, in two images; its depth in millimetres, and masks."""
    camera = Intrinsics(600, 600, 319.5, 239.5)
    wall = np.array([0.6, 0, 0.8])
    depth = np.round(-3000 / (camera.rays(480, 640) @ wall)).astype(np.uint16)
    depth[:9], names = 0, ['0001', '0002']
    write_images(folder / 'images', [f'{name}.jpg' for name in names], size=(480, 640))
    for kind in ('depth', 'masks'):
        (folder / kind).mkdir()
    mask = np.full((480, 640), 255, np.uint8)
    mask[-20:] = 0
    for name in names:
        Image.fromarray(depth).save(folder / f'depth/{name}.png')
        Image.fromarray(mask).save(folder / f'masks/{name}.png')
    for kind, target in (('train', 'depth'), ('val', 'depth'), ('train_normals', 'normals')):
        lines = [f'images/{name}.jpg {target}/{name}.png masks/{name}.png\n' for name in names]
        (folder / f'{kind}.txt').write_text('# image target mask\n' + ''.join(lines))
    return wall


def test_own_data_in_one_step(folder, capsys):
    wall = write_garden(folder / 'data/garden')
    cfg = Config.fromfile(write_config('config: own depth in one step', folder))
    assert cfg.train_dataloader.batch_sampler is None
    init_default_scope('mmseg')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        (sample, _) = (item['data_samples'] for item in DATASETS.build(loader.dataset))
        valid = sample.gt_valid.data
        assert valid.shape == (1, 480, 640) and valid.sum() == (480 - 9 - 20) * 640
        assert 2 < sample.gt_target.data[valid].min() < sample.gt_target.data.max() < 7

    run_snippet('run: derive normals')
    # The files have the axes of this package; whoever takes them for those of OpenCV is warned.
    cfg = Config.fromfile(write_config('config: own normals mixed with Hypersim', folder))
    mine, hypersim = cfg.train_dataloader.dataset.datasets
    assert hypersim.ann_file == 'train_normals.txt' and cfg.train_dataloader.batch_sampler.weights == [3, 1]
    with pytest.warns(UserWarning, match="'OpenCV'"):
        DATASETS.build(mine)[0]
    mine.pipeline[1].axes = 'RUB'
    normals = DATASETS.build(mine)[0]['data_samples'].gt_target.data
    assert abs(normals[0].abs().median() - wall[0]) < 0.1 and abs(normals[2].median() - wall[2]) < 0.1

    run_snippet('run: axes of normals')
    assert capsys.readouterr().out.split() == ['RUB']


def test_own_referring_data(folder):
    run_snippet('run: own sentences')
    write_images(folder / 'data/balls/images', ['3.png', '4.png'], size=(90, 120))
    content = dict(
        images=[dict(id=n, file_name=f'{n}.png', height=90, width=120) for n in (3, 4)],
        annotations=[
            dict(id=n + 14, image_id=n, category_id=1, segmentation=[[10, 20, 70, 20, 70, 60, 10, 60]]) for n in (3, 4)
        ],
        categories=[dict(id=1, name='ball')],
    )
    (folder / 'data/balls/instances.json').write_text(json.dumps(content))
    cfg = Config.fromfile(write_config('config: own referring data', folder))
    init_default_scope('mmseg')
    train, test = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.test_dataloader))
    assert len(train) == len(test) == 1
    assert train[0]['data_samples'].text in ('the red ball on the left', 'left ball')
    assert test[0]['data_samples'].text == 'the ball behind the box'
    assert train[0]['data_samples'].gt_sem_seg.data.float().mean().item() == pytest.approx(60 * 40 / (90 * 120), 0.05)


def test_own_pose_data(folder):
    write_images(folder / 'data/people/images', ['1.png'], size=(90, 120))
    person = dict(id=7, image_id=1, category_id=1, bbox=[10, 5, 40, 80], area=3200, iscrowd=0, num_keypoints=17)
    content = dict(
        images=[dict(id=1, file_name='1.png', height=90, width=120)],
        annotations=[dict(person, keypoints=[30, 40, 2] * 17)],
        categories=[dict(id=1, name='person')],
    )
    for split in ('train', 'val'):
        (folder / f'data/people/{split}.json').write_text(json.dumps(content))
    cfg = Config.fromfile(write_config('config: own pose data', folder))
    init_default_scope('mmpose')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        (sample,) = DATASETS.build(loader.dataset)
        assert sample['inputs'].shape == (3, 256, 192)
    assert sample['data_samples'].gt_instances.bboxes.tolist() == [[10, 5, 50, 85]]


def test_forms_of_init_cfg():
    forms = run_snippet('run: forms of init_cfg')
    configs = [form for form in forms.values() if isinstance(form, dict) and 'checkpoint' in form]
    assert len(configs) == 7
    for config in configs:
        Validator(InitCfg | None).check('init_cfg', config)
    backbone = DiffusionUNet('tiny-sd', init_cfg=forms['only_autoencoder'])
    weight = backbone.autoencoder.vae.encoder.conv_in.weight.clone()
    before = backbone.unet.conv_in.weight.clone()
    backbone.init_weights()
    assert not torch.equal(backbone.autoencoder.vae.encoder.conv_in.weight, weight)
    assert torch.equal(backbone.unet.conv_in.weight, before)


def test_parts_of_several_models():
    Validator(InitCfg | None).check('init_cfg', run_snippet('run: part by part')['init_cfg'])
    backbone = run_snippet('run: tiny autoencoder')['backbone']
    with torch.device('meta'):
        assert MODELS.build(backbone).autoencoder.is_tiny


def test_sdxl():
    backbone = run_snippet('run: sdxl')['backbone']
    with torch.device('meta'):
        assert MODELS.build(dict(backbone, prompts=dict(backbone['prompts'], classes=['sky']))).out_strides == (
            4,
            8,
            16,
        )


def test_class_embeddings(folder):
    tiny = {'768': 96, "'sd1-5'": "'tiny-sd'", 'stable-diffusion-v1-5/stable-diffusion-v1-5': 'tiny-sd'}
    run_snippet('run: class embeddings', **tiny)
    classes = ['road', 'tram', 'tram stop']
    ready, computed = (
        DiffusionUNet(
            'tiny-sd',
            prompts=dict(type='ClassPrompts', classes=classes, embeddings=file),
            init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
        )
        for file in ('class_embeddings.pth', None)
    )
    for backbone in (ready, computed):
        backbone.init_weights()
    assert torch.equal(ready.prompts.embeddings, computed.prompts.embeddings)


@pytest.mark.parametrize(('module', 'message'), TROUBLES)
def test_quoted_messages_exist(module, message):
    assert says(module, message.replace('\n', ' '))


def test_every_quoted_message_names_its_source():
    blocks = (DOCS / 'troubleshooting.md').read_text().count('```text\n')
    assert blocks == len(TROUBLES) > 25


def test_a_message_that_nobody_raises_is_noticed():
    assert not says('mmdiffperc.models.checks.channel_check', '... has in_channels=..., but the backbone has')
    assert not says('mmdiffperc.weights.architectures', 'Finds the folder with the configs of an architecture')


def test_reference_lists_every_public_class():
    modules, classes = set(), set()
    for page in (DOCS / 'api').glob('*.rst'):
        modules |= set(re.findall(r'automodule:: (mmdiffperc\S+)', page.read_text()))
        classes |= set(re.findall(r'autoclass:: (?:\S+\.)?(\w+)', page.read_text()))
    for file in sorted((ROOT / 'mmdiffperc').rglob('*.py')):
        module = '.'.join(file.relative_to(ROOT).with_suffix('').parts)
        names = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
        missing = [name for name in names if not name.startswith('_') and name not in classes]
        assert module in modules or not missing, f'{module}: {missing} stand on no page of docs/api'


def test_reference_lists_every_tool():
    listed = (DOCS / 'api' / 'tools.rst').read_text()
    for folder in (ROOT / 'tools', ROOT / 'projects' / 'dmp' / 'tools'):
        for file in folder.rglob('*.py'):
            assert "__name__ == '__main__'" not in file.read_text() or f'``{file.relative_to(ROOT)}``' in listed, file


def test_a_frozen_backbone_keeps_nothing_for_the_backward_pass(folder):
    model = build_on_meta(Config.fromfile(write_config('config: frozen', folder)))
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert all(parameter.requires_grad for parameter in model.decode_head.parameters())


def test_features_of_an_image(monkeypatch):
    monkeypatch.chdir(ROOT)
    features = run_snippet('run: features of an image')['features']
    assert [tuple(feature.shape[1:]) for feature in features] == [(64, 16, 16), (96, 8, 8), (128, 4, 4), (128, 2, 2)]


def test_learning_rates_in_the_answers_are_those_of_the_recipes():
    section = (DOCS / 'faq.md').read_text().partition('## Which learning rate')[2].partition('\n## ')[0]
    rows = re.findall(r'\| ([^|]*) \|[^|]*\| (\d\S*)[^|]*\| (\d\S*)[^|]*\|\n', section)
    rates = {name: (float(new), float(unet)) for name, new, unet in rows}
    configs = {
        'VPD and MetaPrompts, segmentation': 'vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py',
        'VPD and MetaPrompts, depth': 'vpd/vpd_sd1-5_8xb3-25e_nyu-480x480.py',
        "VPD, depth, mmsegmentation's": 'vpd/vpd_sd1-5_4xb8-25k_nyu-480x480.py',
        'VPD, referring segmentation': 'vpd/vpd_sd1-5-refer_8xb4-40e_refcoco-512x512.py',
        'MetaPrompts, pose': 'metaprompts/td-hm_metaprompts-sd1-5_8xb64-210e_coco-256x192.py',
        'detection (ours, untrained)': 'detection/retinanet_sd1-5-fpn_8xb2-1x_coco-1333x800.py',
    }
    assert set(configs) == set(rates)
    for name, config in configs.items():
        wrapper = Config.fromfile(ROOT / 'configs' / config).optim_wrapper
        multipliers = [
            value.get('lr_mult', 1)
            for key, value in wrapper.get('paramwise_cfg', {}).get('custom_keys', {}).items()
            if 'unet' in key
        ]
        rate = wrapper.optimizer.lr
        assert rates[name] == pytest.approx((rate, rate * (multipliers or [1])[0])), name
