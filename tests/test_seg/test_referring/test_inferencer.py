import json
import re

import cv2
import numpy as np
import pytest
import tiny_refer
import torch
import torch.nn.functional as F
from logs import heard
from mmseg.apis import MMSegInferencer

from mmdiffperc.inference import build_inferencer
from mmdiffperc.seg import ReferringInferencer
from mmdiffperc.visualization import mask_overlay


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A config and a checkpoint of it."""
    folder = tmp_path_factory.mktemp('refer')
    torch.manual_seed(0)  # of the head; some random heads find nothing in any image
    config = tiny_refer.write_config(folder)
    return config, tiny_refer.write_checkpoint(config, folder / 'refer.pth')


@pytest.fixture(scope='module')
def inferencer(files):
    return build_inferencer(*files, device='cpu', show_progress=False)


@pytest.fixture
def image():
    """BGR; the pipeline squashes it."""
    return np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)


def test_is_what_the_model_segments(inferencer):
    assert isinstance(inferencer, ReferringInferencer)
    model, read = inferencer.model, []
    hook = model.backbone.prompts.text_encoder.register_forward_pre_hook(lambda _, args: read.extend(args[0]))
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    (prediction,) = inferencer(image, text=' the red sphere')['predictions']
    hook.remove()
    assert read == ['the red sphere']
    inputs = (torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None] - 127.5) / 127.5
    with torch.no_grad():
        logits = model.decode_head(model.backbone((inputs, read)))
    logits = F.interpolate(logits, (64, 64), mode='bilinear', align_corners=True)
    mask = prediction['mask']
    assert mask.dtype == bool and 0 < mask.sum() < mask.size
    assert (mask == logits[0].argmax(0).numpy().astype(bool)).mean() > 0.999


def test_the_inferencer_of_mmseg_agrees(files, inferencer, image):
    """It takes a sentence with the image."""
    of_mmseg, masks = MMSegInferencer(*files, device='cpu'), []
    for text in ('the red box', 'the floor'):
        masks.append(of_mmseg([dict(img=image, text=text)])['predictions'])
        np.testing.assert_array_equal(masks[-1], inferencer(image, text=text)['predictions'][0]['mask'])
    assert (masks[0] != masks[1]).any() and 0 < masks[0].sum() < masks[0].size


def test_files(inferencer, image, tmp_path):
    cv2.imwrite(str(tmp_path / 'scene.png'), image)
    results = inferencer(tmp_path / 'scene.png', text='the red box', out_dir=tmp_path / 'out')
    mask = results['predictions'][0]['mask']
    assert mask.shape == (50, 90)
    written = cv2.imread(str(tmp_path / 'out/scene_mask.png'), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint8
    np.testing.assert_array_equal(written, 255 * mask)
    overlay = cv2.imread(str(tmp_path / 'out/scene_overlay.png'))
    np.testing.assert_array_equal(overlay[..., ::-1], mask_overlay(image[..., ::-1], mask))
    assert inferencer.summarize(dict(mask=np.array([[True, False]]))).startswith('50.0%')


def test_captions_of_a_folder(inferencer, image, tmp_path):
    """Each image has its own sentence, also in one batch with others of another size."""
    sentences = {'a.png': 'the red box', 'b.png': 'the blue cone', 'c.png': 'the floor'}
    for number, name in enumerate(sentences):
        cv2.imwrite(str(tmp_path / name), image[: 50 - 5 * number])
    lines = [json.dumps(dict(file_name=name, text=text)) for name, text in sentences.items()]
    (tmp_path / 'metadata.jsonl').write_text('\n'.join(lines))
    predictions = inferencer(tmp_path, batch_size=3)['predictions']
    for prediction, (name, text) in zip(predictions, sentences.items(), strict=True):
        alone = inferencer(tmp_path / name, text=text)['predictions'][0]['mask']
        assert prediction['mask'].shape == alone.shape and (prediction['mask'] == alone).mean() > 0.99


def test_text_that_is_no_sentence(inferencer, image):
    with pytest.raises(ValueError, match='000000: .*metadata.jsonl'):
        inferencer(image)
    with pytest.raises(TypeError, match=re.escape("['a', 'b']")):
        inferencer(image, text=['a', 'b'])
    for text, message in {'': 'empty', '红色的盒子': 'Latin'}.items():
        with pytest.raises(ValueError, match=message):
            inferencer(image, text=text)


def test_a_long_sentence_is_cut_and_reported(inferencer, image, caplog):
    with heard(caplog):
        inferencer(image, text='the red box and ' * 100)
    assert '402' in caplog.text and 'max_length' in caplog.text
