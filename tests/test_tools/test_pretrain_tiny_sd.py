"""The pre-training of tiny-sd, for a few steps on a few scenes."""

import functools
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from mmdiffperc.models import DiffusionUNet

TOOL = Path(__file__).parents[2] / 'tools' / 'pretrain_tiny_sd.py'
SCENES, STEPS = 3, 4


@pytest.fixture
def tool(monkeypatch):
    """The tool as a module, made to render few scenes and to draw one picture."""
    monkeypatch.syspath_prepend(TOOL.parent)
    spec = importlib.util.spec_from_file_location('pretrain_tiny_sd', TOOL)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # the processes that render look it up by name
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'CHUNK', SCENES)
    monkeypatch.setattr(sys.modules['tiny_sd_card'], 'SHOWN_CAPTIONS', ('a photo of a cone',))
    monkeypatch.setattr(module, 'draw', functools.partial(module.draw, per_caption=1))
    return module


def run(tool, monkeypatch, work_dir: Path):
    steps = ['--autoencoder-steps', str(STEPS), '--text-steps', str(STEPS), '--unet-steps', str(STEPS)]
    options = [
        '--num-scenes',
        str(SCENES),
        '--workers',
        '1',
        '--text-batch',
        '3',
        '--log-every',
        '2',
        '--save-every',
        '0',
    ]
    monkeypatch.setattr(sys, 'argv', ['pretrain_tiny_sd.py', str(work_dir), *steps, *options])
    tool.main()


def weights(work_dir: Path, stage: str) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / f'{stage}.pt', weights_only=True)['model']


def test_pretraining(tool, monkeypatch, tmp_path):
    run(tool, monkeypatch, tmp_path / 'whole')
    folder = tmp_path / 'whole' / 'tiny-sd'

    # What it exports is a Stable Diffusion for diffusers, and a backbone for us.
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
    assert pipeline('a red box', num_inference_steps=2, output_type='np').images.shape == (1, 128, 128, 3)
    backbone = DiffusionUNet(
        arch=str(folder),
        prompts=dict(type='ClassPrompts', classes=['box', 'cone']),
        init_cfg=dict(type='Pretrained', checkpoint=str(folder)),
    )
    backbone.init_weights()
    trained = weights(tmp_path / 'whole', 'unet')
    for name, value in backbone.unet.state_dict().items():
        torch.testing.assert_close(value, trained[f'unet.{name}'].half().float())
    assert not torch.equal(*backbone.prompts.embeddings)

    # The latents it was trained on have unit variance; the card and the log tell how far it got.
    moments = torch.load(tmp_path / 'whole' / 'moments.pt', weights_only=True)
    assert float(moments[:, :4].std()) * pipeline.vae.config.scaling_factor == pytest.approx(1, abs=1e-3)
    log = [json.loads(line) for line in (tmp_path / 'whole' / 'log.jsonl').read_text().splitlines()]
    assert [(entry['stage'], entry['step']) for entry in log] == [
        (stage, step) for stage in ('autoencoder', 'text', 'unet') for step in (2, 4)
    ]
    assert (
        f'| unet | {STEPS} | loss {log[-2]["loss"] / 2 + log[-1]["loss"] / 2:.4f} |'
        in (folder / 'README.md').read_text()
    )

    # Killed in the middle of a stage and started again, it ends with the same weights.
    original, calls = tool.F.mse_loss, []

    def mse_loss_that_dies(*args):
        calls.append(args)
        if len(calls) == STEPS + 2:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(tool.F, 'mse_loss', mse_loss_that_dies)
        with pytest.raises(KeyboardInterrupt):
            run(tool, monkeypatch, tmp_path / 'killed')
    assert torch.load(tmp_path / 'killed' / 'unet.pt', weights_only=True)['step'] == 1
    run(tool, monkeypatch, tmp_path / 'killed')
    for name, value in trained.items():
        assert torch.equal(value, weights(tmp_path / 'killed', 'unet')[name]), name
