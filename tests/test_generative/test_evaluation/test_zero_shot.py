import json
import re

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from pages import ROOT, run_snippet, snippet

from mmdiffperc.generative import FollowProtocol, ZeroShotDepthMetric
from mmdiffperc.generative.evaluation.protocols import DEPTH_PROTOCOLS, PROTOCOLS, DepthProtocol
from mmdiffperc.generative.evaluation.zero_shot import paper_table
from mmdiffperc.generative.target_inferencer import resized_side
from mmdiffperc.registry import METRICS, TRANSFORMS

PUBLISHED = sorted((ROOT / 'configs/one_step/published').glob('*.py'))


def results_of(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    target = np.arange(height * width, dtype=np.float32).reshape(height, width)
    shape = (height, width)
    fields = dict(gt_target=target, gt_valid=target > 5, seg_fields=['gt_target', 'gt_valid'])
    return dict(img=image, img_path='a.png', ori_shape=shape, img_shape=shape, **fields)


def test_kitti_is_cropped():
    found = FollowProtocol('kitti_depth')(results_of(375, 1242))
    original = results_of(375, 1242)
    for key in ('img', 'gt_target', 'gt_valid'):
        assert (found[key] == original[key][23:, 13:1229]).all()
    assert found['ori_shape'] == found['img_shape'] == (352, 1216)
    with pytest.raises(ValueError, match=r'a\.png.*300 x 1242.*352 x 1216'):
        FollowProtocol('kitti_depth')(results_of(300, 1242))


def test_only_the_image_is_resized():
    """The longer side becomes 640; a constant column stays constant."""
    results = results_of(96, 128)
    results['img'][:] = np.arange(128, dtype=np.uint8)[None, :, None]
    found = FollowProtocol('diode_depth')(results)
    assert found['img'].shape == (480, 640, 3) and found['img'].dtype == np.uint8
    assert found['img_shape'] == (480, 640) and found['ori_shape'] == (96, 128)
    assert found['gt_target'].shape == (96, 128)
    assert (
        found['img'].std(0).max() == 0 and abs(found['img'][0, :, 0].astype(float) - np.linspace(0, 127, 640)).max() < 1
    )


@pytest.mark.parametrize('protocol', ['nyu_depth', 'ibims_normals'])
def test_images_may_keep_their_size(protocol):
    found = FollowProtocol(protocol)(results_of(20, 30))
    assert (found['img'] == results_of(20, 30)['img']).all() and found['img_shape'] == (20, 30)


def test_protocols_are_complete():
    assert {name.rpartition('_')[2] for name in PROTOCOLS} == {'depth', 'normals'}
    for name, protocol in DEPTH_PROTOCOLS.items():
        metric = ZeroShotDepthMetric(name)
        assert 0 < metric.min_depth < metric.max_depth and metric.align == 'least_squares'
        assert (metric.crop_type, metric.max_align_size) == (protocol.crop_type, protocol.max_align_size)
        assert metric.prefix == name and 'http' in protocol.source
    assert ZeroShotDepthMetric('sintel_depth', align=None, prefix='s').prefix == 's'


@pytest.mark.parametrize('build', [FollowProtocol, ZeroShotDepthMetric])
def test_unknown_protocol(build):
    with pytest.raises(ValueError, match="protocol='nyu'.*'nyu_depth'"):
        build('nyu')


def test_table():
    metrics = {'nyu_depth/abs_rel': 0.0543, 'nyu_depth/rmse': 0.2, 'nyu_depth/d1': 0.965, 'kitti_depth/abs_rel': 0.1}
    assert paper_table(metrics).splitlines() == [
        '| data set | AbsRel (%) | δ1 (%) |',
        '| --- | ---: | ---: |',
        '| nyu_depth | 5.43 | 96.50 |',
        '| kitti_depth | 10.00 |  |',
    ]
    assert '| ibims | 17.10 | 62.30 |' in paper_table({'ibims/pooled_mean': 17.1, 'ibims/pooled_11.25': 0.623})


@pytest.fixture
def config(toy_root, tmp_path):
    """One model, and a few toy scenes of two splits as two data sets."""

    def loader(split, protocol, number):
        pipeline = [
            dict(type='LoadImageFromFile'),
            dict(type='LoadTarget', mode='F'),
            dict(type='FollowProtocol', protocol=protocol),
            dict(type='PackTargetInputs'),
        ]
        prefix = dict(img_path=split, target_path=f'targets/{split}/depth')
        dataset = dict(
            type='ImageTargetDataset', data_root=str(toy_root / 'dmp'), data_prefix=prefix, pipeline=pipeline
        )
        dataset['indices'] = number
        return dict(batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)

    return dict(
        model=dict(
            type='DeterministicDiffusion',
            arch='tiny-sd',
            target_mode='F',
            target_scale=10.0,
            use_prompts=False,
            num_steps=1,
            init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
        ),
        test_dataloader=[loader('train', 'scannet_depth', 3), loader('val', 'sintel_depth', 2)],
        test_evaluator=[
            dict(type='ZeroShotDepthMetric', protocol='scannet_depth', per_image_file=str(tmp_path / 'images.json')),
            [dict(type='ZeroShotDepthMetric', protocol='sintel_depth'), dict(type='DepthMapMetric', prefix='metric')],
        ],
        test_cfg=dict(type='ZeroShotTestLoop'),
        work_dir=str(tmp_path),
        default_scope='mmseg',
        experiment_name=tmp_path.name,
    )


def run(config):
    runner = Runner(**config)
    runner.model.init_weights()
    return runner, runner.test()


def test_two_data_sets_in_one_run(config, tmp_path):
    runner, found = run(config)
    assert {name.partition('/')[0] for name in found} == {'scannet_depth', 'sintel_depth', 'metric'}
    log = next(tmp_path.rglob('*.log')).read_text()
    assert re.search(rf'\| scannet_depth \| {100 * found["scannet_depth/abs_rel"]:.2f} \|', log)
    stored = json.loads(next(path for path in tmp_path.glob('*/*.json')).read_text())
    assert stored['sintel_depth/d1'] == pytest.approx(found['sintel_depth/d1'])

    rows = json.loads((tmp_path / 'images.json').read_text())
    assert len(rows) == 3
    assert np.mean([row['rmse'] for row in rows]) == pytest.approx(found['scannet_depth/rmse'])

    expected = []
    for batch in runner.build_dataloader(config['test_dataloader'][1]):
        for sample in runner.model.test_step(batch):
            pred, truth = (getattr(sample, key).data.double().numpy() for key in ('pred_target', 'gt_target'))
            compared = (truth > 1e-5) & (truth < 72)
            pred, truth = pred[compared], truth[compared]
            fit = np.linalg.lstsq(np.stack([pred, np.ones_like(pred)], 1), truth, rcond=None)[0]
            fitted = (fit[0] * pred + fit[1]).clip(1e-5, 72)
            expected.append(np.mean(abs(fitted - truth) / truth))
    assert len(expected) == 2
    assert found['sintel_depth/abs_rel'] == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(test_evaluator=[dict(type='DepthMapMetric')]), r'2 data loaders.*\b1\b'),
        (dict(test_evaluator=dict(type='DepthMapMetric')), 'evaluator=.*list with the metric'),
        (dict(test_evaluator=[dict(type='DepthMapMetric')] * 2), 'several.*prefix None'),
    ],
)
def test_bad_lists(config, changes, message):
    with pytest.raises(ValueError, match=message):
        Runner(**config | changes).test()


