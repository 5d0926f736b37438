import io

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.apis import MMSegInferencer
from mmseg.datasets.transforms import PackSegInputs
from tiny_depth import write_checkpoint, write_config

from mmdiffperc.inference import build_inferencer
from mmdiffperc.seg import DepthInferencer
from mmdiffperc.visualization import colour_depth


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A config and a checkpoint of it."""
    folder = tmp_path_factory.mktemp('depth')
    config = write_config(folder)
    return config, write_checkpoint(config, folder / 'depth.pth')


@pytest.fixture(scope='module')
def inferencer(files):
    return build_inferencer(*files, device='cpu', show_progress=False)


@pytest.fixture
def image():
    """BGR, of sides that no stride divides."""
    return np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)


def predict(inferencer, image, **options):
    (prediction,) = inferencer(image, **options)['predictions']
    return prediction['depth']


def features_to_depth(model, image, scene_id):
    """Depth by the parts of the model, of an image whose sides 64 divides."""
    inputs = (torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None] - 127.5) / 127.5
    with torch.no_grad():
        features = model.backbone((inputs, torch.tensor([scene_id])))
        return model.decode_head((*features, image.shape[:2]))[0, 0]


def test_is_what_the_model_computes(inferencer):
    assert isinstance(inferencer, DepthInferencer)
    image = np.random.default_rng(1).integers(0, 256, (64, 128, 3), np.uint8)
    depth = predict(inferencer, image, scene='kitchen')
    assert depth.dtype == np.float32 and depth.std() > 0
    expected = features_to_depth(inferencer.model, image, 6)
    torch.testing.assert_close(torch.from_numpy(depth), expected, rtol=1e-5, atol=1e-5)


def test_scene_counts_and_may_be_unknown(inferencer, image):
    unknown, kitchen, bookstore = (predict(inferencer, image, scene=name) for name in (None, 'kitchen', 'bookstore'))
    assert unknown.shape == (50, 90) and 0 < unknown.min() and unknown.max() < 10
    assert not np.array_equal(kitchen, bookstore) and not np.array_equal(kitchen, unknown)
    with pytest.raises(ValueError, match=r"'spaceship'.*printer_room"):
        predict(inferencer, image, scene='spaceship')


def test_the_inferencer_of_mmseg_agrees(files, inferencer, image):
    """It takes the number of a scene with the image."""
    of_mmseg = MMSegInferencer(*files, device='cpu')
    inputs = {None: image, 'kitchen': dict(img=image, category_id=6), 'bookstore': dict(img=image, category_id=26)}
    for scene, one in inputs.items():
        np.testing.assert_array_equal(of_mmseg([one])['predictions'], predict(inferencer, image, scene=scene))


def test_scene_from_the_name_of_the_file(inferencer, image, tmp_path):
    """As the test data of the config find it: the whole name by default."""
    path = tmp_path / 'office_kitchen_0001.png'
    cv2.imwrite(str(path), image)
    dataset = inferencer.cfg.test_dataloader.dataset.to_dict()
    for match, scene in (('whole', 'office_kitchen'), ('part', 'kitchen')):
        other = rebuilt(inferencer, dict(dataset, scene_match=match))
        np.testing.assert_array_equal(predict(other, path, scene='auto'), predict(other, path, scene=scene))
    np.testing.assert_array_equal(predict(inferencer, image, scene='auto'), predict(inferencer, image))


@pytest.mark.parametrize('scene', ['kitchen', 'auto'])
def test_scene_for_a_model_without_scenes(inferencer, image, monkeypatch, scene):
    monkeypatch.setattr(type(inferencer.model.backbone), 'class_embed_select', False)
    with pytest.raises(ValueError, match=f"'{scene}'.*none"):
        predict(inferencer, image, scene=scene)


def test_a_batch_gives_what_its_images_give(inferencer, image):
    images = [image, image[:40], 255 - image]
    together = inferencer(images, batch_size=3)['predictions']
    for prediction, one in zip(together, images, strict=True):
        np.testing.assert_allclose(prediction['depth'], predict(inferencer, one), atol=1e-4)


def test_half_precision(files, inferencer, image):
    half = build_inferencer(*files, device='cpu', dtype='bfloat16', show_progress=False)
    depth, expected = predict(half, image), predict(inferencer, image)
    assert depth.dtype == np.float32 and not np.array_equal(depth, expected)
    np.testing.assert_allclose(depth, expected, rtol=0.1)


def rebuilt(inferencer, dataset, **test_cfg):
    """An inferencer of the same model for another test data set or test mode."""
    cfg = Config(inferencer.cfg.to_dict())
    cfg.test_dataloader.dataset = dataset
    cfg.model.test_cfg.update(test_cfg)
    other = build_inferencer(cfg, device='cpu', show_progress=False)
    other.model.load_state_dict(inferencer.model.state_dict())
    return other


def test_resize_in_the_pipeline_is_undone(inferencer, image):
    dataset = inferencer.cfg.test_dataloader.dataset.to_dict()
    loader, *transforms = dataset['pipeline']
    resize = dict(type='Resize', scale=(128, 64), keep_ratio=False)
    other = rebuilt(inferencer, dict(dataset, pipeline=[loader, resize, *transforms]))
    large = features_to_depth(other.model, cv2.resize(image, (128, 64)), -1)
    expected = F.interpolate(large[None, None], (50, 90), mode='bilinear')[0, 0]
    torch.testing.assert_close(torch.from_numpy(predict(other, image)), expected, rtol=1e-5, atol=1e-5)


def test_crop_and_test_mode_are_those_of_the_config(inferencer, image):
    """KITTI's crop stays; each window of the sliding test is averaged with its mirror image."""
    dataset = inferencer.cfg.test_dataloader.dataset.to_dict()
    loader, *transforms = dataset['pipeline']
    crop = dict(type='KBCrop', size=(32, 64))
    slide = dict(mode='slide_flip', crop_size=(32, 64), stride=(32, 64))
    depth = predict(rebuilt(inferencer, dict(dataset, pipeline=[loader, crop, *transforms]), **slide), image)
    cropped = np.ascontiguousarray(image[50 - 32 :, 13 : 13 + 64])
    both = (predict(inferencer, cropped), predict(inferencer, cropped[:, ::-1].copy())[:, ::-1])
    np.testing.assert_allclose(depth, (both[0] + both[1]) / 2, rtol=1e-4, atol=1e-4)


