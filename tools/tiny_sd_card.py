"""The card of tiny-sd: what it is, how it was trained and how far, and pictures that it draws."""

from collections import defaultdict
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

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

A complete Stable Diffusion in miniature: AutoencoderKL, UNet2DConditionModel, CLIPTextModel, CLIPTokenizer and
scheduler in diffusers' folder layout, half precision. It draws rooms with simple things in them, and is what
mmdiffperc's demo, tests and experiments fine-tune. Made by `tools/pretrain_tiny_sd.py`.

![Pictures drawn from captions](samples.png)

One row per caption, guidance 4, 50 DDIM steps:

{captions}

## Size

| part | parameters |
|---|---|
{sizes}

Images are {size} x {size} pixels.

## Training

Data: {scenes} toy scenes (seed {seed}; {share_b} % of them of domain b) with eight captions each. The autoencoder
learnt L1 + MSE + a little KL, on crops. The text encoder learnt which caption belongs to which image, CLIP's
objective; then it and the U-Net together learnt to predict velocity, the objective of Stable Diffusion 2.x, with one
caption in ten dropped. A continued stage went on from an earlier tiny-sd (`--start-from`). Losses are means over the
last 10 log entries.

| stage | steps | losses |
|---|---|---|
{losses}

It knows nothing but toy scenes. Licence: Apache-2.0, as the code.
"""


def write_card(path: Path, pipeline: StableDiffusionPipeline, entries: list[dict], **data):
    """Write what the model is, what it was trained on and how far, from the log of its training."""
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
    """Return the means over the last entries of a stage's log."""
    last = entries[-10:]
    return ', '.join(f'{name} {mean(entry[name] for entry in last):.4f}' for name in SHOWN_LOSSES if name in last[0])


def draw(pipeline: StableDiffusionPipeline, size: int, per_caption: int = 4, num_steps: int = 50) -> Image.Image:
    """Draw one row of pictures per caption, each ``size`` pixels wide and high."""
    rows = []
    for seed, text in enumerate(SHOWN_CAPTIONS):
        images = pipeline(
            text, height=size, width=size, num_images_per_prompt=per_caption, num_inference_steps=num_steps,
            guidance_scale=4.0, generator=torch.Generator().manual_seed(seed), output_type='np',
        ).images  # fmt: skip
        rows.append(np.concatenate(images, axis=1))
    return Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8))