@pytest.mark.parametrize('task', ['depth', 'normals'])
def test_published_data_sets(task):
    """The folder, the list, the loader, the protocol and the metric of each data set belong together."""
    init_default_scope('mmseg')
    bases = Config.fromfile(ROOT / f'configs/_base_/datasets/zero_shot_{task}.py')
    names = list(bases.zero_shot_lists)
    assert set(names) <= {name for name in PROTOCOLS if name.endswith(task)}
    evaluators = [METRICS.build(evaluator) for evaluator in bases.zero_shot_evaluators]
    assert [evaluator.prefix for evaluator in evaluators] == names
    for name, loader in zip(names, bases.zero_shot_dataloaders, strict=True):
        loads, follows = loader.dataset.pipeline[1:3]
        assert loads.format in (name, 'marigold_normals') and follows.protocol == name
        assert f'data_split/{name}/' in loader.dataset.ann_file and loader.dataset.data_prefix.target_path.endswith(
            name
        )
        assert all(callable(TRANSFORMS.build(transform)) for transform in loader.dataset.pipeline)


@pytest.mark.parametrize('config', PUBLISHED, ids=lambda path: path.stem)
def test_published_models_have_a_test(config):
    """On the data of their target; disparity is aligned as disparity. Prediction does not resize its images."""
    cfg, task = Config.fromfile(config), 'normals' if 'normals' in config.stem else 'depth'
    bases = Config.fromfile(ROOT / f'configs/_base_/datasets/zero_shot_{task}.py')
    assert cfg.test_cfg.type == 'ZeroShotTestLoop' and cfg.test_dataloader == bases.zero_shot_dataloaders
    evaluators = [METRICS.build(evaluator) for evaluator in cfg.test_evaluator]
    assert [evaluator.prefix for evaluator in evaluators] == list(bases.zero_shot_lists)
    if task == 'depth':
        disparity = cfg.model.get('target_transform') == 'disparity'
        assert {each.align for each in evaluators} == {'least_squares_disparity' if disparity else 'least_squares'}
    assert resized_side(cfg) is None