def test_other_ways_to_write_the_test_data(inferencer, image):
    """Scopes, import paths and classes as types; a data set in another one; a data set that is not read yet."""
    loader = inferencer.cfg.test_dataloader.dataset
    types = ['mmseg.LoadImageFromFile', 'mmseg.datasets.LoadDepthAnnotation', 'mmdiffperc.seg.CheckDepth']
    types.append(PackSegInputs)
    pipeline = [dict(transform, type=kind) for transform, kind in zip(loader.pipeline, types, strict=True)]
    dataset = dict(type='mmseg.NYUDataset', pipeline=pipeline, lazy_init=True, data_root='nowhere')
    wrapped = dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=dataset)])
    np.testing.assert_array_equal(predict(rebuilt(inferencer, wrapped), image), predict(inferencer, image))


def test_three_files(inferencer, image, tmp_path):
    cv2.imwrite(str(tmp_path / 'chair.png'), image)
    depth = predict(inferencer, tmp_path / 'chair.png', out_dir=tmp_path / 'out', png_scale=256)
    np.testing.assert_array_equal(np.load(tmp_path / 'out/chair_depth.npz')['depth'], depth)
    units = cv2.imread(str(tmp_path / 'out/chair_depth.png'), cv2.IMREAD_UNCHANGED)
    assert units.dtype == np.uint16
    np.testing.assert_allclose(units / 256, depth, atol=2e-3)
    colours = cv2.imread(str(tmp_path / 'out/chair_colour.png'))
    np.testing.assert_array_equal(colours[..., ::-1], colour_depth(depth))


def test_sixteen_bits(inferencer):
    """Where no window of the test mode lies, there is no depth."""
    prediction = dict(depth=np.array([[70, np.nan]], np.float32))
    with pytest.raises(ValueError, match=r'70\.0.*1000'):
        inferencer.encode(prediction)
    content = inferencer.encode(prediction, png_scale=100)
    assert cv2.imdecode(np.frombuffer(content['_depth.png'], np.uint8), -1).tolist() == [[7000, 0]]
    assert np.isnan(np.load(io.BytesIO(content['_depth.npz']))['depth'][0, 1])
    assert inferencer.summarize(prediction) == '70.00 to 70.00 m'
