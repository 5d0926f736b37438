import cv2
import draw_predictions
import numpy as np
import pytest
import tiny_depth
import torch
from mmengine.config import Config


def draw(*arguments):
    """Run the tool; return its exit status."""
    return draw_predictions.main([*map(str, arguments)])


@pytest.fixture
def config(tiny_vpd, tmp_path):
    """The tiny config on two images of a test set: one of many classes and unlabelled pixels, one of a single class."""
    many = np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4) % 4, 16, axis=0), 16, axis=1)
    for name, labels in (('many', many), ('single', np.full((64, 64), 2, np.uint8))):
        for folder, array in (('images', np.random.randint(0, 256, (64, 64, 3), np.uint8)), ('labels', labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            suffix = '.jpg' if folder == 'images' else '.png'
            cv2.imwrite(str(tmp_path / folder / (name + suffix)), array)
    cfg = Config.fromfile(tiny_vpd)
    cfg.test_dataloader.dataset.update(
        data_root=str(tmp_path), data_prefix=dict(img_path='images', seg_map_path='labels')
    )
    cfg.dump(tmp_path / 'config.py')
    return str(tmp_path / 'config.py')


def test_draws_all_images_there_are(config, tiny_checkpoint, tmp_path, capsys):
    out = tmp_path / 'new' / 'figure.png'
    assert draw(config, tiny_checkpoint, '--out-file', out) == 0
    assert f'{out} written' in capsys.readouterr().out
    assert cv2.imread(str(out)).shape == (2 * 2.2 * 120 + 0.4 * 120, 10 * 120, 3)


def test_draws_depth(tmp_path, capsys):
    config = tiny_depth.write_config(tmp_path)  # its test set has three images
    files = [config, tiny_depth.write_checkpoint(config, tmp_path / 'depth.pth')]
    heights = []
    for indices in (['--indices', '0', '2'], []):
        out = tmp_path / f'{len(indices)}.png'
        assert draw(*files, *indices, '--out-file', out) == 0
        height, width = cv2.imread(str(out)).shape[:2]
        assert width == 120 * (4 * 2.4 + 1.6)
        heights.append(height)
    assert heights[1] == pytest.approx(1.5 * heights[0], rel=0.01)  # all three: there are no four
    capsys.readouterr()
    assert draw(*files, '--indices', 0, 3, '--out-file', tmp_path / 'absent.png') == 1
    assert '0 to 2, got [3]' in capsys.readouterr().err
    assert not (tmp_path / 'absent.png').exists()


def test_bad_input_is_one_clear_line(config, tiny_checkpoint, tmp_path, capsys):
    torch.save(dict(state_dict={}), tmp_path / 'whole.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'whole.pth').read_bytes()[:200])
    unlabelled = Config.fromfile(config)
    unlabelled.test_dataloader.dataset.pipeline.pop(1)
    unlabelled.dump(tmp_path / 'unlabelled.py')
    for arguments, message in (
        ([config, tmp_path / 'cut.pth'], 'cut.pth could not be loaded'),
        ([config, tiny_checkpoint, '--indices', 0, 7], '0 to 1, got [7]'),
        (
            [tmp_path / 'unlabelled.py', tiny_checkpoint],
            'gt_sem_seg',
        ),
    ):
        assert draw(*arguments, '--out-file', tmp_path / 'figure.png') == 1
        error = capsys.readouterr().err
        assert 'draw_predictions: ' in error and message in error
