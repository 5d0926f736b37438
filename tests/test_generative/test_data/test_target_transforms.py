"""Targets as files hold them, valid pixels, axes of normals, flips."""

import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS, init_default_scope

from mmdiffperc.generative import DeterministicDiffusion, LoadTarget, PackTargetInputs
from mmdiffperc.generative.data.target_stores import new_database, put
from mmdiffperc.generative.normal_axes import AXES as AXES_BY_NAME
from mmdiffperc.generative.normal_axes import to_inside
from mmdiffperc.inference.writers import encode_npz, encode_png
from mmdiffperc.toy_scenes.render import render
from mmdiffperc.toy_scenes.writers import make_sample

SIZE = 5, 7


@pytest.mark.parametrize('channels', [(), (1,), (4,)])
def test_images_of_8_bits_become_rgb(results, tmp_path, channels):
    """Grey is repeated, and an alpha channel is dropped."""
    image = np.arange(35 * (channels or (1,))[0], dtype=np.uint8).reshape(*SIZE, *channels)
    np.save(tmp_path / 'a.npy', image)
    expected = image[..., :3] if channels == (4,) else np.stack([image.reshape(SIZE)] * 3, axis=2)
    np.testing.assert_allclose(LoadTarget()(results)['gt_target'] * 255, expected, rtol=1e-6)


@pytest.fixture
def results(tmp_path):
    """Of an image whose target is yet to be written."""
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    shapes = dict(ori_shape=SIZE, img_shape=SIZE)
    return dict(img=image, img_path='a.jpg', target_path=str(tmp_path), target_key='a.jpg', **shapes)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_colours_become_numbers_up_to_1(results, tmp_path, dtype):
    colours = np.random.default_rng(0).random((*SIZE, 3), np.float32)
    if dtype is np.float32:
        (tmp_path / 'a.npz').write_bytes(encode_npz(x=colours))
    else:
        (tmp_path / 'a.png').write_bytes(encode_png((colours * np.iinfo(dtype).max).astype(dtype)))
    target = LoadTarget()(results)['gt_target']
    assert target.dtype == np.float32
    np.testing.assert_allclose(target, colours, atol=0 if dtype is np.float32 else 1 / np.iinfo(dtype).max)
    assert results['seg_fields'] == ['gt_target']


def test_half_precision_is_rescaled_exactly(results, tmp_path):
    """1.5 mm are 0.0015 m, of which half precision would make 0.00150108."""
    (tmp_path / 'a.npz').write_bytes(encode_npz(x=np.full(SIZE, 1.5, np.float16)))
    target = LoadTarget('F', 0.001)(results)['gt_target']
    assert (target == np.float32(0.0015)).all()


@pytest.mark.parametrize('shape', [SIZE, (*SIZE, 1)])
def test_one_channel_of_any_numbers(results, tmp_path, shape):
    depth = np.linspace(-2, 9000, 35).reshape(shape)
    (tmp_path / 'a.npz').write_bytes(encode_npz(x=depth))
    target = LoadTarget('F', 0.001)(results)['gt_target']
    assert target.shape == SIZE and target.dtype == np.float32
    np.testing.assert_allclose(target, depth.reshape(SIZE) / 1000, rtol=1e-6)


def with_one(value, shape):
    """A target that is sound but for one number."""
    target = np.full(shape, 0.5, np.float32)
    target.flat[-2] = value
    return target


