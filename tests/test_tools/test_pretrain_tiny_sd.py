"""The pre-training of tiny-sd, for a few steps on a few scenes."""

import functools
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, StableDiffusionPipeline
from safetensors.torch import load_file

from mmdiffperc.models import DiffusionUNet

TOOL = Path(__file__).parents[2] / 'tools' / 'pretrain_tiny_sd.py'
SCENES, HELD_OUT, STEPS = 2, 2, 2
DOMAINS = 'abcd'
WEIGHTS = 'tiny-sd/unet/diffusion_pytorch_model.safetensors'
# The files of a work directory, without the export, and whether the next run can do without what one has lost.
FILES = {
    'scenes/000000.npz': False,
    **{f'scenes/held-out-{domain}.npz': False for domain in DOMAINS},
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
    """The tool as a module, made to train narrow networks on few scenes and to draw one picture in two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOL.parent)
        spec = importlib.util.spec_from_file_location('pretrain_tiny_sd', TOOL)
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)  # the processes that render look it up by name
        spec.loader.exec_module(module)
        patch.setitem(module.RECIPE['autoencoder'], 'block_out_channels', (8, 16, 24, 32))
        patch.setitem(module.RECIPE['unet'], 'block_out_channels', (16, 32, 48, 64))
        patch.setattr(module, 'CHUNK', SCENES)
        patch.setattr(module, 'HELD_OUT', HELD_OUT)
        patch.setattr(sys.modules['tiny_sd.card'], 'SHOWN_CAPTIONS', ('a photo of a cone',))
        patch.setattr(module, 'draw', functools.partial(module.draw, per_caption=1, num_steps=2))
        yield module


def run(tool, work_dir: Path, *options: str) -> int:
    steps = [option for stage in ('autoencoder', 'text', 'unet') for option in (f'--{stage}-steps', str(STEPS))]
    sizes = ['--num-scenes', str(SCENES), '--workers', '1', '--text-batch-size', '3', '--unet-batch-size', '3']
    sizes += ['--log-every', '1']
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


def state(work_dir: Path, stage: str) -> dict:
    return torch.load(work_dir / f'{stage}.pt', weights_only=True)


def averages(work_dir: Path, stage: str) -> dict[str, torch.Tensor]:
    """Return the moving averages of the weights by name: a stage saves no buffers, so the order is the same."""
    saved = state(work_dir, stage)
    return dict(zip(saved['model'], saved['average']['shadow_params'], strict=True))


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
    trained = averages(whole, 'unet')
    for name, value in backbone.unet.state_dict().items():
        torch.testing.assert_close(value, trained[f'unet.{name}'].half().float())
    assert not torch.equal(*backbone.prompts.embeddings)
    # The latents it was trained on have unit variance.
    moments = state(whole, 'moments')['moments']
    assert float(moments[:, :8].std()) * pipeline.vae.config.scaling_factor == pytest.approx(1, abs=1e-3)


def test_card_and_history_tell_how_far_it_got(whole):
    log = [json.loads(line) for line in (whole / 'log.jsonl').read_text().splitlines()]
    trained = [(entry['stage'], entry['step']) for entry in log if 'step' in entry]
    assert trained == [(stage, step) for stage in ('autoencoder', 'text', 'unet') for step in (1, 2)]
    measured = {key: entry[key] for entry in log for key in ('psnr', 'held_out') if key in entry}
    losses = [entry['loss'] for entry in log if entry['stage'] == 'unet' and 'loss' in entry]
    loss = sum(losses) / STEPS
    card = (whole / 'tiny-sd/README.md').read_text()
    assert f'| unet | {STEPS} | 3 | loss {loss:.4f} | error {measured["held_out"]:.4f} |' in card
    assert ', '.join(f'{domain} {measured["psnr"][domain]:.1f} dB' for domain in DOMAINS) in card
    last = json.loads((whole / 'tiny-sd/history.json').read_text())[-1]
    assert (last['stage'], last['step'], last['held_out']) == ('unet', STEPS, measured['held_out'])


def test_psnr_of_the_autoencoder(tool, whole):
    """The logged PSNR is the one of the exported autoencoder, which has weights in half precision."""
    log = [json.loads(line) for line in (whole / 'log.jsonl').read_text().splitlines()]
    logged = next(entry['psnr'] for entry in log if 'psnr' in entry)
    vae = AutoencoderKL.from_pretrained(whole / 'tiny-sd/vae', torch_dtype=torch.float32).eval()
    for domain in DOMAINS:
        images = torch.from_numpy(np.load(whole / f'scenes/held-out-{domain}.npz')['images']).permute(0, 3, 1, 2)
        with torch.no_grad():
            output = vae(images / 127.5 - 1).sample.clamp(-1, 1)
        errors = (output - (images / 127.5 - 1)).square().mean(dim=(1, 2, 3))
        assert (10 * torch.log10(4 / errors)).mean().item() == pytest.approx(logged[domain], abs=0.02)


def test_killed_in_a_stage_it_ends_with_the_same_weights(tool, whole, begun, monkeypatch):
    (begun / 'unet.pt').unlink()
    original, calls = tool.velocity_loss, []

    def loss_that_dies(*args):
        calls.append(args)
        if len(calls) == STEPS:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(tool, 'velocity_loss', loss_that_dies)
        assert run(tool, begun, '--save-every', '0') == 130
    assert state(begun, 'unet')['step'] == 1
    assert run(tool, begun) == 0
    resumed = averages(begun, 'unet')
    for name, value in averages(whole, 'unet').items():
        assert torch.equal(value, resumed[name]), name


def test_the_unet_can_be_compiled(tool, whole, begun, monkeypatch):
    (begun / 'unet.pt').unlink()
    compiled, calls = [], []

    def compile_without_compiler(unet):
        compiled.append(unet)
        return lambda *inputs: calls.append(inputs) or unet(*inputs)

    monkeypatch.setattr(torch, 'compile', compile_without_compiler)
    assert run(tool, begun, '--compile') == 0
    assert len(compiled) == 1 and len(calls) == STEPS  # only training calls it
    weights = averages(begun, 'unet')
    for name, value in averages(whole, 'unet').items():
        assert torch.equal(value, weights[name]), name


def test_the_unet_trains_the_noisiest_of_several_timesteps(tool, begun, monkeypatch):
    original, seen = tool.velocity_loss, []
    monkeypatch.setattr(tool, 'velocity_loss', lambda *args: seen.append(args[4]) or original(*args))
    for draws in ('1', '4'):
        (begun / 'unet.pt').unlink()
        assert run(tool, begun, '--timestep-draws', draws) == 0
    one, most = seen[0], seen[len(seen) // 2]  # of the first steps of the two runs
    assert (most >= one).all() and (most > one).any()  # the first of the four is the same one


def test_the_gain_from_captions_is_logged(tool, begun, monkeypatch):
    (begun / 'unet.pt').unlink()
    original, calls = tool.velocity_loss, []

    def recorded(*args):
        calls.append((args, original(*args)))
        return calls[-1][1]

    monkeypatch.setattr(tool, 'velocity_loss', recorded)
    assert run(tool, begun) == 0
    (_, with_others), (_, with_own) = calls[-2:]
    (others, own) = (args for args, _ in calls[-2:])
    assert torch.equal(others[3][1:], own[3][:-1]) and not torch.equal(others[3], own[3])  # tokens
    assert all(torch.equal(others[n], own[n]) for n in (2, 5)) and set(own[4].tolist()) == {980}
    log = [json.loads(line) for line in (begun / 'log.jsonl').read_text().splitlines()]
    (gain,) = [entry['caption_gain'] for entry in log if 'caption_gain' in entry]
    assert gain == pytest.approx((with_others.mean() - with_own.mean()).item(), abs=1e-5)


def test_tiny_autoencoder_learns_the_scaled_latents(tool, whole, begun):
    assert run(tool, begun, '--tiny-autoencoder-steps', str(STEPS)) == 0
    tiny = AutoencoderTiny.from_pretrained(begun / 'tiny-autoencoder', torch_dtype=torch.float32).eval()
    vae = AutoencoderKL.from_pretrained(whole / 'tiny-sd/vae', torch_dtype=torch.float32).eval()
    images = torch.from_numpy(
        np.concatenate([np.load(begun / f'scenes/held-out-{domain}.npz')['images'] for domain in DOMAINS])
    )
    pixels = images.permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
        error = (tiny.encode(pixels).latents - latents).square().mean().item()
    log = [json.loads(line) for line in (begun / 'log.jsonl').read_text().splitlines()]
    logged = [entry for entry in log if entry['stage'] == 'tiny_autoencoder']
    assert logged[-1]['held_out'] == pytest.approx(error, rel=0.01)  # the folders are in half precision
    assert logged[1]['encoder'] < logged[0]['encoder'] and logged[1]['decoder'] < logged[0]['decoder']


def test_time_limit_exports_what_it_has_and_the_next_run_goes_on(tool, whole, begun):
    (begun / 'unet.pt').unlink()
    shutil.rmtree(begun / 'tiny-sd')
    assert run(tool, begun, '--time-limit', '1e-9') == 0
    assert state(begun, 'unet')['step'] == 0 and (begun / WEIGHTS).exists()
    assert run(tool, begun) == 0
    assert (begun / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


@pytest.mark.parametrize(('stage', 'files'), [('autoencoder', ()), ('text', ('tokenizer', 'moments.pt', 'text.pt'))])
def test_it_stops_after_the_last_stage(tool, whole, begun, stage, files):
    for name in ('tokenizer', 'tiny-sd'):
        shutil.rmtree(begun / name)
    for name in ('moments.pt', 'text.pt', 'unet.pt'):
        (begun / name).unlink()
    assert run(tool, begun, '--last-stage', stage) == 0
    assert {path.name for path in begun.iterdir()} == {'scenes', 'log.jsonl', 'autoencoder.pt', *files}


def test_it_goes_on_from_an_export(tool, whole, tmp_path):
    """Parts with 0 steps stay, and the history of the earlier run precedes that of this one."""
    start = whole / 'tiny-sd'
    options = ['--start-from', str(start), '--autoencoder-steps', '0', '--text-steps', '0', '--seed', '1']
    assert run(tool, tmp_path, *options) == 0
    made, before = (
        load_file(folder / 'vae/diffusion_pytorch_model.safetensors') for folder in (tmp_path / 'tiny-sd', start)
    )
    assert made.keys() == before.keys() and all(torch.equal(made[name], before[name]) for name in made)
    earlier, later = (json.loads((folder / 'history.json').read_text()) for folder in (start, tmp_path / 'tiny-sd'))
    assert later[:3] == earlier and [(stage['stage'], stage['continued']) for stage in later[3:]] == [('unet', True)]
    assert f'| unet, continued | {STEPS} |' in (tmp_path / 'tiny-sd/README.md').read_text()


def test_recipe_changes_the_networks(tool, tmp_path):
    options = ['autoencoder.latent_channels=3', 'unet.block_out_channels=16,16,32,16', 'domains.d=0', 'domains.a=0.6']
    assert run(tool, tmp_path, '--cfg-options', *options, '--snr-gamma', '5', '--dtype', 'bfloat16') == 0
    vae, unet = (json.loads((tmp_path / f'tiny-sd/{part}/config.json').read_text()) for part in ('vae', 'unet'))
    assert vae['latent_channels'] == unet['in_channels'] == unet['out_channels'] == 3
    assert unet['block_out_channels'] == [16, 16, 32, 16]
    assert '60 % a, 20 % b, 20 % c, 0 % d' in (tmp_path / 'tiny-sd/README.md').read_text()


def test_unknown_key_of_the_recipe(tool, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tool, tmp_path / 'new', '--cfg-options', 'vae.latent_channels=3')
    error = capsys.readouterr().err
    assert 'vae.latent_channels' in error and 'autoencoder' in error


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