def read_snippet(name, folder):
    """Bases on the page are relative to the root of the repository."""
    file = folder / 'config.py'
    file.write_text(re.sub(r"'((?:configs|projects)/)", rf"'{ROOT}/\1", snippet(name)))
    return Config.fromfile(file)


def test_documented_configs(tmp_path):
    toy = read_snippet('config: zero-shot test on toy scenes', tmp_path)
    assert [loader.dataset.data_root for loader in toy.test_dataloader] == [
        f'data/toy/dmp_{domain}' for domain in 'bcd'
    ]
    assert all(loader.dataset.pipeline[2].mode == 'F' for loader in toy.test_dataloader)
    published = read_snippet('config: zero-shot test on published data sets', tmp_path)
    for config, number in ((toy, 3), (published, 5)):
        assert config.test_cfg.type == 'ZeroShotTestLoop'
        assert len(config.test_dataloader) == len(config.test_evaluator) == number
        prefixes = {METRICS.build(evaluator).prefix for evaluator in config.test_evaluator}
        assert len(prefixes) == number


def test_documented_protocols():
    rows = re.findall(r'^\| (`\w+_(?:depth|normals)`.*)\|$', (ROOT / 'docs/zero_shot.md').read_text(), re.MULTILINE)
    documented = {}
    for row in rows:
        names, *numbers = row.split('|')
        documented |= dict.fromkeys(re.findall(r'`(\w+)`', names), [number.strip() for number in numbers])
    assert documented == {name: documented_numbers(protocol) for name, protocol in PROTOCOLS.items()}


def documented_numbers(protocol):
    size = str(protocol.processing_size or 'original')
    if not isinstance(protocol, DepthProtocol):
        return ['', 'none', size, '']
    crops = ['benchmark'] * protocol.use_benchmark_crop + [f'`{protocol.crop_type}`'] * bool(protocol.crop_type)
    limits = f'{protocol.min_depth:g} to {protocol.max_depth:g}'
    return [limits, ', '.join(crops) or 'none', size, str(protocol.max_align_size or 'all pixels')]


def test_documented_fit():
    assert run_snippet('run: fit depth')['metres'] == pytest.approx(np.array([[2, 2.5, 3], [3.5, 4, 4.5]]))
