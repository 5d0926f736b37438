import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmseg.apis import init_model
from tiny_refer import write_checkpoint, write_config

from mmdiffperc.seg.inference import segment_phrase
from mmdiffperc.visualization import mask_overlay


@pytest.fixture(scope='module')
def model_files(tmp_path_factory):
    """A config and a checkpoint of it."""
    torch.manual_seed(0)  # with other weights of the head, a mask may be empty
    folder = tmp_path_factory.mktemp('refer')
    config = write_config(folder)
    return config, write_checkpoint(config, folder / 'refer.pth')


@pytest.fixture
def image(tmp_path):
    """An image file, BGR."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'scene.png'), pixels)
    return tmp_path / 'scene.png', pixels


@pytest.fixture
def run(tool, model_files, tmp_path):
    """Runs the tool; returns its exit status."""
    import segment_phrase as tool_module

    def run(image, text, *options):
        arguments = [*model_files, str(image), text, '--out', str(tmp_path / 'out'), '--device', 'cpu', *options]
        return tool_module.main(arguments)

    return run


def test_mask_and_overlay(run, model_files, image, tmp_path, capsys):
    path, pixels = image
    assert run(path, 'the red box') == 0
    expected = segment_phrase(init_model(*model_files, device='cpu'), path, 'the red box')
    assert 0 < expected.sum() < expected.size
    assert f'{expected.sum()} of 2800 pixels' in capsys.readouterr().out
    mask = cv2.imread(str(tmp_path / 'out/scene_mask.png'), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, 255 * expected)
    overlay = cv2.imread(str(tmp_path / 'out/scene_overlay.png'))
    np.testing.assert_array_equal(overlay[..., ::-1], mask_overlay(pixels[..., ::-1], expected))


def test_errors_are_one_clear_line(run, image, tmp_path, capsys):
    def message(*arguments):
        assert run(*arguments) == 1
        return capsys.readouterr().err.splitlines()[-1]

    assert message(image[0], '  ').startswith('segment_phrase: ')
    assert '红色的盒子' in message(image[0], '红色的盒子')
    assert 'absent.png' in message(tmp_path / 'absent.png', 'the box')
    (tmp_path / 'text.png').write_text('no image')
    assert 'text.png' in message(tmp_path / 'text.png', 'the box')
    assert not (tmp_path / 'out').exists()


def test_checkpoints_that_cannot_be_used(tool, model_files, broken_checkpoints, image, tmp_path, capsys):
    import segment_phrase as tool_module

    config, checkpoint = model_files
    arguments = [str(image[0]), 'the red box', '--out', str(tmp_path / 'out'), '--device', 'cpu']
    for path, message in broken_checkpoints(checkpoint, 'decode_head.', 'ReferringSegmentor'):
        assert tool_module.main([config, path, *arguments]) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('segment_phrase: ')]
        assert message in line
    assert not (tmp_path / 'out').exists()


def test_a_long_sentence_is_cut_and_reported(run, image, caplog):
    logger = MMLogger.get_instance('phrase')
    logger.addHandler(caplog.handler)
    assert run(image[0], 'the red box and ' * 100) == 0
    logger.removeHandler(caplog.handler)
    assert re.search(r'\b402\b.*\b32\b.*max_length', caplog.text)
