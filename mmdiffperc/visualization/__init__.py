"""Pictures of what a backbone sees and of what a model predicts."""

from .attention import attention_figure, attention_maps, overlay
from .depth import colour_depth, depth_figure
from .mask import label_overlay, mask_overlay

__all__ = [
    'attention_figure',
    'attention_maps',
    'colour_depth',
    'depth_figure',
    'label_overlay',
    'mask_overlay',
    'overlay',
]
