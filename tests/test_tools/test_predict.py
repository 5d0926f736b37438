import cv2
import numpy as np
import predict
import pytest
import tiny_depth
from mmengine.config import Config
from pages import ROOT, commands

from mmdiffperc.inference import build_inferencer

POSE = 'configs/metaprompts/td-hm_metaprompts-sd1-5_8xb64-210e_coco-256x192.py'


@pytest.fixture(scope='module')
def model_files(tmp_path_factory):
    """A config and a checkpoint of a depth estimator."""
    folder = tmp_path_factory.mktemp('depth')
    config = tiny_depth.write_config(folder)
    return config, tiny_depth.write_checkpoint(config, folder / 'depth.pth')


@pytest.fixture
def run(model_files, tmp_path):
    """Runs the tool; returns its exit status."""

    def run(*arguments, files=model_files):
        return predict.main([*files, *map(str, arguments), '--out', str(tmp_path / 'out'), '--device', 'cpu'])

    return run


def written(tmp_path):
    return sorted(path.name for path in (tmp_path / 'out').iterdir())


def test_options_reach_the_inferencer(run, model_files, photos, image, tmp_path, capsys):
    assert run(photos / 'bed.png', '--scene', 'office', '--png-scale', '100') == 0
    depth = np.load(tmp_path / 'out/bed_depth.npz')['depth']
    inferencer = build_inferencer(*model_files, device='cpu', show_progress=False)
    np.testing.assert_array_equal(depth, inferencer(image, scene='office')['predictions'][0]['depth'])
    units = cv2.imread(str(tmp_path / 'out/bed_depth.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(units / 100, depth, atol=6e-3)
    printed = capsys.readouterr().out
    assert f'{photos / "bed.png"}: {depth.min():.2f} to {depth.max():.2f} m' in printed
    assert 'predictions written: 1' in printed


def test_several_inputs_and_a_second_run(run, photos, tmp_path, capsys):
    assert run(photos / 'bed.png', f'{photos}/*.JPG', '--batch-size', '2', '--dtype', 'bfloat16') == 0
    names = [f'{stem}_{rest}' for stem in ('bed', 'door') for rest in ('colour.png', 'depth.npz', 'depth.png')]
    assert written(tmp_path) == names
    capsys.readouterr()
    assert run(photos, '--skip-existing') == 0
    assert 'predictions written: 0' in capsys.readouterr().out


def test_images_that_cannot_be_read(run, photos, tmp_path, capsys):
    (photos / 'a.png').write_bytes((photos / 'bed.png').read_bytes()[:300])
    (photos / '._bed.png').write_bytes(b'\0\5\26\7')  # as macOS writes beside each file of a foreign disk
    assert run(photos) == 1
    printed, error = capsys.readouterr()
    assert 'predictions written: 2' in printed
    assert '1 of 3' in error and f'{photos / "a.png"}: ' in error and '._bed' not in error
    assert len(written(tmp_path)) == 6


def test_settings_of_the_config(run, tmp_path, photos, capsys):
    assert run(photos, '--cfg-options', 'model.test_cfg.mode=nonsense') == 1
    assert 'nonsense' in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('config', 'options'),
    [
        (POSE, {'--box', '--detector', '--detector-weights', '--threshold'}),
        ('configs/vpd/vpd_sd1-5-refer_8xb4-40e_refcoco-512x512.py', {'--text'}),
        ('configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py', set()),
    ],
)
def test_help_lists_the_options_of_the_task(capsys, config, options):
    helps = []
    for arguments in ([config, '--help'], ['--help']):
        with pytest.raises(SystemExit):
            predict.main(arguments)
        helps.append(set(capsys.readouterr().out.split()))
    assert options < helps[0] and not options & helps[1]
    assert {'--out', '--device', '--dtype', '--batch-size', '--skip-existing', '--cfg-options'} < helps[1]


def test_wrong_command_lines(tmp_path, capsys):
    def error(arguments):
        with pytest.raises(SystemExit):
            predict.main(arguments)
        return capsys.readouterr().err.splitlines()[-1]

    assert '--scene' in error([POSE, 'a.pth', 'a.png', '--scene', 'kitchen'])
    assert 'WEIGHTS' in error([POSE])
    assert '--scene' in error(['--out', 'out', POSE, 'a.pth', 'a.png', '--scene', 'kitchen'])
    assert 'WEIGHTS' in error(['--box', *'1234', POSE])  # an option of the task
    Config(dict(model=dict(type='Nothing'))).dump(tmp_path / 'config.py')
    assert predict.main([str(tmp_path / 'config.py'), 'a.pth', 'a.png']) == 1
    message = capsys.readouterr().err
    assert message.startswith('predict: ') and "'Nothing'" in message and 'DepthEstimator' in message


def test_errors_are_one_clear_line(run, photos, tmp_path, capsys):
    def message(*arguments):
        assert run(*arguments) == 1
        return capsys.readouterr().err.splitlines()[-1]

    assert message(photos, '--scene', 'cave').startswith("predict: Unknown scene 'cave'")
    assert 'absent.png' in message(photos / 'absent.png')
    assert '16 bits' in message(photos, '--png-scale', '50000')
    assert not (tmp_path / 'out').exists()


def test_checkpoints_that_cannot_be_used(run, model_files, broken_checkpoints, photos, tmp_path, capsys):
    config, checkpoint = model_files
    for path, message in broken_checkpoints(checkpoint, 'decode_head.', 'DiffusionDepthEstimator'):
        assert run(photos, files=(config, path)) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('predict: ')]
        assert message in line
    assert not (tmp_path / 'out').exists()


def test_the_command_of_the_first_page(tmp_path, monkeypatch, capsys):
    """A fresh clone has its config, its checkpoint and its image."""
    command = next(command for command in commands() if command.startswith('python tools/predict.py')).split()
    monkeypatch.chdir(ROOT)
    assert predict.main([*command[2:], '--out', str(tmp_path), '--device', 'cpu']) == 0
    assert {'floor', 'wall'} < set(capsys.readouterr().out.split())
    assert len(list(tmp_path.glob('scene_*.png'))) == 2
