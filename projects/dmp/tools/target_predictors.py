"""Predict pseudo ground truth with models of several libraries. Not a tool itself.

Each model takes 8-bit RGB images ``(H, W, 3)`` of equal size and a random generator per image. It returns the targets
in the form in which they are stored: colours of 8 or 16 bits, or numbers ``(H, W)``.
"""

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, MarigoldDepthPipeline, MarigoldIntrinsicsPipeline, MarigoldNormalsPipeline
from generation import model_errors
from PIL import Image
from transformers import pipeline

from mmdiffperc.generative.evaluation.coloured_segmentation import classes_to_colours, resolve_palette
from mmdiffperc.inference import build_inferencer

MARIGOLD = {
    'normals': (MarigoldNormalsPipeline, 'prs-eth/marigold-normals-v1-1'),
    'depth': (MarigoldDepthPipeline, 'prs-eth/marigold-depth-v1-1'),
    'albedo': (MarigoldIntrinsicsPipeline, 'prs-eth/marigold-iid-lighting-v1-1'),
    'shading': (MarigoldIntrinsicsPipeline, 'prs-eth/marigold-iid-lighting-v1-1'),
}
ZOEDEPTH = 'Intel/zoedepth-nyu'  # ZoeD_N, with which the paper made its depth


class Marigold:
    """A pipeline of `Marigold <https://arxiv.org/abs/2505.09358>`_, or another pipeline with the same interface.

    Depth is relative, from 0 at the nearest point to 1 at the farthest point. Normals are stored as ``(n + 1) / 2``
    with 16 bits, and albedo and shading as sRGB.

    Args:
        kind (str): A key of ``MARIGOLD``.
        model (str, optional): Hub id or diffusers folder. Default: the Marigold model for ``kind``.
        device (str): Device to compute on.
        dtype (str): Type of the weights.
        num_steps (int, optional): Number of denoising steps. Default: the model's.
        ensemble_size (int): Number of predictions to average. Defaults to 1.
        resolution (int, optional): Longer side to which images are resized; 0 keeps their size. Default: that of the
            model.

    Raises:
        OSError: The model cannot be loaded.
        ValueError: The model is a different pipeline of diffusers, or does not predict this kind of target.
    """

    def __init__(self, kind, model, device, dtype, num_steps=None, ensemble_size=1, resolution=None):
        pipeline_class, default = MARIGOLD[kind]
        self.kind = kind
        model = model or default
        with model_errors(model):
            name = DiffusionPipeline.load_config(model)['_class_name']
        # A third-party pipeline with Marigold's interface has a class name that diffusers does not define.
        if name != pipeline_class.__name__ and hasattr(diffusers, name):
            raise ValueError(f'--model {model}: expected a {pipeline_class.__name__} for --kind {kind}, got a {name}')
        with model_errors(model):
            self.pipeline = pipeline_class.from_pretrained(model, dtype=getattr(torch, dtype)).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        self.ensemble_size = ensemble_size
        self.options = dict(num_inference_steps=num_steps, processing_resolution=resolution)
        properties = getattr(self.pipeline, 'target_properties', None) or dict(target_names=[kind])
        if kind not in properties['target_names']:
            raise ValueError(f'--model {model}: expected a model of {kind}, got one of {properties["target_names"]}')

    def __call__(self, images: list[np.ndarray], generators: list[torch.Generator]) -> list[np.ndarray]:
        """Predict the targets of images."""
        prediction = self.pipeline(
            [Image.fromarray(image) for image in images],
            ensemble_size=self.ensemble_size,
            batch_size=len(images) * self.ensemble_size,
            generator=[generator for generator in generators for _ in range(self.ensemble_size)],
            **{name: value for name, value in self.options.items() if value is not None},
        ).prediction
        check_finite(prediction)
        if self.kind == 'depth':
            return list(prediction[..., 0].astype(np.float32))
        if self.kind == 'normals':
            return [np.round((normals / 2 + 0.5) * 65535).clip(0, 65535).astype(np.uint16) for normals in prediction]
        parts = self.pipeline.image_processor.visualize_intrinsics(prediction, self.pipeline.target_properties)
        return [np.array(part[self.kind]) for part in parts]


class TransformersDepth:
    """Any depth estimation model of transformers, such as ZoeDepth. A metric model predicts metres.

    Args:
        model (str): Hub id or folder.
        device (str): Device to compute on.
        dtype (str): Type of the weights.
    """

    def __init__(self, model, device, dtype):
        with model_errors(model):
            self.pipeline = pipeline('depth-estimation', model, device=device, dtype=getattr(torch, dtype))

    def __call__(self, images: list[np.ndarray], generators: list[torch.Generator]) -> list[np.ndarray]:
        """Predict depth, without using the random generators."""
        results = self.pipeline([Image.fromarray(image) for image in images], batch_size=len(images))
        depth = [result['predicted_depth'].squeeze().float().cpu().numpy() for result in results]
        for target in depth:
            check_finite(target)
        return depth


def check_finite(prediction: np.ndarray):
    """Check a prediction before it is stored as integers, which cannot represent NaN.

    Raises:
        ValueError: The prediction is not finite.
    """
    if not np.isfinite(prediction).all():
        raise ValueError('expected finite predictions, got NaN or infinity; use --dtype bfloat16 or float32')


class Segmentor:
    """Any segmentation model of mmseg, whose classes become colours.

    Args:
        config (str): Config file of the model.
        weights (str): Checkpoint of the model.
        palette (str): See :func:`mmdiffperc.generative.evaluation.coloured_segmentation.resolve_palette`.
        device (str): Device to compute on.
    """

    def __init__(self, config, weights, palette, device):
        self.inferencer = build_inferencer(config, weights, device=device, show_progress=False)
        self.palette = resolve_palette(palette)

    def __call__(self, images: list[np.ndarray], generators: list[torch.Generator]) -> list[np.ndarray]:
        """Predict classes and convert them to colours, without using the random generators."""
        predictions = self.inferencer([image[..., ::-1] for image in images], batch_size=len(images))['predictions']
        return [classes_to_colours(prediction['labels'], self.palette) for prediction in predictions]
