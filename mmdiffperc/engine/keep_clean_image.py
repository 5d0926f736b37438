"""Keep an image before it is disturbed, as the target of a reconstruction."""

from mmdiffperc.models.layers.reconstruction import CLEAN_IMAGE
from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import validated


@TRANSFORMS.register_module()
@validated
class KeepCleanImage:
    """Keep the image before it is disturbed, for a backbone with ``reconstruction_weight``.

    `SDPose <https://arxiv.org/abs/2509.24980>`_ blurs images and cuts holes into them, and trains the U-Net to
    reconstruct the images from before. Place this transform after those that change the size or the colours and before
    those that disturb the image, and add ``'clean_img'`` to ``meta_keys`` of the last transform, which packs the
    sample::

        dict(type='TopdownAffine', ...), dict(type='KeepCleanImage'), dict(type='DisturbImage'),
        dict(type='PackPoseInputs', meta_keys=('clean_img', ...))

    Added key: ``clean_img``, a copy of ``img``.
    """

    def __call__(self, results: dict) -> dict:
        """Add the copy to the results of a pipeline."""
        results[CLEAN_IMAGE] = results['img'].copy()
        return results
