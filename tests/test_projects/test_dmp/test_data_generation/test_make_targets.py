import json
import shutil
from pathlib import Path

import make_targets
import numpy as np
import pack_lmdb
import pytest
import target_predictors
import torch
from mmengine.config import Config

from mmdiffperc.generative.data.target_files import decode_target
from mmdiffperc.generative.data.target_stores import FolderTargets, new_database, open_targets, put

CONFIG = Path(__file__).parents[4] / 'projects/dmp/configs/dmp_sd1-4_1xb8-50k_bedroom-segmentation-512x512.py'
SIZES = dict(a=(32, 48), b=(32, 48), c=(40, 32))


def arguments_of(images, kind, *options):
    if kind == 'depth':
        options = '--library', 'diffusers', *options
    return [str(images), '--out', str(images.parent / kind), '--kind', kind, '--device', 'cpu', *options]


def read(folder):
    targets = FolderTargets(folder)
    return {name: decode_target(*targets.read(f'{name}.png')) for name in SIZES}


@pytest.mark.parametrize(
    ('kind', 'pipeline', 'channels', 'dtype'),
    [
        ('normals', 'normals', (3,), np.uint16),
        ('depth', 'depth', (), np.float32),
        ('albedo', 'intrinsics', (3,), np.uint8),
        ('shading', 'intrinsics', (3,), np.uint8),
    ],
)
def test_marigold(images, marigold_folder, kind, pipeline, channels, dtype):
    main = make_targets.main
    arguments = arguments_of(images, kind, '--model', marigold_folder(pipeline))
    assert main([*arguments, '--batch-size', '3']) == 0
    targets = read(images.parent / kind)
    for name, size in SIZES.items():
        assert targets[name].shape == (*size, *channels) and targets[name].dtype == dtype and np.ptp(targets[name]) > 0
    if kind == 'normals':
        lengths = np.linalg.norm(targets['a'] / 32767.5 - 1, axis=-1)
        np.testing.assert_allclose(lengths, 1, atol=1e-3)

    # The same after an interruption, one by one.
    for file in (images.parent / kind).glob('[bc].*'):
        file.unlink()
    assert main(arguments) == 0
    for name, again in read(images.parent / kind).items():
        step = targets[name].max() / (255 if dtype is np.uint8 else 1000)  # sums of another order round differently
        np.testing.assert_allclose(again / 1.0, targets[name] / 1.0, rtol=0, atol=1.01 * step)


def test_processes_and_keys_change_no_target(tmp_path, images, marigold_folder, capsys):
    arguments = arguments_of(images, 'normals', '--model', marigold_folder('normals'))
    main, folder = make_targets.main, images.parent / 'normals'
    assert main(arguments) == 0
    whole = {file.name: file.read_bytes() for file in folder.glob('*.png')}
    shutil.rmtree(folder)
    (tmp_path / 'keys.txt').write_text('c.png\n')
    assert main([*arguments, '--keys', str(tmp_path / 'keys.txt')]) == 0
    assert {file.name: file.read_bytes() for file in folder.glob('*.png')} == {'c.png': whole['c.png']}
    for index in '10':
        assert main([*arguments, '--index', index, '--world-size', '2']) == 0
    assert {file.name: file.read_bytes() for file in folder.glob('*.png')} == whole
    assert [line.split()[-3] for line in capsys.readouterr().out.splitlines()] == ['3', '1', '1', '1']


def test_images_of_an_lmdb(tmp_path, images, marigold_folder):
    """The targets have the names of the keys."""
    database, out = tmp_path / 'db', tmp_path / 'depth'
    database.mkdir()
    with new_database(database, 1 << 20) as environment:
        for name in 'abc':
            put(environment, f'x/{name}', (images / f'{name}.png').read_bytes())
    options = ['--kind', 'depth', '--library', 'diffusers', '--model', marigold_folder('depth'), '--device', 'cpu']
    assert make_targets.main([str(database), '--out', str(out), *options]) == 0
    assert sorted(file.name for file in out.glob('x/*')) == ['a.npz', 'b.npz', 'c.npz']
    assert pack_lmdb.main([str(database), '--targets', str(out), '--out', str(tmp_path / 'packed')]) == 0
    assert open_targets(tmp_path / 'packed').keys() == ['x/a', 'x/b', 'x/c']


def test_albedo_is_not_shading(images, marigold_folder):
    for kind in ('albedo', 'shading'):
        make_targets.main(arguments_of(images, kind, '--model', marigold_folder('intrinsics')))
    assert (read(images.parent / 'albedo')['a'] != read(images.parent / 'shading')['a']).any()


def test_ensemble_and_seed(images, marigold_folder):
    main, folder = make_targets.main, images.parent / 'normals'
    found = []
    for options in (['--ensemble-size', '3'], ['--seed', '1'], []):
        assert main(arguments_of(images, 'normals', '--model', marigold_folder('normals'), *options)) == 0
        found.append(read(folder)['a'])
        shutil.rmtree(folder)
    assert all((one != found[2]).any() for one in found[:2])


