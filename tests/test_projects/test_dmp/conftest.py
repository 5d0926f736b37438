"""Tiny models of every kind, and images."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    MarigoldDepthPipeline,
    MarigoldIntrinsicsPipeline,
    MarigoldNormalsPipeline,
    UNet2DConditionModel,
)
from tiny_captioners import save_blip
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from mmdiffperc.inference.metadata import metadata_line
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.weights.architectures import build_text_encoder, build_tokenizer, build_unet, build_vae
from mmdiffperc.weights.loading import load_weights


@pytest.fixture(scope='session')
def language_model(tmp_path_factory):
    """A folder with a GPT-2 of one layer, with random weights."""
    folder = tmp_path_factory.mktemp('gpt2')
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(['A photo of a bedroom with a bed.'] * 9, 300, special_tokens=['<|endoftext|>'])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, eos_token='<|endoftext|>')
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=96, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def marigold(kind):
    """A Marigold pipeline of tiny-sd's autoencoder and a random U-Net."""
    torch.manual_seed(0)
    targets = 3 if kind == 'intrinsics' else 1
    unet = build_unet('tiny-sd')
    latents = unet.config.in_channels
    config = dict(unet.config, in_channels=latents * (1 + targets), out_channels=latents * targets)
    text_encoder = build_text_encoder('tiny-sd')
    load_weights('tiny-sd', text_encoder=text_encoder)
    parts = dict(
        unet=UNet2DConditionModel.from_config(config),
        vae=build_vae('tiny-sd'),
        scheduler=DDIMScheduler(prediction_type='v_prediction'),
        text_encoder=text_encoder,
        tokenizer=build_tokenizer('tiny-sd'),
        default_denoising_steps=1,
        default_processing_resolution=0,
    )
    if kind == 'depth':
        return MarigoldDepthPipeline(**parts, prediction_type='depth', scale_invariant=True, shift_invariant=True)
    if kind == 'normals':
        return MarigoldNormalsPipeline(**parts, prediction_type='normals')
    names = ['albedo', 'shading', 'residual']
    properties = dict(target_names=names, **{name: dict(prediction_space='srgb') for name in names})
    return MarigoldIntrinsicsPipeline(**parts, prediction_type='intrinsics', target_properties=properties)


@pytest.fixture(scope='session')
def marigold_folder(tmp_path_factory):
    """Saves a pipeline, once, and gives its folder."""
    folders = {}

    def save(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind)
            marigold(kind).save_pretrained(folders[kind])
        return str(folders[kind])

    return save


@pytest.fixture(scope='session')
def captioning_model(tmp_path_factory):
    """A folder with a tiny BLIP, with random weights."""
    return save_blip(tmp_path_factory.mktemp('blip'))


@pytest.fixture
def images(tmp_path):
    """A folder of three images of two sizes, with metadata."""
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (('a.png', (32, 48)), ('b.png', (32, 48)), ('c.png', (40, 32))):
        (folder / name).write_bytes(encode_png(rng.integers(256, size=(*size, 3), dtype=np.uint8)))
    (folder / 'metadata.jsonl').write_text(''.join(metadata_line(f'{name}.png', 'a box') for name in 'abc'))
    return folder
