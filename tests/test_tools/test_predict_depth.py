import cv2
import numpy as np
import pytest
from mmseg.apis import init_model
from tiny_depth import write_checkpoint, write_config

from mmdiffperc.seg.inference import predict_depth
from mmdiffperc.visualization import colour_depth


@pytest.fixture(scope='module')
def model_files(tmp_path_factory):
    """A config and a checkpoint of it."""
    folder = tmp_path_factory.mktemp('depth')
    config = write_config(folder)
    return config, write_checkpoint(config, folder / 'depth.pth')


@pytest.fixture
def images(tmp_path):
    """A folder with two images and something else."""
    folder = tmp_path / 'images'
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, size in (('chair.png', (40, 70)), ('table.JPG', (66, 50))):
        cv2.imwrite(str(folder / name), random.integers(0, 256, (*size, 3), np.uint8))
    (folder / 'notes.txt').write_text('')
    (folder / '._chair.png').write_bytes(b'\0\5\26\7')  # as macOS writes beside each file of a foreign disk
    return folder


@pytest.fixture
def run(tool, model_files, tmp_path):
    """Runs the tool; returns its exit status."""
    import predict_depth as tool_module

    def run(image, *options):
        arguments = [*model_files, str(image), '--out', str(tmp_path / 'out'), '--device', 'cpu', *options]
        return tool_module.main(arguments)

    return run


def test_three_files_of_an_image(run, model_files, images, tmp_path, capsys):
    assert run(images / 'chair.png', '--scene', 'office') == 0
    assert 'depth maps written: 1' in capsys.readouterr().out
    expected = predict_depth(init_model(*model_files, device='cpu'), images / 'chair.png', 'office')
    depth = np.load(tmp_path / 'out/chair.npy')
    assert depth.shape == (40, 70) and depth.dtype == np.float32
    np.testing.assert_array_equal(depth, expected)
    millimetres = cv2.imread(str(tmp_path / 'out/chair_depth.png'), cv2.IMREAD_UNCHANGED)
    assert millimetres.dtype == np.uint16
    np.testing.assert_allclose(millimetres / 1000, depth, atol=6e-4)
    colours = cv2.imread(str(tmp_path / 'out/chair_colour.png'))
    np.testing.assert_array_equal(colours[..., ::-1], colour_depth(depth))


def test_folder_and_other_units(run, images, tmp_path):
    assert run(images, '--png-scale', '256') == 0
    assert sorted(file.name for file in (tmp_path / 'out').glob('*.npy')) == ['chair.npy', 'table.npy']
    units = cv2.imread(str(tmp_path / 'out/table_depth.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(units / 256, np.load(tmp_path / 'out/table.npy'), atol=2e-3)


def test_bad_images_are_reported_and_the_others_done(run, images, tmp_path, capsys):
    content = (images / 'chair.png').read_bytes()
    (images / 'a.png').write_bytes(content[: len(content) // 2])
    (images / 'b.png').write_bytes(b'')
    assert run(images) == 1
    error = capsys.readouterr().err
    assert '2 of 4 files' in error and all(f'{images / name}: ' in error for name in ('a.png', 'b.png'))
    assert sorted(file.name for file in (tmp_path / 'out').glob('*.npy')) == ['chair.npy', 'table.npy']


def test_errors_are_one_clear_line(run, images, tmp_path, capsys):
    def message(*arguments):
        assert run(*arguments) == 1
        return capsys.readouterr().err.splitlines()[-1]

    assert message(images / 'chair.png', '--scene', 'cave').startswith('predict_depth: ')
    assert 'absent.png' in message(images / 'absent.png')
    assert '50000' in message(images / 'chair.png', '--png-scale', '50000')
    assert not (tmp_path / 'out').exists()
    (images / 'chair.jpg').write_bytes((images / 'chair.png').read_bytes())
    (images / 'chair.new.png').write_bytes((images / 'chair.png').read_bytes())  # sorted between the two
    assert 'would be written to the same files' in message(images)
    (tmp_path / 'empty').mkdir()
    assert '.bmp, .jpeg' in message(tmp_path / 'empty')


@pytest.mark.parametrize('scale', ['0', '-1', 'nan', 'inf', 'many'])
def test_png_scale_is_positive(run, images, capsys, scale):
    with pytest.raises(SystemExit):
        run(images, f'--png-scale={scale}')
    error = capsys.readouterr().err.splitlines()[-1]
    assert '--png-scale' in error and repr(scale) in error


def test_checkpoints_that_cannot_be_used(tool, model_files, broken_checkpoints, images, tmp_path, capsys):
    import predict_depth as tool_module

    config, checkpoint = model_files
    for path, message in broken_checkpoints(checkpoint, 'decode_head.', 'DiffusionDepthEstimator'):
        assert tool_module.main([config, path, str(images), '--out', str(tmp_path / 'out'), '--device', 'cpu']) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('predict_depth: ')]
        assert message in line
    assert not (tmp_path / 'out').exists()


def test_column_without_depth_is_zero(tool, tmp_path):
    import predict_depth as tool_module

    with pytest.raises(ValueError, match=r'70\.0.*16 bits'):
        tool_module.write_depth(np.array([[70, np.nan]], np.float32), tmp_path / 'far', 1000)

    tool_module.write_depth(np.array([[1.5, np.nan]], np.float32), tmp_path / 'image', 1000)
    assert np.isnan(np.load(tmp_path / 'image.npy')[0, 1])
    millimetres = cv2.imread(str(tmp_path / 'image_depth.png'), cv2.IMREAD_UNCHANGED)
    assert millimetres.tolist() == [[1500, 0]]