@pytest.mark.parametrize(
    ('mode', 'target', 'message'),
    [
        ('RGB', np.ones(SIZE), r"mode='RGB'.*3\).*float64.*\(5, 7\)"),
        ('RGB', np.ones(SIZE, np.uint16), r"mode='RGB'.*uint16.*\(5, 7\)"),
        ('RGB', np.ones((*SIZE, 4)), r"mode='RGB'.*\(5, 7, 4\)"),
        ('F', np.ones((*SIZE, 3)), r"mode='F'.*1\)"),
        ('F', np.full(SIZE, 'far'), '<U3'),
        ('F', np.ones(SIZE, np.int8), "mode='F'.*int8"),
        ('F', np.full(SIZE, -1e8), r'1e\+08.*16777216'),
        ('RGB', np.ones((*SIZE, 3), np.int8), "mode='RGB'.*int8"),
        ('RGB', np.ones((*SIZE, 3), np.int32), 'int32'),
        ('F', with_one(np.nan, SIZE), r'\b1\b.*\b35\b.*NaN'),
        ('F', with_one(-np.inf, SIZE), r'\b1\b.*\b35\b.*infinite'),
        ('F', with_one(np.inf, SIZE).astype(np.float16), r'\b1\b.*\b35\b.*infinite'),
        ('F', np.full(SIZE, np.inf), r'\b35\b.*\b35\b.*infinite'),
        ('F', np.full(SIZE, 1e39), r'1e\+39.*16777216'),
        ('RGB', with_one(np.nan, (*SIZE, 3)), r'\b1\b.*\b105\b.*NaN'),
        ('RGB', with_one(np.inf, (*SIZE, 3)), r'\b1\b.*\b105\b.*infinite'),
        ('RGB', with_one(-np.inf, (*SIZE, 3)), r'\b1\b.*\b105\b.*infinite'),
        ('RGB', np.full((*SIZE, 3), -0.5), r'RGB.*\[0, 1\].*-0.5.*-0.5'),
        ('F', np.ones((7, 5)), r'\(7, 5\).*a.jpg.*\(5, 7\)'),
    ],
)
def test_unsuitable_target_is_named(results, tmp_path, mode, target, message):
    (tmp_path / 'a.npz').write_bytes(encode_npz(x=target))
    with pytest.raises(ValueError, match=f'a.npz.*{message}') as error:
        LoadTarget(mode)(results)
    if 'infinite' in message:
        assert 'rescale_factor' not in str(error.value) and 'normals' not in str(error.value)


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('store', ['npy', 'tiff', 'lmdb'])
def test_one_number_that_is_not_finite(results, tmp_path, store, value):
    """In files of every kind; OpenCV and Pillow read TIFF of single precision, whatever its name."""
    target = with_one(value, SIZE)
    name = 'a.npy' if store == 'npy' else 'a.png'
    if store == 'npy':
        np.save(tmp_path / name, target)
    elif store == 'tiff':
        (tmp_path / name).write_bytes(cv2.imencode('.tiff', target)[1].tobytes())
    else:
        with new_database(tmp_path / 'db', 2**20) as database:
            put(database, 'a.jpg', encode_npz(x=target))
        results['target_path'], name = str(tmp_path / 'db'), "db, entry 'a.jpg'"
    with pytest.raises(ValueError, match=f'{name}.*(NaN|inf)'):
        LoadTarget('F')(results)


def test_corrupt_target_is_named(results, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'broken')
    with pytest.raises(ValueError, match='a.png'):
        LoadTarget()(results)


@pytest.mark.parametrize(
    ('options', 'message'),
    [(dict(mode='L'), "mode='L'.*'RGB'.*'F'"), (dict(rescale_factor=0.5), 'rescale_factor=0.5')],
)
def test_bad_configuration(options, message):
    with pytest.raises(ValueError, match=message):
        LoadTarget(**options)


def test_ones_own_image(results):
    del results['target_path']
    assert 'gt_target' not in LoadTarget()(results)
    assert 'gt_target' not in PackTargetInputs()(results)['data_samples']


def test_pack(results):
    results |= dict(text='a box', gt_target=np.arange(35, dtype=np.float32).reshape(SIZE), scale=3)
    packed = PackTargetInputs()(results)
    assert (packed['inputs'].numpy() == results['img'].transpose(2, 0, 1)).all()
    sample = packed['data_samples']
    assert (sample.gt_target.data.numpy() == results['gt_target'][None]).all()
    assert sample.text == 'a box' and sample.img_shape == SIZE and 'scale' not in sample


