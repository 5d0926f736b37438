"""The model card of tiny-sd and its sample images, for ``pretrain_tiny_sd.py`` and ``score_tiny_sd.py``."""

import re
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from mmdiffperc.files import write_whole

SHOWN_CAPTIONS = (
    'a photo of a red sphere and a blue box',
    'a rendering of a green cone and a yellow cylinder',
    'a picture of a purple dome and an orange pyramid',
    'a photo of a figure and a red cone',
    'a rendering of two blue spheres',
    'a photo of a green diamond and a yellow wedge',
)
GUIDANCE_SCALE = 16.0  # a lower scale is closer to the training images, and misses more of what a caption names
SHOWN_LOSSES = ('loss', 'l1', 'mse', 'hits')
CARD = """# tiny-sd

tiny-sd is a complete Stable Diffusion in miniature. It draws rooms with simple objects. The demo, the tests and the
experiments of mmdiffperc fine-tune it. The folder has the layout of diffusers and holds an AutoencoderKL, a
UNet2DConditionModel, a CLIPTextModel, a CLIPTokenizer and a scheduler, in half precision.
`tools/pretrain_tiny_sd.py` trained it.

![Images drawn from captions](samples.png)

Each row shows images for one caption, drawn with guidance scale {guidance_scale:g} and 50 DDIM steps:

{captions}

## Size

| part | parameters |
|---|---|
{sizes}

Images are {size} x {size} pixels.

## Training

The data are {scenes:,} toy scenes (seed {seed}; domains: {shares}), with eight captions each.

- The autoencoder was trained on crops with L1 and MSE losses and a small KL loss.
- The text encoder was first trained with CLIP's objective, which matches captions and images.
- The U-Net and the text encoder were then trained together to predict velocity, the objective of Stable Diffusion 2.x,
  with one caption in ten dropped.
- The weights are moving averages over the steps of the training.

A continued stage started from an earlier tiny-sd (`--start-from`). Losses are means over the last 10 log entries. Two
numbers come from scenes that no training saw: the PSNR of the autoencoder's reconstructions in each domain, which
bounds what the model can draw, and the squared error of the predicted velocity.

| stage | steps | batch size | losses | held-out scenes |
|---|---|---|---|---|
{stages}

The model knows toy scenes only. Licence: Apache-2.0, like the code.
"""

SCORES = """## Captions

Do samples show what their captions name? {captions} captions name one or two objects each, and the model draws one
sample per caption with guidance scale {guidance_scale:g} and {steps} DDIM steps. A classifier, which
`tools/score_tiny_sd.py` trained on rendered scenes, looks for the nouns and for the pairs of colour and noun. The table
shows how often it finds everything that the caption names, and how often it does so with the captions of other images
(by chance). Scenes are held-out renderings with captions of their own objects. Reconstructions are the same scenes
after the autoencoder, the ceiling for samples.

{table}

"""
SCORES_SECTION = re.compile(r'## Captions\n.*?(?=^## )', re.DOTALL | re.MULTILINE)


def write_card(path: Path, pipeline: StableDiffusionPipeline, history: list[dict], shares: dict[str, float], **data):
    """Write the model card, with the sizes of the parts, the data, and the stages of the training."""
    parts = dict(vae=pipeline.vae, text_encoder=pipeline.text_encoder, unet=pipeline.unet)
    sizes = [f'| {name} | {sum(p.numel() for p in part.parameters()):,} |' for name, part in parts.items()]
    captions = [f'{row}. {text}' for row, text in enumerate(SHOWN_CAPTIONS, 1)]
    tables = dict(sizes=sizes, stages=[stage_row(stage) for stage in history], captions=captions)
    data['shares'] = ', '.join(f'{100 * share:.0f} % {domain}' for domain, share in shares.items())
    data['guidance_scale'] = GUIDANCE_SCALE
    write_whole(path, CARD.format(**{name: '\n'.join(rows) for name, rows in tables.items()}, **data))


def stage_row(stage: dict) -> str:
    """Return a stage of the training as a row of a table."""
    name = stage['stage'] + (', continued' if stage['continued'] else '')
    losses = ', '.join(f'{name} {value:.4f}' for name, value in stage['losses'].items())
    measured = f'error {stage["held_out"]:.4f}' if 'held_out' in stage else ''
    if 'psnr' in stage:
        measured = 'PSNR ' + ', '.join(f'{domain} {value:.1f} dB' for domain, value in stage['psnr'].items())
    return f'| {name} | {stage["step"]:,} | {stage["batch_size"]} | {losses} | {measured} |'


def add_scores(path: Path, results: dict[str, dict]):
    """Add a section to a model card that shows how often samples agree with their captions, or replace this section.

    Args:
        path (Path): The card.
        results (dict[str, dict]): Contents of the files scores.json that ``score_tiny_sd.py`` writes, by the name of
            the model. The first one belongs to the model of the card.
    """
    options = next(iter(results.values()))['options']
    section = SCORES.format(
        captions=options['num_captions'], guidance_scale=options['guidance_scale'], steps=options['num_steps'],
        table='\n'.join(score_rows(results)),
    )  # fmt: skip
    card = SCORES_SECTION.sub('', path.read_text(encoding='utf-8'))
    write_whole(path, card.replace('## Size\n', f'{section}## Size\n', 1))


def score_rows(results: dict[str, dict]) -> list[str]:
    """Return the scores of models as the rows of a table."""
    columns = ('nouns', 'nouns by chance', 'pairs', 'pairs by chance')
    rows = [f'| images | {" | ".join(columns)} |', '|---' * (1 + len(columns)) + '|']
    for images in ('samples', 'reconstructions', 'scenes'):
        for model, scores in results.items():
            shares = [f'{100 * scores["images"][images][column]:.1f} %' for column in columns]
            rows.append(f'| {images}, {model} | {" | ".join(shares)} |')
    return rows


def draw(pipeline: StableDiffusionPipeline, size: int, per_caption: int = 4, num_steps: int = 50) -> np.ndarray:
    """Draw a row of images of ``size`` x ``size`` pixels per caption, and return them as RGB ``(H, W, 3)``, uint8."""
    rows = []
    for seed, text in enumerate(SHOWN_CAPTIONS):
        images = pipeline(
            text, height=size, width=size, num_images_per_prompt=per_caption, num_inference_steps=num_steps,
            guidance_scale=GUIDANCE_SCALE, generator=torch.Generator().manual_seed(seed), output_type='np',
        ).images  # fmt: skip
        rows.append(np.concatenate(images, axis=1))
    return (np.concatenate(rows) * 255).round().astype(np.uint8)
