"""The pre-training of tiny-sd, for a few steps on a few scenes."""

import functools
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from mmdiffperc.models import DiffusionUNet

TOOL = Path(__file__).parents[2] / 'tools' / 'pretrain_tiny_sd.py'
SCENES, STEPS = 2, 2
WEIGHTS = 'tiny-sd/unet/diffusion_pytorch_model.safetensors'
# The files of a work directory, without the export, and whether the next run can do without what one has lost.
FILES = {
    'scenes/000000.npz': False,
    'autoencoder.pt': False,
    'tokenizer/tokenizer.json': False,
    'tokenizer/tokenizer_config.json': False,
    'moments.pt': False,
    'text.pt': False,
    'unet.pt': False,
    'log.jsonl': True,
    WEIGHTS: True,
}


@pytest.fixture(scope='module')
def tool():
    """The tool as a module, made to render few scenes and to draw one picture in two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOL.parent)
        spec = importlib.util.spec_from_file_location('pretrain_tiny_sd', TOOL)
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)  # the processes that render look it up by name
        spec.loader.exec_module(module)
        patch.setattr(module, 'CHUNK', SCENES)
        patch.setattr(sys.modules['tiny_sd_card'], 'SHOWN_CAPTIONS', ('a photo of a cone',))
        patch.setattr(module, 'draw', functools.partial(module.draw, per_caption=1, num_steps=2))
        yield module


def run(tool, work_dir: Path, *options: str) -> int:
    steps = [option for stage in ('autoencoder', 'text', 'unet') for option in (f'--{stage}-steps', str(STEPS))]
    sizes = ['--num-scenes', str(SCENES), '--workers', '1', '--text-batch-size', '3', '--log-every', '1']
    return tool.main(['--work-dir', str(work_dir), *steps, *sizes, *options])


@pytest.fixture(scope='module')
def whole(tool, tmp_path_factory):
    """The work directory of an undisturbed run."""
    folder = tmp_path_factory.mktemp('whole')
    assert run(tool, folder) == 0
    return folder


@pytest.fixture
def begun(whole, tmp_path):
    """A work directory in which all stages are done; files are links, except those that the tool changes in place."""
    folder = tmp_path / 'begun'
    shutil.copytree(whole, folder, copy_function=os.link)
    (folder / 'log.jsonl').unlink()
    shutil.copyfile(whole / 'log.jsonl', folder / 'log.jsonl')
    return folder


def weights(work_dir: Path, stage: str) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / f'{stage}.pt', weights_only=True)['model']


def test_export_is_a_stable_diffusion_and_a_backbone(whole):
    folder = whole / 'tiny-sd'
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
    assert pipeline('a red box', num_inference_steps=1, output_type='np').images.shape == (1, 128, 128, 3)
    backbone = DiffusionUNet(
        arch=str(folder),
        prompts=dict(type='ClassPrompts', classes=['box', 'cone']),
        init_cfg=dict(type='Pretrained', checkpoint=str(folder)),
    )
    backbone.init_weights()
    trained = weights(whole, 'unet')
    for name, value in backbone.unet.state_dict().items():
        torch.testing.assert_close(value, trained[f'unet.{name}'].half().float())
    assert not torch.equal(*backbone.prompts.embeddings)
    # The latents it was trained on have unit variance.
    moments = torch.load(whole / 'moments.pt', weights_only=True)
    assert float(moments[:, :4].std()) * pipeline.vae.config.scaling_factor == pytest.approx(1, abs=1e-3)


def test_card_and_log_tell_how_far_it_got(whole):
    log = [json.loads(line) for line in (whole / 'log.jsonl').read_text().splitlines()]
    assert [(entry['stage'], entry['step']) for entry in log] == [
        (stage, step) for stage in ('autoencoder', 'text', 'unet') for step in (1, 2)
    ]
    loss = log[-2]['loss'] / 2 + log[-1]['loss'] / 2
    assert f'| unet | {STEPS} | loss {loss:.4f} |' in (whole / 'tiny-sd/README.md').read_text()


def test_killed_in_a_stage_it_ends_with_the_same_weights(tool, whole, begun, monkeypatch):
    (begun / 'unet.pt').unlink()
    original, calls = tool.F.mse_loss, []

    def mse_loss_that_dies(*args):
        calls.append(args)
        if len(calls) == STEPS:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(tool.F, 'mse_loss', mse_loss_that_dies)
        assert run(tool, begun, '--save-every', '0') == 130
    assert torch.load(begun / 'unet.pt', weights_only=True)['step'] == 1
    assert run(tool, begun) == 0
    resumed = weights(begun, 'unet')
    for name, value in weights(whole, 'unet').items():
        assert torch.equal(value, resumed[name]), name


def test_every_file_is_tried(whole):
    files = {path.relative_to(whole).as_posix() for path in whole.rglob('*') if path.is_file()}
    assert {file for file in files if not file.startswith('tiny-sd/')} == FILES.keys() - {WEIGHTS}


@pytest.mark.parametrize('name', FILES)
def test_damaged_file_is_made_again_or_named(tool, whole, begun, capsys, name):
    content = (begun / name).read_bytes()
    (begun / name).unlink()
    (begun / name).write_bytes(content + content[:20] if name == 'log.jsonl' else content[: len(content) // 2])
    status = run(tool, begun)
    if FILES[name]:
        assert status == 0
        assert (begun / name).read_bytes() == (whole / name).read_bytes()
    else:
        error = capsys.readouterr().err.splitlines()[-1]
        assert status == 1 and str(begun / Path(name).parts[0]) in error and 'damaged' in error


def test_folder_to_go_on_from_must_exist(tool, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tool, tmp_path / 'new', '--start-from', str(tmp_path / 'typo'))
    error = capsys.readouterr().err
    assert '--start-from' in error and 'typo' in error and not (tmp_path / 'new').exists()
