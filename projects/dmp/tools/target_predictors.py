"""Models that predict targets of images well enough to learn from them.

Each is called with RGB images ``(H, W, 3)``, 8 bits, of equal size, and a random generator for each; and returns their
targets, as they are to be stored: colours of 8 or 16 bits, or numbers ``(H, W)``.
"""

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, MarigoldDepthPipeline, MarigoldIntrinsicsPipeline, MarigoldNormalsPipeline
from generation import model_errors
from PIL import Image
from transformers import pipeline

from mmdiffperc.generative.coloured_segmentation import classes_to_colours, resolve_palette

MARIGOLD = {
    'normals': (MarigoldNormalsPipeline, 'prs-eth/marigold-normals-v1-1'),
    'depth': (MarigoldDepthPipeline, 'prs-eth/marigold-depth-v1-1'),
    'albedo': (MarigoldIntrinsicsPipeline, 'prs-eth/marigold-iid-lighting-v1-1'),
    'shading': (MarigoldIntrinsicsPipeline, 'prs-eth/marigold-iid-lighting-v1-1'),
}


class Marigold:
    """A pipeline of `Marigold <https://arxiv.org/abs/2505.09358>`_, or any other with its interface.

    Depth is relative, 0 at the nearest and 1 at the farthest. Normals are stored as ``(n + 1) / 2`` in 16 bits, albedo
    and shading as sRGB.

    Args:
        kind (str): A key of ``MARIGOLD``.
        model (str, optional): Hub id or diffusers folder. Default: that of the kind.
        device (str): Where to compute.
        dtype (str): Of the weights.
        steps (int, optional): Of denoising. Default: those of the model.
        ensemble_size (int): Predictions of an image that are averaged. Defaults to 1.
        resolution (int, optional): Longer side in the model; 0: that of the image. Default: that of the model.

    Raises:
        OSError: The model cannot be loaded.
        ValueError: The model is another pipeline of diffusers, or decomposes images, but not into this.
    """

    def __init__(self, kind, model, device, dtype, steps=None, ensemble_size=1, resolution=None):
        pipeline_class, default = MARIGOLD[kind]
        self.kind = kind
        model = model or default
        with model_errors(model):
            name = DiffusionPipeline.load_config(model)['_class_name']
        # Pipelines of others, with the interface of Marigold, have names that diffusers does not know.
        if name != pipeline_class.__name__ and hasattr(diffusers, name):
            raise ValueError(f'--model {model}: expected a {pipeline_class.__name__} for --kind {kind}, got a {name}')
        with model_errors(model):
            self.pipeline = pipeline_class.from_pretrained(model, dtype=getattr(torch, dtype)).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        self.ensemble_size = ensemble_size
        self.options = dict(num_inference_steps=steps, processing_resolution=resolution)
        properties = getattr(self.pipeline, 'target_properties', None) or dict(target_names=[kind])
        if kind not in properties['target_names']:
            raise ValueError(f'{model} decomposes images into {properties["target_names"]}, not into {kind}')

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
    """Any model of transformers that estimates depth, such as ZoeDepth; in its unit, metres for a metric one.

    Args:
        model (str): Hub id or folder.
        device (str): Where to compute.
        dtype (str): Of the weights.
    """

    def __init__(self, model, device, dtype):
        with model_errors(model):
            self.pipeline = pipeline('depth-estimation', model, device=device, dtype=getattr(torch, dtype))

    def __call__(self, images: list[np.ndarray], generators: list[torch.Generator]) -> list[np.ndarray]:
        """Predict depth; nothing is random about it."""
        results = self.pipeline([Image.fromarray(image) for image in images], batch_size=len(images))
        depth = [result['predicted_depth'].squeeze().float().cpu().numpy() for result in results]
        for target in depth:
            check_finite(target)
        return depth


def check_finite(prediction: np.ndarray):
    """Check what a model predicts before it is stored, since 8 and 16 bits cannot show what is missing.

    Raises:
        ValueError: It is not finite.
    """
    if not np.isfinite(prediction).all():
        raise ValueError('The model predicts NaN or infinity; expected finite numbers. Use --dtype bfloat16 or float32')


class Segmentor:
    """Semantic segmentation by any model of mmseg, in colours.

    Args:
        config (str): Of the model.
        checkpoint (str): Its weights.
        palette (str): See :func:`mmdiffperc.generative.coloured_segmentation.resolve_palette`.
        device (str): Where to compute.
    """

    def __init__(self, config, checkpoint, palette, device):
        from mmseg.apis import init_model  # only segmentation needs the host

        self.model = init_model(config, checkpoint, device)
        self.palette = resolve_palette(palette)

    def __call__(self, images: list[np.ndarray], generators: list[torch.Generator]) -> list[np.ndarray]:
        """Predict classes, and paint them; nothing is random about it."""
        from mmseg.apis import inference_model

        results = inference_model(self.model, [np.ascontiguousarray(image[..., ::-1]) for image in images])
        classes = [result.pred_sem_seg.data[0].cpu().numpy() for result in results]
        return [classes_to_colours(one, self.palette) for one in classes]
