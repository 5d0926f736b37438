"""Captions of images by a model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

REQUEST = 'Describe this image in one short sentence.'


class ImageCaptioner:
    """Describe images with an image-to-text model of transformers, such as BLIP-2, which the official DMP uses.

    A model with a chat template answers a request for a caption; any other model, such as BLIP or GIT, receives only
    the image. Decoding is greedy, so that an image always gets the same caption.

    Args:
        model (str | Path): Hub id or folder.
        device (str): Device to compute on. Defaults to ``'cpu'``.
        dtype (str): Type of the weights. Defaults to ``'float32'``.
        max_tokens (int): Maximum number of tokens in a caption. Defaults to 40.
        min_tokens (int): Minimum number of tokens in a caption. Defaults to 0.

    Raises:
        OSError: The model cannot be found, or is not an image-to-text model.
    """

    def __init__(
        self, model: str | Path, device: str = 'cpu', dtype: str = 'float32', max_tokens: int = 40, min_tokens: int = 0
    ):
        try:
            network = AutoModelForImageTextToText.from_pretrained(model, dtype=getattr(torch, dtype))
            processor = AutoProcessor.from_pretrained(model)
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition('\n')[0]  # the other lines list all models of transformers
            raise OSError(
                f'{model}: expected an image-to-text model, as a folder, or as a hub id that is in the cache or can be '
                f'downloaded ({reason})'
            ) from error
        self.model = network.to(device).eval()
        self.lengths = dict(max_new_tokens=max_tokens)
        if min_tokens:
            self.lengths['min_new_tokens'] = min_tokens
        self.chat_processor = processor if getattr(processor, 'chat_template', None) else None
        if self.chat_processor:
            self.tokenizer = processor.tokenizer
            self.tokenizer.padding_side = 'left'  # an answer must directly follow its request
        else:
            self.image_processor = AutoImageProcessor.from_pretrained(model)
            self.tokenizer = AutoTokenizer.from_pretrained(model)

    @torch.inference_mode()
    def caption(self, images: Sequence[np.ndarray]) -> list[str]:
        """Return the captions of images ``(H, W, 3)`` in BGR, uint8, of any sizes."""
        pictures = [Image.fromarray(image[..., ::-1]) for image in images]
        inputs = self._request(pictures) if self.chat_processor else self._encode(pictures)
        inputs = inputs.to(self.model.device, self.model.dtype)  # integers keep their type
        tokens = self.model.generate(**inputs, **self.lengths, do_sample=False, num_beams=1)
        if self.chat_processor:
            tokens = tokens[:, inputs['input_ids'].shape[1] :]
        return [' '.join(text.split()) for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]

    def _encode(self, pictures):
        return self.image_processor(pictures, return_tensors='pt')

    def _request(self, pictures):
        content = [dict(type='image'), dict(type='text', text=REQUEST)]
        request = self.chat_processor.apply_chat_template(
            [dict(role='user', content=content)], add_generation_prompt=True, tokenize=False
        )
        images = [[picture] for picture in pictures]
        return self.chat_processor(images=images, text=[request] * len(pictures), padding=True, return_tensors='pt')
