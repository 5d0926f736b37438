import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS, init_default_scope

from mmdiffperc.generative import DeterministicDiffusion, LoadTarget, PackTargetInputs
from mmdiffperc.generative.lmdb_writing import new_database, put
from mmdiffperc.generative.target_files import encode_npz
from mmdiffperc.inference.writers import encode_png

SIZE = 5, 7


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
        (tmp_path / 'a.npz').write_bytes(encode_npz(colours))
    else:
        (tmp_path / 'a.png').write_bytes(encode_png((colours * np.iinfo(dtype).max).astype(dtype)))
    target = LoadTarget()(results)['gt_target']
    assert target.dtype == np.float32
    np.testing.assert_allclose(target, colours, atol=0 if dtype is np.float32 else 1 / np.iinfo(dtype).max)
    assert results['seg_fields'] == ['gt_target']


def test_half_precision_is_rescaled_exactly(results, tmp_path):
    """1.5 mm are 0.0015 m, of which half precision would make 0.00150108."""
    (tmp_path / 'a.npz').write_bytes(encode_npz(np.full(SIZE, 1.5, np.float16)))
    target = LoadTarget('F', 0.001)(results)['gt_target']
    assert (target == np.float32(0.0015)).all()


@pytest.mark.parametrize('shape', [SIZE, (*SIZE, 1)])
def test_one_channel_of_any_numbers(results, tmp_path, shape):
    depth = np.linspace(-2, 9000, 35).reshape(shape)
    (tmp_path / 'a.npz').write_bytes(encode_npz(depth))
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
    (tmp_path / 'a.npz').write_bytes(encode_npz(target))
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
            put(database, 'a.jpg', encode_npz(target))
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
