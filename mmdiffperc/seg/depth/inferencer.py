"""Predict depth."""

import argparse

import numpy as np
from mmseg.structures import SegDataSample

from mmdiffperc.inference.captioned import CaptionedInferencer
from mmdiffperc.inference.controls import Control
from mmdiffperc.inference.inputs import Frame
from mmdiffperc.inference.pipeline import dataset_for_testing
from mmdiffperc.inference.writers import encode_npz, encode_png
from mmdiffperc.visualization.depth import colour_depth
from mmdiffperc_cli.options import AUTO, positive_float

from .checked_nyu_dataset import UNKNOWN_SCENE, find_scene


class DepthInferencer(CaptionedInferencer):
    """Predict depth with one of mmseg's depth estimators.

    An image passes the test pipeline of the config and is tested in the config's test mode. (mmseg's own inferencer
    takes a scene only by its number, as ``dict(img=ARRAY, category_id=NUMBER)``.) A prediction is ``dict(depth=...)``,
    an array ``(H, W)`` in metres, float32, at the size of the image, or of its crop if the pipeline crops it
    (``KBCrop``).

    For each image, ``NAME_depth.npz`` holds this array as ``depth``, ``NAME_depth.png`` holds it in 16 bits, and
    ``NAME_colour.png`` shows it in colours. Pixels in no window of the test mode have the depth NaN, in the PNG 0.

    Options of a call:

    - ``scene`` (str, optional): One of the scene classes with which the model was trained, such as ``'kitchen'``; or
      ``'auto'`` to find it in the name of each image, as the test data of the config do (:func:`.find_scene`).
      Default: unknown, for which the model uses the mean prompt of all scenes.
    - ``text`` (str, optional): A caption, see :class:`.CaptionedInferencer`.
    - ``png_scale`` (float): Units of ``NAME_depth.png`` per metre. Defaults to 1000, for millimetres.

    Raises:
        ValueError: In a call: an unknown scene; a depth does not fit into 16 bits.
    """

    preprocess_kwargs = {'scene', 'text'}
    postprocess_kwargs = {'png_scale'}
    endings = ('_depth.npz', '_depth.png')
    picture_ending = '_colour'

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser):
        """Add ``--scene``, ``--text`` and ``--png-scale``."""
        super().add_options(parser)
        parser.add_argument(
            '--scene',
            help='scene class of the images, such as kitchen, or auto to find it in their names (default: unknown)',
        )
        parser.add_argument(
            '--png-scale',
            type=positive_float,
            metavar='UNITS',
            help='units of the 16-bit PNG per metre (default: 1000)',
        )

    @property
    def controls(self) -> tuple[Control, ...]:
        """The scene or the caption, if the model takes one."""
        scene = (Control('scene', 'choice', 'Scene', choices=self._scenes),) if self._scenes else ()
        return (*scene, *super().controls)

    @property
    def _scenes(self) -> tuple[str, ...]:
        backbone = self.model.backbone
        return tuple(backbone.prompts.classes) if getattr(backbone, 'class_embed_select', False) else ()

    def describe(self, frame: Frame, scene: str | None = None, text: str | None = None) -> dict:
        """Return the number of the scene class, and the caption if the model reads one."""
        return super().describe(frame, text) | dict(category_id=self._scene_index(frame, scene))

    def to_prediction(self, result: SegDataSample, frame: Frame) -> dict:
        """Return the depth in metres."""
        return dict(depth=result.pred_depth_map.data[0].float().cpu().numpy())

    def draw(self, image: np.ndarray, prediction: dict) -> np.ndarray:
        """Colour the depth from its nearest to its farthest point."""
        return colour_depth(prediction['depth'])

    def encode(self, prediction: dict, png_scale: float = 1000) -> dict[str, bytes]:
        """Encode the depth as npz and as a PNG of 16 bits."""
        depth = prediction['depth']
        units = np.round(np.nan_to_num(depth) * png_scale)
        if units.max() > np.iinfo(np.uint16).max:
            raise ValueError(
                f'A depth of {np.nanmax(depth):.1f} m does not fit into 16 bits at {png_scale:g} units per metre: '
                'choose a smaller png_scale, such as 256, which KITTI uses'
            )
        return {'_depth.npz': encode_npz(depth=depth), '_depth.png': encode_png(units.astype(np.uint16))}

    def summarize(self, prediction: dict) -> str:
        """Return the range of the depth."""
        depth = prediction['depth']
        return f'{np.nanmin(depth):.2f} to {np.nanmax(depth):.2f} m'

    def _scene_index(self, frame: Frame, scene: str | None) -> int:
        if scene is None:
            return UNKNOWN_SCENE
        if scene == AUTO and self._scenes:
            match = dataset_for_testing(self.cfg).get('scene_match', 'whole')
            return find_scene(frame.source.name, self._scenes, match)
        if scene not in self._scenes:
            known = ', '.join([*self._scenes, AUTO] if self._scenes else ['none, because this model takes no scene'])
            raise ValueError(f'Unknown scene {scene!r}: choose from {known}; or leave it out')
        return self._scenes.index(scene)
