"""The pipelines of diffusers predict from an exported folder what the model predicts, and the folder loads here."""

import re
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_published import write_published

from mmdiffperc.generative import OneStepDiffusion
from mmdiffperc.generative.marigold_export import export_marigold
from mmdiffperc.generative.published import published_settings

NO_SIGNAL = dict(timestep_spacing='trailing', rescale_betas_zero_snr=True)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Of U-Nets with 4 and 8 channels, by these numbers."""
    root = tmp_path_factory.mktemp('folders')
    written = {channels: write_published(root / f'{channels}', unet=dict(in_channels=channels)) for channels in (4, 8)}
    for folder in written.values():
        Path(folder, 'model_index.json').unlink()  # so that they may predict anything
    return written


def make_model(folder, **options):
    defaults = dict(target_scale='quantiles', processing_res=64, scheduler=dict(timestep_spacing='trailing'))
    init_cfg = dict(type='Pretrained', checkpoint=folder)
    model = OneStepDiffusion(arch=folder, init_cfg=init_cfg, **defaults | options)
    model.init_weights()
    torch.manual_seed(1)
    for name, weight in model.unet.named_parameters():
        if '.lora_B.' in name or 'class_embedding.linear_2' in name:  # both start at 0
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def run_readme(folder, image, monkeypatch):
    """Do what the README says with an image ``(H, W, 3)`` in BGR, in the folder."""
    monkeypatch.chdir(folder)
    cv2.imwrite('image.png', image)
    code = re.search(r'\n((?:    .*\n|\n)+)', (folder / 'README.md').read_text())[1]
    names = {}
    exec(textwrap.dedent(code), names)  # noqa: S102
    return names['prediction']


@pytest.mark.parametrize(
    ('channels', 'options', 'scale'),
    [
        (8, dict(target_input='zeros', lora=dict(r=2)), 1),
        (8, dict(target_input='zeros', target_scale=8.0, num_tokens=2, processing_res=0), 8),
        (4, dict(scheduler=NO_SIGNAL, target_transform='disparity'), 1),
        (
            4,
            dict(
                target_mode='normals',
                target_scale=1.0,
                target_axes='Lotus',
                prediction_type='sample',
                task_embedding=(1, 0),
                num_tokens=2,
            ),
            1,
        ),
    ],
)
def test_export(folders, image, tmp_path, monkeypatch, channels, options, scale):
    model = make_model(folders[channels], **options)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    export_marigold(model, tmp_path / 'out')
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    inputs = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    expected = model.estimate(inputs).clamp(max=scale)  # the pipeline clips
    assert expected.std() > 0.01
    found = run_readme(tmp_path / 'out', image, monkeypatch)
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2) * scale, expected.numpy(), atol=5e-5 * scale, rtol=0)

    again = OneStepDiffusion(**published_settings(tmp_path / 'out'))
    again.init_weights()
    torch.testing.assert_close(again.eval().estimate(inputs).clamp(max=scale), expected, atol=5e-5 * scale, rtol=0)


def test_several_steps_of_noise(folders, tmp_path, image):
    """The pipeline ends with clean latents, as the model does."""
    model = make_model(folders[8], target_input='noise', num_steps=4, num_tokens=2)
    assert not model.process.scheduler.config.set_alpha_to_one
    export_marigold(model, tmp_path / 'out')
    with pytest.raises(ValueError, match="depth.*'normals'"):
        published_settings(tmp_path / 'out', 'normals')
    again = OneStepDiffusion(**published_settings(tmp_path / 'out') | dict(last_latents='previous'))
    again.init_weights()
    inputs = torch.rand(1, 3, 24, 32) * 2 - 1
    torch.testing.assert_close(again.eval().estimate(inputs), model.estimate(inputs), atol=1e-5, rtol=0)


def test_what_the_pipelines_cannot_do(folders, tmp_path):
    options = dict(
        target_scale='per_image',
        use_prompts=True,
        timestep=500,
        processing_res=60,
    )
    model = make_model(folders[4], **options)
    names = 'per_image.*use_prompts.*timestep=500.*v_prediction.*processing_res=60'
    with pytest.raises(ValueError, match=names):
        export_marigold(model, tmp_path / 'out')
    model = make_model(folders[8], target_mode='RGB', target_scale=1.0, target_input='noise', num_steps=7)
    with pytest.raises(ValueError, match='RGB.*num_steps=7'):
        export_marigold(model, tmp_path / 'out')
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(FileExistsError, match='out'):
        export_marigold(make_model(folders[8], target_input='zeros'), tmp_path / 'out')
