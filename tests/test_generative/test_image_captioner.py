import numpy as np
import pytest
import torch
from tiny_captioners import END, save_blip, save_llava
from transformers import GPT2Config

from mmdiffperc.generative.image_captioner import REQUEST, ImageCaptioner


@pytest.fixture(scope='module')
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(256, size=(*size, 3), dtype=np.uint8) for size in ((32, 48), (40, 32))]


def test_model_that_takes_only_the_image(tmp_path, images):
    captioner = ImageCaptioner(save_blip(tmp_path), max_tokens=5)
    captions = captioner.caption(images)
    assert captions == [captioner.caption([image])[0] for image in images]
    assert captions[0] != captions[1] and all(captions) and END not in captions[0]


def test_model_that_chats_is_asked(tmp_path, images):
    """And its answer has no part of the request."""
    captioner = ImageCaptioner(save_llava(tmp_path), max_tokens=5)
    told = []
    captioner.model.register_forward_pre_hook(
        lambda model, args, kwargs: told.append(kwargs['input_ids']), with_kwargs=True
    )
    captions = captioner.caption(images)
    asked = captioner.tokenizer.batch_decode(told[0], skip_special_tokens=True)
    assert [text.replace(' .', '.') for text in asked] == [REQUEST] * 2
    assert all(len(caption.split()) <= 5 for caption in captions)


def test_colours_and_type(tmp_path, images):
    """The processor gets RGB, and the network the type of its weights."""
    captioner = ImageCaptioner(save_blip(tmp_path), dtype='bfloat16', max_tokens=2)
    seen = []
    captioner.model.vision_model.register_forward_pre_hook(
        lambda model, args, kwargs: seen.append(kwargs['pixel_values']), with_kwargs=True
    )
    blue = np.zeros((32, 32, 3), np.uint8)
    blue[..., 0] = 255  # BGR
    captioner.caption([blue])
    assert seen[0].dtype == torch.bfloat16 and seen[0].mean((0, 2, 3)).argmax() == 2


def test_another_kind_of_model(tmp_path):
    """One line, which names the model; transformers lists all its models."""
    GPT2Config().save_pretrained(tmp_path)
    for model in (tmp_path, tmp_path / 'missing'):
        with pytest.raises(OSError, match='image-to-text') as error:
            ImageCaptioner(model)
        assert str(error.value).startswith(str(model)) and '\n' not in str(error.value)