@pytest.mark.parametrize(('mode', 'scale'), [('RGB', 1.0), ('F', 8.0), ('F', 'per_image')])
def test_what_the_model_trains_on(results, tmp_path, mode, scale):
    """A target that is the same everywhere, whose minimum and maximum are equal, gives a finite loss."""
    init_default_scope('mmseg')
    shape = (*SIZE, 3) if mode == 'RGB' else SIZE
    (tmp_path / 'a.png').write_bytes(encode_png(np.full(shape, 200, np.uint8)))
    load, pack = (TRANSFORMS.build(cfg) for cfg in (dict(type='LoadTarget', mode=mode), dict(type='PackTargetInputs')))
    packed = pack(load(results))
    init_cfg = dict(type='Pretrained', checkpoint='tiny-sd')
    model = DeterministicDiffusion(
        'tiny-sd', use_prompts=False, target_mode=mode, target_scale=scale, init_cfg=init_cfg
    )
    model.init_weights()
    batch = model.data_preprocessor(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]), True)
    assert torch.isfinite(model(**batch, mode='loss')['loss_latents'])


def load(results, target, file_name='a.npz', **options):
    """Load a target as if it was stored."""
    path = Path(results['target_path']) / file_name
    path.write_bytes(encode_png(target) if path.suffix == '.png' else encode_npz(x=target))
    return LoadTarget(**options)(results)


def test_invalid_pixels_are_masked(results):
    """NaN, infinity, and a number that is too large for a target because it means unknown. The limits are valid."""
    depth = np.full(SIZE, 2.0)
    depth[0, :5] = np.nan, np.inf, 1e12, 0.4, 5
    load(results, depth, mode='F', rescale_factor=0.5, invalid='mask', valid_range=(0.25, 2.5))
    valid, target = results['gt_valid'], results['gt_target']
    assert valid.tolist() == [[0, 0, 0, 0, 1, 1, 1]] + [[1] * 7] * 4 and valid.dtype == np.uint8
    assert target[0].tolist() == [0, 0, 0, 0, 2.5, 1, 1] and results['seg_fields'] == ['gt_target', 'gt_valid']
    sample = PackTargetInputs()(results)['data_samples']
    assert sample.gt_valid.data.shape == (1, *SIZE) and sample.gt_valid.data.sum() == 31


def test_masked_colours(results):
    colours = np.full((*SIZE, 3), 0.5)
    colours[1, 2, 0] = np.nan
    load(results, colours, invalid='mask')
    assert results['gt_valid'].sum() == 34 and not results['gt_valid'][1, 2] and not results['gt_target'][1, 2].any()


def test_mask_of_the_data_set(results, tmp_path):
    """In a file and from the data set, where both count; what they exclude may be NaN."""
    (tmp_path / 'masks').mkdir()
    mask, known = np.full(SIZE, 255, np.uint8), np.ones(SIZE, bool)
    mask[0, 0], known[1, 1] = 0, False
    (tmp_path / 'masks/a.png').write_bytes(encode_png(mask))
    results.update(mask_path=str(tmp_path / 'masks'), mask_key='a.jpg', gt_valid=known)
    depth = np.full(SIZE, 2.0)
    depth[0, 0] = np.nan
    load(results, depth, mode='F')
    assert results['gt_valid'].sum() == 33 and not results['gt_valid'][0, 0] and not results['gt_valid'][1, 1]
    assert np.isfinite(results['gt_target']).all()
    (tmp_path / 'masks/a.png').write_bytes(encode_png(mask.T.copy()))
    with pytest.raises(ValueError, match=r'masks/a.png.*\(7, 5\).*a.jpg.*\(5, 7\)'):
        LoadTarget('F')(results)
    (tmp_path / 'masks/a.png').write_bytes(encode_png(np.stack([mask] * 3, axis=2)))
    with pytest.raises(ValueError, match=r'masks/a.png.*\(5, 7, 3\)'):
        LoadTarget('F')(results)


AXES = [('RUB', (0.6, 0, 0.8)), ('LUB', (-0.6, 0, 0.8)), ('DSINE', (-0.6, 0, 0.8)), ('BRU', (0.8, 0.6, 0))]


