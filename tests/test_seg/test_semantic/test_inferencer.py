import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer, inference_model, init_model

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.inference import build_inferencer
from mmdiffperc.seg import SemanticInferencer


@pytest.fixture(scope='module')
def inferencer(tiny_vpd, tiny_checkpoint):
    return build_inferencer(tiny_vpd, tiny_checkpoint, device='cpu', show_progress=False)


@pytest.fixture(autouse=True)
def scope():
    """As ``init_model`` leaves it, which the fixture calls for the first test only."""
    init_default_scope('mmseg')


@pytest.fixture(scope='module')
def model(tiny_vpd, tiny_checkpoint):
    """The model as mmseg builds it."""
    return init_model(tiny_vpd, tiny_checkpoint, device='cpu')


def test_labels_are_those_of_the_host(inferencer, model, tmp_path):
    assert isinstance(inferencer, SemanticInferencer)
    images = [np.random.default_rng(n).integers(0, 256, (70, 50 + n // 2, 3), np.uint8) for n in range(3)]
    results = inferencer(images, batch_size=3, out_dir=tmp_path, return_vis=True)
    for index, (image, prediction) in enumerate(zip(images, results['predictions'], strict=True)):
        cv2.imwrite(str(tmp_path / 'image.png'), image)  # an array would change the pipeline of the model
        expected = inference_model(model, str(tmp_path / 'image.png')).pred_sem_seg.data[0].numpy()
        assert prediction['labels'].dtype == np.uint8 and len(np.unique(expected)) > 1
        assert (prediction['labels'] == expected).mean() > 0.999
        written = cv2.imread(str(tmp_path / f'{index:06}_labels.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, prediction['labels'])
        overlay = cv2.imread(str(tmp_path / f'{index:06}_overlay.png'))
        np.testing.assert_array_equal(overlay[..., ::-1], results['visualization'][index])


def test_the_inferencer_of_mmseg_agrees(tiny_vpd, tiny_checkpoint, inferencer, image):
    labels = MMSegInferencer(tiny_vpd, tiny_checkpoint, device='cpu')(image)['predictions']
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels, inferencer(image)['predictions'][0]['labels'])


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize(
    'image',
    [
        noise(1, 1, 3), noise(7, 300, 3), noise(300, 7, 3), noise(33, 47), noise(33, 47, 4),
        noise(33, 47, 3, dtype=np.uint16), noise(33, 47, dtype=np.uint16),
    ],
    ids=['pixel', 'wide', 'tall', 'grey', 'RGBA', '16 bits', '16 bits grey'],
)  # fmt: skip
def test_unusual_images(model, inferencer, tmp_path, image):
    path = str(tmp_path / 'image.png')
    assert cv2.imwrite(path, image)
    result = inference_model(model, path)
    labels = result.pred_sem_seg.data[0]
    assert labels.shape == image.shape[:2] and set(labels.unique().tolist()) <= {0, 1, 2}
    assert torch.isfinite(result.seg_logits.data).all()
    np.testing.assert_array_equal(inferencer(path)['predictions'][0]['labels'], labels)


@pytest.mark.parametrize('kind', ['bare', 'no meta'])
def test_weights_without_meta(tiny_vpd, tiny_checkpoint, tmp_path, kind):
    """As other programs save them; mmseg warns that it takes the classes of a data set."""
    weights = load_file(tiny_checkpoint)['state_dict']
    torch.save(weights if kind == 'bare' else dict(state_dict=weights), tmp_path / 'bare.pth')
    with pytest.warns(UserWarning, match='dataset_meta'):
        loaded = init_model(tiny_vpd, str(tmp_path / 'bare.pth'), device='cpu').state_dict()
    assert set(loaded) == set(weights)
    assert all(torch.equal(loaded[name], weight) for name, weight in weights.items())


def test_shares_are_listed_from_the_largest(inferencer):
    labels = np.array([[0, 2, 2], [2, 0, 2]], np.uint8)
    assert inferencer.summarize(dict(labels=labels)) == 'traffic cone 66.7%, sphere 33.3%'
