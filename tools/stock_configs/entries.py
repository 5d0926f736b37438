"""The stock configs to try: all model bases of mmseg, and one config for each kind of head of all three hosts."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.utils import get_installed_path


@dataclass(frozen=True)
class StockConfig:
    """A stock config, and the settings of its trial.

    Args:
        name (str): The name, such as ``'mmseg::_base_/models/upernet_r50.py'``.
        options (tuple[tuple[str, object]]): Arguments of :func:`swap_backbone`, as names and values.
        note (str): A remark for the table.
        size (tuple[int]): Height and width of the images.
    """

    name: str
    options: tuple[tuple[str, object], ...] = ()
    note: str = ''
    size: tuple[int, int] = (64, 96)

    @property
    def host(self) -> str:
        """``'mmseg'``, ``'mmdet'`` or ``'mmpose'``."""
        return self.name.partition('::')[0]


BASES = 'mmseg::_base_/models'
PYRAMID, PLAIN = (('strides', (4, 8, 16, 32)),), (('strides', (16,)),)
MMPRETRAIN = 'the original backbone needs mmpretrain, the swapped config does not'
UNLIKE_OTHERS = {
    'fpn_poolformer_s12': StockConfig(f'{BASES}/fpn_poolformer_s12.py', PYRAMID, MMPRETRAIN),
    'upernet_convnext': StockConfig(f'{BASES}/upernet_convnext.py', PYRAMID, MMPRETRAIN),
    'lraspp_m-v3-d8': StockConfig(f'{BASES}/lraspp_m-v3-d8.py', size=(392, 400)),  # its pooling has windows of 49 cells
    'vpd_sd': StockConfig(
        'mmseg::vpd/vpd_sd_4xb8-25k_nyu-512x512.py',
        (('strides', (8, 16, 32, 64)),),
        'the original backbone needs `ldm`; tried in place of `_base_/models/vpd_sd.py`, which has no head',
        size=(64, 128),
    ),
}
SEGMENTATION = (
    'mmseg::knet/knet-s3_r50-d8_upernet_8xb2-adamw-80k_ade20k-512x512.py',
    'mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py',
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
    'mmseg::segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512.py',
    'mmseg::ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py',
    'mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py',
)
DETECTION = (
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'mmdet::atss/atss_r50_fpn_1x_coco.py',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py',
    'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'mmdet::detr/detr_r50_8xb2-150e_coco.py',
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
)
POSE = 'mmpose::body_2d_keypoint'
TOP_DOWN = (
    'topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py',
    'topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-384x288.py',
    'topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py',
    'topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-384x288.py',
    'topdown_regression/coco/td-reg_res50_rle-8xb64-210e_coco-256x192.py',
    'topdown_regression/coco/td-reg_res152_rle-8xb64-210e_coco-384x288.py',
    'simcc/coco/simcc_res50_8xb64-210e_coco-256x192.py',
    'simcc/coco/simcc_res50_8xb32-140e_coco-384x288.py',
    'rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py',
    'rtmpose/coco/rtmpose-m_8xb256-420e_aic-coco-384x288.py',
)
PLAIN_TOP_DOWN = 'topdown_heatmap/coco/td-hm_ViTPose-small-simple_8xb64-210e_coco-256x192.py'
BOTTOM_UP = (
    'associative_embedding/coco/ae_hrnet-w32_8xb24-300e_coco-512x512.py',
    'dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py',
)


def stock_configs() -> dict[str, list[StockConfig]]:
    """Return the stock configs by host."""
    bases = [UNLIKE_OTHERS.get(name) or StockConfig(f'{BASES}/{name}.py') for name in model_bases()]
    top_down = [StockConfig(f'{POSE}/{name}') for name in TOP_DOWN]
    plain = StockConfig(f'{POSE}/{PLAIN_TOP_DOWN}', PLAIN, MMPRETRAIN)
    bottom_up = [StockConfig(f'{POSE}/{name}', size=(128, 160)) for name in BOTTOM_UP]
    return dict(
        mmseg=[*bases, *map(StockConfig, SEGMENTATION)],
        # DINO needs at least as many cells as queries.
        mmdet=[StockConfig(name, size=(256, 320) if 'dino' in name else (96, 128)) for name in DETECTION],
        mmpose=[*top_down, plain, *bottom_up],
    )


def model_bases() -> list[str]:
    """Return the names of all model bases of mmseg."""
    folder = Path(get_installed_path('mmseg'), '.mim', 'configs', '_base_', 'models')
    return sorted(path.stem for path in folder.glob('*.py'))
