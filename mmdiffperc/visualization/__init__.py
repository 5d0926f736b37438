"""Pictures of what a backbone sees."""

from .attention import attention_figure, attention_maps, overlay

__all__ = ['attention_figure', 'attention_maps', 'overlay']
