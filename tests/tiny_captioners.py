"""Image-to-text models of transformers at a tiny size, with random weights."""

import re
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from mmdiffperc.generative.image_captioner import REQUEST

SIZES = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
VISION = dict(SIZES, image_size=32, patch_size=16)
END, IMAGE = '<|endoftext|>', '<image>'
TEMPLATE = (
    '{% for message in messages %}{% for part in message.content %}'
    "{{ '<image>' if part.type == 'image' else part.text }}"
    '{% endfor %}{% endfor %}'
)


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, so that random tokens are readable; one token has all special roles."""
    words = 'a photo of the red blue green box cone sphere room with and bed chair door'.split()
    vocabulary = [END, IMAGE, *words, *re.findall(r'\w+|[.]', REQUEST)]
    ids = {word: number for number, word in enumerate(dict.fromkeys(vocabulary))}
    model = Tokenizer(WordLevel(ids, unk_token=END))
    model.pre_tokenizer = Whitespace()
    roles = ('bos_token', 'eos_token', 'pad_token', 'cls_token', 'sep_token', 'unk_token')
    return PreTrainedTokenizerFast(
        tokenizer_object=model, additional_special_tokens=[IMAGE], **dict.fromkeys(roles, END)
    )


def save_blip(folder: Path) -> Path:
    """A model that takes only the image."""
    tokens = tokenizer()
    roles = dict(bos_token_id=0, eos_token_id=0, sep_token_id=0, pad_token_id=0)
    text = dict(SIZES, vocab_size=len(tokens), encoder_hidden_size=16, max_position_embeddings=64, **roles)
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=VISION, projection_dim=8))
    torch.manual_seed(4)  # one of those whose captions depend on the image
    for parameter in model.parameters():  # with the initial weights, the image would hardly matter
        parameter.data.normal_()
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size=dict(height=32, width=32)), tokens).save_pretrained(folder)
    return folder


def save_llava(folder: Path) -> Path:
    """A model that chats."""
    tokens = tokenizer()
    text = dict(SIZES, model_type='llama', vocab_size=len(tokens), bos_token_id=0, eos_token_id=0, pad_token_id=0)
    torch.manual_seed(0)
    vision = dict(VISION, model_type='clip_vision_model', projection_dim=8)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=tokens.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
    )  # fmt: skip
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(size=dict(shortest_edge=32), crop_size=dict(height=32, width=32))
    LlavaProcessor(
        pictures, tokens, patch_size=16, vision_feature_select_strategy='default', image_token=IMAGE,
        chat_template=TEMPLATE, num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return folder
