"""What is checked while a model is built: one dispatcher, and a file for each check."""

from mmdiffperc.compat.binary_tta import mend

# Each module registers its checks.
from . import (  # noqa: F401
    channel_check,
    class_check,
    complete_model,
    preprocessor_check,
    reconstruction_loss,
    share_sentences,
    stride_check,
    test_cfg_check,
)
from .dispatcher import model_check

model_check(mend)
