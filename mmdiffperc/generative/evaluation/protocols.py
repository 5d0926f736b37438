"""How the field tests models on data sets that they were not trained on.

``PROTOCOLS`` holds the numbers of each protocol and their source. ``FollowProtocol`` and ``ZeroShotDepthMetric`` apply
them. Every pixel also needs a known truth, which is up to the data set and its loader.
"""

from dataclasses import dataclass

MARIGOLD = 'https://github.com/prs-eth/Marigold'
E2E_FT = 'https://github.com/VisualComputingInstitute/diffusion-e2e-ft'
MIDAS = 'https://arxiv.org/abs/1907.01341'
MARIGOLD_DEPTH = f'{MARIGOLD}: src/dataset for the range, crop and mask; script/depth/eval for the sizes'
MARIGOLD_NORMALS = f'{MARIGOLD}: script/normals/eval. The published measures are means over images'
E2E_FT_NORMALS = f'{E2E_FT}: experiments/normals, after DSINE. The published measures are those of all pixels together'


@dataclass(frozen=True)
class Protocol:
    """The protocol of normals on a data set.

    Args:
        source (str): Where the numbers were published.
        processing_size (int, optional): Longer side, in pixels, of the image that the network sees. Predictions have
            the size of the original image again. Default: the original size.
    """

    source: str
    processing_size: int | None = None


@dataclass(frozen=True)
class DepthProtocol(Protocol):
    """The protocol of depth on a data set.

    Args:
        source (str): See :class:`Protocol`.
        processing_size (int, optional): See :class:`Protocol`.
        min_depth (float): Pixels with a greater true depth are compared, in metres. Aligned predictions are raised to
            this depth. Defaults to 1e-5.
        max_depth (float): Pixels with a smaller true depth are compared, in metres. Aligned predictions are lowered to
            this depth. Defaults to infinity.
        use_benchmark_crop (bool): Image and truth are first cropped to the size of KITTI's benchmark, see
            :func:`.benchmark_crop`. Defaults to False.
        crop_type (str, optional): Pixels inside this crop are compared, see :func:`.crop_mask`. Default: all.
        max_align_size (int, optional): Longer side, in pixels, of the maps with which predictions are aligned, see
            :func:`.fit_depth`. Default: the original size.
    """

    min_depth: float = 1e-5
    max_depth: float = float('inf')
    use_benchmark_crop: bool = False
    crop_type: str | None = None
    max_align_size: int | None = None


DEPTH_PROTOCOLS = dict(
    nyu_depth=DepthProtocol(MARIGOLD_DEPTH, min_depth=1e-3, max_depth=10.0, crop_type='nyu_crop'),
    kitti_depth=DepthProtocol(MARIGOLD_DEPTH, max_depth=80.0, use_benchmark_crop=True, crop_type='eigen_crop'),
    eth3d_depth=DepthProtocol(MARIGOLD_DEPTH, processing_size=756, max_align_size=1024),
    scannet_depth=DepthProtocol(MARIGOLD_DEPTH, min_depth=1e-3, max_depth=10.0),
    diode_depth=DepthProtocol(MARIGOLD_DEPTH, processing_size=640, min_depth=0.6, max_depth=350.0),
    sintel_depth=DepthProtocol(f'{MIDAS}, section 6: the range', max_depth=72.0),
)
NORMAL_PROTOCOLS = dict(
    nyu_normals=Protocol(E2E_FT_NORMALS),
    scannet_normals=Protocol(E2E_FT_NORMALS),
    ibims_normals=Protocol(E2E_FT_NORMALS),
    sintel_normals=Protocol(E2E_FT_NORMALS),
    diode_normals=Protocol(MARIGOLD_NORMALS, processing_size=768),
    oasis_normals=Protocol(MARIGOLD_NORMALS, processing_size=768),
)
PROTOCOLS: dict[str, Protocol] = {**DEPTH_PROTOCOLS, **NORMAL_PROTOCOLS}