@pytest.mark.parametrize(('axes', 'stored'), AXES)
@pytest.mark.parametrize('dtype', [np.float32, np.uint8, np.uint16])
def test_axes_of_normals(results, axes, stored, dtype):
    """Normals that point to the right and to the viewer, and one that points up."""
    up = dict(RUB=(0, 1, 0), BRU=(0, 0, 1)).get(axes, (0, 1, 0))
    normals = np.full((*SIZE, 3), stored)
    normals[2, 3] = up
    if dtype is np.float32:
        load(results, normals.astype(np.float32), mode='normals', axes=axes)
    else:
        largest = np.iinfo(dtype).max
        load(results, np.round((normals + 1) / 2 * largest).astype(dtype), 'a.png', mode='normals', axes=axes)
    target = results['gt_target']
    np.testing.assert_allclose(target[0, 0], [0.6, 0, 0.8], atol=0.01)
    np.testing.assert_allclose(target[2, 3], [0, 1, 0], atol=0.01)
    np.testing.assert_allclose(np.linalg.norm(target, axis=2), 1, rtol=1e-6)
    assert results['gt_valid'].all()


def test_axes_are_converted_back():
    for axes in ('BRU', 'LUB', *AXES_BY_NAME):
        matrix = to_inside(axes)
        assert (matrix @ matrix.T == np.eye(3)).all()


@pytest.mark.parametrize('axes', ['RUU', 'RU', 'RUBF', 'RLB', 'rub', 'Dsine'])
def test_bad_axes(axes):
    with pytest.raises(ValueError, match=f"axes='{axes}'.*R or L.*DSINE"):
        LoadTarget('normals', axes=axes)