def test_depth_of_transformers(tmp_path, images):
    """ZoeDepth, which a config of 8 metres expects, is the default."""
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation, ZoeDepthImageProcessor

    transformer = dict(hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16)
    backbone = BeitConfig(
        **transformer,
        image_size=32,
        patch_size=16,
        out_features=[f'stage{stage}' for stage in (1, 2, 3, 4)],
        reshape_hidden_states=False,
    )
    config = ZoeDepthConfig(
        backbone_config=backbone, neck_hidden_sizes=[8] * 4, fusion_hidden_size=8, bottleneck_features=8,
        num_relative_features=4, bin_embedding_dim=8, num_attractors=[2] * 4, patch_transformer_hidden_size=8,
        patch_transformer_intermediate_size=8, patch_transformer_num_attention_heads=2,
        bin_configurations=[dict(n_bins=4, min_depth=0.001, max_depth=10.0, name='nyu')],
    )  # fmt: skip
    ZoeDepthForDepthEstimation(config).save_pretrained(tmp_path / 'zoe')
    ZoeDepthImageProcessor(size=dict(height=32, width=48), ensure_multiple_of=16).save_pretrained(tmp_path / 'zoe')
    options = ['--kind', 'depth', '--model', str(tmp_path / 'zoe'), '--batch-size', '2', '--device', 'cpu']
    assert make_targets.main([str(images), '--out', str(tmp_path / 'depth'), *options]) == 0
    assert {name: depth.shape for name, depth in read(tmp_path / 'depth').items()} == SIZES
    assert make_targets.parse_args(['images', '--out', 'depth', '--kind', 'depth']).library == 'transformers'


def test_segmentation_by_mmseg(tmp_path, images):
    from mmseg.apis import init_model

    config = Config(
        dict(
            default_scope='mmseg',
            model=dict(
                type='EncoderDecoder',
                data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
                backbone=dict(type='ResNet', depth=18, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,)),
                decode_head=dict(
                    type='FCNHead', in_channels=64, channels=4, num_convs=1, num_classes=5, in_index=0,
                    norm_cfg=dict(type='BN'),
                ),
                test_cfg=dict(mode='whole'),
            ),
            test_dataloader=dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])),
            test_pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')],
        )
    )  # fmt: skip
    config.dump(tmp_path / 'seg.py')
    model = init_model(str(tmp_path / 'seg.py'), device='cpu')
    meta = dict(dataset_meta=dict(classes=list('abcde'), palette=[[0, 0, 0]] * 5))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'seg.pth')
    options = ['--config', str(tmp_path / 'seg.py'), '--weights', str(tmp_path / 'seg.pth')]
    main, arguments = make_targets.main, arguments_of(images, 'segmentation', *options)
    assert main([*arguments, '--batch-size', '3']) == 0
    together = read(tmp_path / 'segmentation')
    shutil.rmtree(tmp_path / 'segmentation')
    assert main(arguments) == 0

    from mmdiffperc.generative.evaluation.coloured_segmentation import resolve_palette

    evaluated = Config.fromfile(CONFIG).val_evaluator.palette
    assert make_targets.parse_args(arguments).palette == evaluated
    allowed = {tuple(colour) for colour in resolve_palette(evaluated)[:5]}
    for name, target in read(tmp_path / 'segmentation').items():
        assert target.shape == (*SIZES[name], 3) and {tuple(colour) for colour in target.reshape(-1, 3)} <= allowed
        assert (target != together[name]).any(-1).mean() < 0.01  # sums of another order round differently


@pytest.mark.parametrize(('kind', 'pipeline'), [('normals', 'normals'), ('albedo', 'intrinsics')])
def test_predictions_that_are_not_finite(marigold_folder, kind, pipeline):
    """As a PNG they would be black, and be learnt."""
    predictor = target_predictors.Marigold(kind, str(marigold_folder(pipeline)), 'cpu', 'float32')
    predictor.pipeline.unet.conv_out.bias.data[0] = np.nan
    with pytest.raises(ValueError, match='NaN.*bfloat16'):
        predictor([np.zeros((32, 48, 3), np.uint8)], [torch.Generator()])


def test_bad_input(tmp_path, images, marigold_folder, capsys):
    main = make_targets.main
    for model, found in ((tmp_path / 'nowhere', 'nowhere'), (marigold_folder('normals'), 'MarigoldNormalsPipeline')):
        assert main(arguments_of(images, 'depth', '--model', str(model))) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert f'--model {model}' in error and found in error and len(error) < 500
    (images / 'c.png').write_bytes(b'broken')
    assert main(arguments_of(images, 'normals', '--model', marigold_folder('normals'))) == 1
    error = capsys.readouterr().err
    assert '1 of 3 files' in error and 'c.png' in error
    assert {file.stem for file in (images.parent / 'normals').glob('*.png')} == {'a', 'b'}
    assert main(arguments_of(images, 'normals', '--model', marigold_folder('normals'), '--seed', '2')) == 1
    assert 'seed 0' in capsys.readouterr().err
    with open(images / 'metadata.jsonl', 'a') as metadata:
        metadata.write('{"file_name": "c.jpg"}\n')
    assert main(arguments_of(images, 'normals', '--model', marigold_folder('normals'))) == 1
    error = capsys.readouterr().err
    assert 'c.png' in error and 'c.jpg' in error


@pytest.mark.parametrize('name', ['../images/a.png', '{images}/a.png'])
def test_nothing_is_written_outside_of_the_folder(tmp_path, images, capsys, name):
    """Depth of an image named by its absolute path would lie beside the image."""
    (images / 'metadata.jsonl').write_text(json.dumps(dict(file_name=name.format(images=images))))
    assert make_targets.main(arguments_of(images, 'depth')) == 1
    assert 'metadata.jsonl, line 1' in capsys.readouterr().err
    assert not (tmp_path / 'depth').exists() and not list(tmp_path.rglob('*.npz'))
