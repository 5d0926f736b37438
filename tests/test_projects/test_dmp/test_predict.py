import json

import cv2
import numpy as np
import pytest

from mmdiffperc.generative import TargetInferencer
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.lora import add_attention_lora, save_lora

SIZE = 40


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """A config of depth in metres, up to 8 of them."""
    text = f"""
custom_imports = dict(imports=['mmdiffperc'])
model = dict(
    type='DeterministicDiffusion',
    arch='tiny-sd',
    target_mode='F',
    target_scale=8.0,
    guidance_scale=2.0,
    num_steps=2,
    init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
)
test_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=({SIZE}, {SIZE}))]))
"""
    path = tmp_path_factory.mktemp('config') / 'depth.py'
    path.write_text(text)
    return path


@pytest.fixture
def photos(tmp_path):
    """A folder with two images, and something else."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, size in (('bed.png', (67, 51)), ('door.JPG', (45, 50))):
        cv2.imwrite(str(folder / name), random.integers(0, 256, (*size, 3), np.uint8))
    (folder / 'notes.txt').write_text('')
    return folder


@pytest.fixture
def run(tool, config, lora, tmp_path):
    """Runs the tool; returns its exit status."""
    module = tool('predict')

    def run(image, *options, adapter=lora):
        fixed = '--lora', str(adapter), '--out', str(tmp_path / 'out'), '--device', 'cpu'
        return module.main([str(config), str(image), *fixed, *options])

    return run


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def test_files_of_an_image(run, config, lora, photos, tmp_path, capsys):
    assert run(photos / 'bed.png', '--prompt', 'a bed') == 0
    assert 'predictions written: 1; there before: 0' in capsys.readouterr().out
    depth = np.load(tmp_path / 'out/bed.npz')['x']
    expected = TargetInferencer(config, lora=lora, device='cpu')(photos / 'bed.png', 'a bed')
    assert depth.shape == (67, 51) and depth.dtype == np.float32
    np.testing.assert_array_equal(depth, expected)
    seen = cv2.imread(str(tmp_path / 'out/bed.png'), cv2.IMREAD_UNCHANGED)
    assert seen.dtype == np.uint16
    np.testing.assert_allclose(seen / 65535, (depth / 8).clip(0, 1), atol=1e-5)


def test_folder_continues_where_it_was_interrupted(run, photos, tmp_path, capsys):
    captions = tmp_path / 'captions.txt'
    captions.write_text('a bed\na door\n')
    (photos / 'door.JPG').rename(tmp_path / 'door.JPG')
    (photos / 'door.JPG').write_bytes(b'damaged')
    assert run(photos, '--prompts', str(captions)) == 1
    assert 'door.JPG: empty, damaged' in capsys.readouterr().err.splitlines()[-1]
    assert names(tmp_path / 'out') == ['bed.npz', 'bed.png']
    (tmp_path / 'door.JPG').replace(photos / 'door.JPG')
    (tmp_path / 'out/bed.npz').write_bytes(b'left as it is')
    assert run(photos, '--prompts', str(captions)) == 0
    assert 'predictions written: 1; there before: 1' in capsys.readouterr().out
    assert (tmp_path / 'out/bed.npz').read_bytes() == b'left as it is'
    assert np.load(tmp_path / 'out/door.npz')['x'].shape == (45, 50)
    assert run(photos, '--prompts', str(captions)) == 0
    assert 'predictions written: 0; there before: 2' in capsys.readouterr().out


@pytest.mark.parametrize('options', [['--batch-size', '2'], ['--save-steps']])
def test_bad_images_are_reported_and_the_others_done(run, photos, tmp_path, capsys, options):
    """Cut short, and a panorama that is too long for the model; the first batch has no image at all."""
    content = (photos / 'bed.png').read_bytes()
    (photos / 'a.png').write_bytes(content[: len(content) // 2])
    cv2.imwrite(str(photos / 'b.png'), np.zeros((40, 400, 3), np.uint8))
    assert run(photos, '--no-prompts', *options) == 1
    captured = capsys.readouterr()
    assert '2 of 4 files' in captured.err and '400 x 40' in captured.err and '4/4' in captured.err
    assert all(f'{photos / name}' in captured.err for name in ('a.png', 'b.png'))
    assert sorted(file.name for file in (tmp_path / 'out').glob('*.npz')) == ['bed.npz', 'door.npz']


def test_captions_of_metadata(run, config, lora, photos, tmp_path):
    (photos / 'metadata.jsonl').write_text(json.dumps(dict(file_name='bed.png', text='a bed')))
    assert run(photos) == 0
    expected = TargetInferencer(config, lora=lora, device='cpu')(photos / 'bed.png', 'a bed')
    np.testing.assert_array_equal(np.load(tmp_path / 'out/bed.npz')['x'], expected)


def test_folders_in_the_metadata_stay_apart(run, config, lora, photos, tmp_path):
    for folder, name in (('a', 'bed.png'), ('b', 'door.JPG')):
        (photos / folder).mkdir()
        (photos / name).rename(photos / folder / f'1{(photos / name).suffix}')
    lines = [dict(file_name='b/1.JPG'), dict(file_name='a/1.png')]
    (photos / 'metadata.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    (tmp_path / 'captions.txt').write_text('a bed\na door\n')  # in the order of names, not of lines
    assert run(photos, '--prompts', str(tmp_path / 'captions.txt')) == 0
    assert names(tmp_path / 'out') == ['a/1.npz', 'a/1.png', 'b/1.npz', 'b/1.png']
    expected = TargetInferencer(config, lora=lora, device='cpu')(photos / 'a/1.png', 'a bed')
    np.testing.assert_array_equal(np.load(tmp_path / 'out/a/1.npz')['x'], expected)


def test_images_are_not_written_over(run, photos, capsys):
    before = (photos / 'bed.png').read_bytes()
    for image in (photos, photos / 'bed.png'):
        assert run(image, '--no-prompts', '--out', str(photos)) == 1
        assert f'{photos / "bed.png"} would be written over' in capsys.readouterr().err
    assert (photos / 'bed.png').read_bytes() == before and not (photos / 'bed.npz').exists()


def test_options_reach_the_model(run, config, lora, photos, tmp_path):
    assert run(photos / 'bed.png', '--no-prompts', '--sampler', 'oracle', '--steps', '3', '--size', '48') == 0
    options = dict(use_prompts=False, guidance_scale=1, sampler='oracle', num_steps=3)
    expected = TargetInferencer(config, lora=lora, size=48, device='cpu', **options)(photos / 'bed.png')
    np.testing.assert_array_equal(np.load(tmp_path / 'out/bed.npz')['x'], expected)


def test_batches_equal_one_by_one(run, photos, tmp_path, capsys):
    """Of three images two are of one size in the model; what had been done is counted, and left."""
    cv2.imwrite(str(photos / 'lamp.png'), cv2.imread(str(photos / 'bed.png'))[::-1])
    (tmp_path / 'captions.txt').write_text('a bed\na door\na lamp\n')
    assert run(photos, '--prompts', str(tmp_path / 'captions.txt')) == 0
    alone = {name: np.load(tmp_path / f'out/{name}.npz')['x'] for name in ('bed', 'door', 'lamp')}
    (tmp_path / 'out/bed.npz').unlink()
    (tmp_path / 'out/lamp.npz').unlink()
    assert run(photos, '--prompts', str(tmp_path / 'captions.txt'), '--batch-size', '3') == 0
    captured = capsys.readouterr()
    assert 'predictions written: 2; there before: 1' in captured.out and '3/3' in captured.err
    for name, expected in alone.items():
        np.testing.assert_allclose(np.load(tmp_path / f'out/{name}.npz')['x'], expected, atol=1e-3)
    assert np.abs(alone['bed'] - alone['lamp']).max() > 0.1


@pytest.mark.parametrize(
    'option',
    [
        ('--guidance', 'nan'),
        ('--guidance', 'inf'),
        ('--size', '1'),
        ('--size', '1000000'),
        ('--seed', '-1'),
        ('--steps', '0'),
        ('--batch-size', 'many'),
    ],
)
def test_options_out_of_range(run, photos, capsys, option):
    with pytest.raises(SystemExit):
        run(photos, *option)
    error = capsys.readouterr().err.splitlines()[-1]
    assert all(part in error for part in (*option, 'expected'))


def test_files_of_another_kind(tool, run, photos, tmp_path, capsys):
    with pytest.raises(SystemExit):
        tool('predict').main([str(photos / 'bed.png'), str(photos), '--lora', 'a'])
    assert 'argument config: expected a config' in capsys.readouterr().err
    assert run(photos, '--prompts', str(photos / 'bed.png')) == 1
    (tmp_path / 'prompts.txt').write_bytes(b'\xff\xfe')
    assert run(tmp_path / 'prompts.txt') == 1
    one, other = capsys.readouterr().err.splitlines()
    assert 'bed.png' in one and 'UTF-8' in one
    assert 'prompts.txt' in other and 'UTF-8' in other


def test_steps_are_of_one_image(run, photos, capsys):
    for options in (['--save-steps', '--batch-size', '2'], ['--batch-size', '0']):
        with pytest.raises(SystemExit):
            run(photos, '--no-prompts', *options)
    assert '--batch-size' in capsys.readouterr().err


def test_steps_on_request(run, photos, tmp_path):
    assert run(photos / 'bed.png', '--no-prompts') == 0
    assert run(photos / 'bed.png', '--no-prompts', '--save-steps') == 0  # not done without the steps
    assert names(tmp_path / 'out/steps') == ['bed/001.png', 'bed/501.png']
    first, last = (cv2.imread(str(tmp_path / f'out/steps/bed/{step}.png'), -1) for step in ('501', '001'))
    assert last.dtype == np.uint16 and last.shape == (67, 51) and (first != last).any()
    np.testing.assert_array_equal(last, cv2.imread(str(tmp_path / 'out/bed.png'), -1))


def test_prompts_are_drawn_first(run, photos, tmp_path):
    """What was drawn before is not drawn again."""
    (tmp_path / 'prompts.txt').write_text('a bed\na red sphere\n')
    (tmp_path / 'out/images').mkdir(parents=True)
    (photos / 'bed.png').rename(tmp_path / 'out/images/00000.png')
    assert run(tmp_path / 'prompts.txt') == 0
    numbers = '00000', '00001'
    stems = [f'{number}.{suffix}' for number in numbers for suffix in ('npz', 'png')]
    assert names(tmp_path / 'out') == [*stems, *(f'images/{number}.png' for number in numbers)]
    assert np.load(tmp_path / 'out/00000.npz')['x'].shape == (67, 51)
    drawn = cv2.imread(str(tmp_path / 'out/images/00001.png'))
    assert drawn.shape == np.load(tmp_path / 'out/00001.npz')['x'].shape + (3,) == (128, 128, 3) and drawn.std() > 10


def test_errors_are_one_clear_line(run, photos, tmp_path, capsys):
    def message(*arguments, **options):
        assert run(*arguments, **options) == 1
        return capsys.readouterr().err.splitlines()[-1]

    bed = photos / 'bed.png'
    assert message(bed).startswith(
        f'predict: use_prompts=True needs a caption for each image: {bed} has none (--prompt'
    )
    (photos / 'metadata.jsonl').write_text('{"file_name": "bed.png", "text": "a bed"}\n{"file_name": "door.JPG"}\n')
    assert f'each image: {photos / "door.JPG"} has none' in message(photos)
    assert 'guidance_scale=2.0 needs prompts' in message(bed, '--no-prompts', '--guidance', '2')
    assert 'num_steps=1001: expected' in message(bed, '--no-prompts', '--steps', '1001')
    assert 'notes.txt: expected prompts' in message(photos / 'notes.txt')
    assert 'absent.png' in message(photos / 'absent.png', '--no-prompts')
    assert 'No LoRA in the folder' in message(bed, '--no-prompts', adapter=photos)
    assert not list((tmp_path / 'out').glob('*'))


def test_adapter_of_another_base(run, photos, tmp_path, capsys):
    from tiny_arch import write_arch

    unet = build_unet(write_arch(tmp_path / 'arch'))
    add_attention_lora(unet, r=2)
    save_lora(unet, tmp_path / 'other')
    assert run(photos / 'bed.png', '--no-prompts', adapter=tmp_path / 'other') == 1
    assert 'holds no LoRA for this U-Net' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['../photos/bed.png', '{photos}/bed.png'])
def test_nothing_is_written_outside_of_the_folder(run, photos, tmp_path, capsys, name):
    before = names(tmp_path)
    (photos / 'metadata.jsonl').write_text(json.dumps(dict(file_name=name.format(photos=photos))))
    assert run(photos, '--no-prompts') == 1
    assert 'metadata.jsonl, line 1: ' in capsys.readouterr().err
    assert names(tmp_path) == sorted([*before, 'photos/metadata.jsonl'])


def test_files_that_hold_no_text(run, photos, capsys):
    for options in ((photos / 'notes.txt',), (photos, '--prompts', str(photos / 'notes.txt'))):
        (photos / 'notes.txt').write_bytes(b'\x89PNG\xff')
        assert run(*options) == 1
        assert 'notes.txt: expected a text file in UTF-8' in capsys.readouterr().err