@pytest.mark.parametrize(('dtype', 'unknown'), [(np.uint8, 128), (np.uint8, 127), (np.uint8, 0), (np.uint16, 32768)])
def test_unknown_normals_in_pictures(results, dtype, unknown):
    stored = np.full((*SIZE, 3), np.iinfo(dtype).max // 2, dtype)
    stored[..., 2] = np.iinfo(dtype).max  # towards the viewer
    stored[0, 1] = unknown
    load(results, stored, 'a.png', mode='normals')
    assert results['gt_valid'].sum() == 34 and not results['gt_valid'][0, 1] and not results['gt_target'][0, 1].any()


def test_normals_beyond_1(results):
    with pytest.raises(ValueError, match=r'a.npz.*\[-1, 1\].*1.5'):
        load(results, np.full((*SIZE, 3), 1.5), mode='normals')


UPRIGHT = np.zeros((*SIZE, 3)) + [0, 0.6, 0.8]


@pytest.mark.parametrize(
    ('options', 'target', 'message'),
    [
        (dict(mode='F'), np.full(SIZE, 2500.0), '2500.*rescale_factor'),
        (dict(mode='F', rescale_factor=0.001), np.full(SIZE, 2.5), '0.0025.*rescale_factor'),
        (dict(mode='F', invalid='mask'), np.full(SIZE, np.nan), 'no pixel'),
        (dict(mode='normals'), (UPRIGHT + 1) / 2, 'length of 1.3'),
        (dict(mode='normals'), -UPRIGHT, "100%.*'RUB'.*'RUF'|'RUB'.*100%.*'RUF'"),
        (dict(mode='normals', axes='OpenCV'), UPRIGHT, "'OpenCV'.*'RDB'"),
    ],
)
def test_what_looks_wrong_is_told_once(results, options, target, message):
    with pytest.warns(UserWarning, match=f'a.npz: .*({message})') as told:
        load(results, target, **options)
    assert len(told) == 1
    transform = LoadTarget(**options)
    with warnings.catch_warnings(record=True) as told:
        for _ in range(3):
            transform(dict(results))
    assert len(told) == 1


def test_sound_targets_give_no_warning(results):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load(results, np.full(SIZE, 3.0), mode='F')
        load(results, UPRIGHT, mode='normals')


@pytest.fixture(scope='module')
def scene(toy_spec):
    """A rendering."""
    return make_sample(toy_spec, 'train', 1).rendering


@pytest.mark.parametrize(('axes', 'found'), [('RUB', None), ('LUB', 'RUB'), ('RDF', 'RUB'), ('BRU', 'BLD')])
def test_axes_that_contradict_the_depth(results, tmp_path, scene, axes, found):
    """The normals are stored in the axes that are found."""
    (tmp_path / 'depth').mkdir()
    (tmp_path / 'depth/a.npz').write_bytes(encode_npz(x=scene.depth))
    results.update(depth_path=str(tmp_path / 'depth'), depth_key='a.jpg', ori_shape=scene.depth.shape)
    stored = scene.normals @ to_inside(found or axes)
    with warnings.catch_warnings(record=True) as told:
        load(results, stored, mode='normals', axes=axes)
    assert len(told) == bool(found)
    if found:
        assert f"'{axes}'" in str(told[0].message) and f"'{found}'" in str(told[0].message)


def mirrored(scene):
    """The scene with x negated. Each solid is symmetric, so only its place and rotation change."""
    mirror = np.diag(np.array([-1, 1, 1], np.float32))

    def of_part(part):
        return replace(part, centre=mirror @ part.centre, rotation=mirror @ part.rotation @ mirror)

    planes = tuple(replace(plane, normal=mirror @ plane.normal) for plane in scene.planes)
    objects = tuple(replace(each, parts=tuple(map(of_part, each.parts))) for each in scene.objects)
    return replace(scene, planes=planes, objects=objects)


def flip(results, direction):
    """Load, flip and pack a target as a pipeline does."""
    init_default_scope('mmseg')
    flip = TRANSFORMS.build(dict(type='RandomFlip', prob=1.0, direction=direction))
    return PackTargetInputs()(flip(results))['data_samples']


def test_flipped_normals_are_those_of_the_mirrored_scene(results, scene):
    results |= dict(ori_shape=scene.depth.shape, img=scene.image)
    sample = flip(load(results, scene.normals, mode='normals'), 'horizontal')
    expected = render(mirrored(scene.scene), scene.depth.shape).normals.transpose(2, 0, 1)
    agreement = (sample.gt_target.data.numpy() * expected).sum(0)[sample.gt_valid.data[0]]
    assert np.mean(agreement > 0.999) > 0.99  # but for edges
    assert np.abs(expected[0]).mean() > 0.1


@pytest.mark.parametrize(('direction', 'signs'), [('vertical', (1, -1, 1)), ('diagonal', (-1, -1, 1))])
def test_other_flips(results, scene, direction, signs):
    normals = scene.normals[:5, :7]
    target = flip(load(results, normals, mode='normals'), direction).gt_target.data
    turned = normals[::-1] if direction == 'vertical' else normals[::-1, ::-1]
    torch.testing.assert_close(target, torch.tensor(turned * np.float32(signs)).permute(2, 0, 1))


def test_flips_do_not_negate_colours(results):
    colours = np.random.default_rng(0).random((*SIZE, 3), np.float32)
    target = flip(load(results, colours), 'horizontal').gt_target.data
    torch.testing.assert_close(target, torch.tensor(colours[:, ::-1].copy()).permute(2, 0, 1))


def test_resized_and_rotated_masks(results):
    """Nearest neighbours. The corners, which a rotation by 45 degrees fills with 255, are not valid."""
    init_default_scope('mmseg')
    import mmseg.datasets  # noqa: F401

    depth = np.full(SIZE, 2.0)
    depth[:, :3] = np.nan
    resize, rotate = (
        TRANSFORMS.build(dict(cfg))
        for cfg in (dict(type='Resize', scale=(14, 10)), dict(type='RandomRotate', prob=1.0, degree=(45, 45)))
    )
    resized = resize(load(results, depth, mode='F', invalid='mask'))
    assert (resized['gt_valid'] == (np.arange(14) >= 6)).all()
    sample = PackTargetInputs()(rotate(resized))['data_samples']
    corners = sample.gt_target.data == 255
    assert corners.any() and sample.gt_valid.data.any() and not sample.gt_valid.data[corners].any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(axes='LUB'), "axes='LUB'.*mode='RGB'"),
        (dict(mode='normals', rescale_factor=2.0), 'rescale_factor=2.0.*normals'),
        (dict(mode='F', valid_range=(0, 1)), "valid_range=.*'mask'.*'refuse'"),
        (dict(mode='F', valid_range=(1, 1), invalid='mask'), r'valid_range=\(1, 1\)'),
        (dict(invalid='mask', valid_range=(0, 1)), 'valid_range.*RGB'),
        (dict(invalid='drop'), "invalid='drop'.*'refuse'.*'mask'"),
    ],
)
def test_arguments_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        LoadTarget(**options)
