"""What is checked while a model is built."""

from . import channel_check, class_check, complete_model, preprocessor_check, stride_check, test_cfg_check

__all__ = ['channel_check', 'class_check', 'complete_model', 'preprocessor_check', 'stride_check', 'test_cfg_check']
