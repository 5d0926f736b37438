"""Write the model card of tiny-sd and draw its sample images, for ``pretrain_tiny_sd.py``."""

from collections import defaultdict
from pathlib import Path
from statistics import mean

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
SHOWN_LOSSES = ('loss', 'l1', 'mse', 'hits')
CARD = """# tiny-sd

tiny-sd is a complete Stable Diffusion in miniature. It draws rooms with simple objects. The demo, the tests and the
experiments of mmdiffperc fine-tune it. The folder has the layout of diffusers and holds an AutoencoderKL, a
UNet2DConditionModel, a CLIPTextModel, a CLIPTokenizer and a scheduler, in half precision.
`tools/pretrain_tiny_sd.py` trained it.

![Images drawn from captions](samples.png)

Each row shows images for one caption, drawn with guidance scale 4 and 50 DDIM steps:

{captions}

## Size

| part | parameters |
|---|---|
{sizes}

Images are {size} x {size} pixels.

## Training

The data are {scenes} toy scenes (seed {seed}; {share_b} % of them from domain b), with eight captions each.

- The autoencoder was trained on crops with L1 and MSE losses and a small KL loss.
- The text encoder was first trained with CLIP's objective, which matches captions and images.
- The U-Net and the text encoder were then trained together to predict velocity, the objective of Stable Diffusion 2.x,
  with one caption in ten dropped.

A continued stage started from an earlier tiny-sd (`--start-from`). Losses are means over the last 10 log entries.

| stage | steps | losses |
|---|---|---|
{losses}

The model knows toy scenes only. Licence: Apache-2.0, like the code.
"""

SCORES = """Each caption names one or two objects, and the model draws one sample per caption. A classifier, which
`tools/score_tiny_sd.py` trained on rendered scenes, looks for the nouns and for the pairs of colour and noun. The table
shows how often it finds everything that the caption names, and how often it does so with the captions of other images
(by chance). Scenes are held-out renderings with captions of their own objects. Reconstructions are the same scenes
after the autoencoder, the ceiling for samples.
"""


def write_card(path: Path, pipeline: StableDiffusionPipeline, entries: list[dict], **data):
    """Write the model card, with the sizes of the parts, the data, and the losses of the training log."""
    stages = defaultdict(list)
    for entry in entries:
        stages[entry['stage'] + (', continued' if entry['continued'] else '')].append(entry)
    parts = dict(vae=pipeline.vae, text_encoder=pipeline.text_encoder, unet=pipeline.unet)
    sizes = [f'| {name} | {sum(p.numel() for p in part.parameters()):,} |' for name, part in parts.items()]
    losses = [f'| {stage} | {logged[-1]["step"]} | {last_losses(logged)} |' for stage, logged in stages.items()]
    captions = [f'{row}. {text}' for row, text in enumerate(SHOWN_CAPTIONS, 1)]
    tables = dict(sizes=sizes, losses=losses, captions=captions)
    write_whole(path, CARD.format(**{name: '\n'.join(rows) for name, rows in tables.items()}, **data))


def last_losses(entries: list[dict]) -> str:
    """Format the mean losses of the last entries of a stage."""
    last = entries[-10:]
    return ', '.join(f'{name} {mean(entry[name] for entry in last):.4f}' for name in SHOWN_LOSSES if name in last[0])


def score_lines(results: dict[str, dict]) -> list[str]:
    """Return the lines of the card that show how often samples agree with their captions.

    Args:
        results (dict[str, dict]): Contents of the files scores.json that ``score_tiny_sd.py`` writes, by the name of
            the model.
    """
    columns = ('nouns', 'nouns by chance', 'pairs', 'pairs by chance')
    lines = [SCORES, f'| images | {" | ".join(columns)} |', '|---' * (1 + len(columns)) + '|']
    for images in ('samples', 'reconstructions', 'scenes'):
        for model, scores in results.items():
            shares = [f'{100 * scores["images"][images][column]:.1f} %' for column in columns]
            lines.append(f'| {images}, {model} | {" | ".join(shares)} |')
    return lines


def draw(pipeline: StableDiffusionPipeline, size: int, per_caption: int = 4, num_steps: int = 50) -> np.ndarray:
    """Draw a row of images of ``size`` x ``size`` pixels per caption, and return them as RGB ``(H, W, 3)``, uint8."""
    rows = []
    for seed, text in enumerate(SHOWN_CAPTIONS):
        images = pipeline(
            text, height=size, width=size, num_images_per_prompt=per_caption, num_inference_steps=num_steps,
            guidance_scale=4.0, generator=torch.Generator().manual_seed(seed), output_type='np',
        ).images  # fmt: skip
        rows.append(np.concatenate(images, axis=1))
    return (np.concatenate(rows) * 255).round().astype(np.uint8)
