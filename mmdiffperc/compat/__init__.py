"""What lets the OpenMMLab stack of 2024 run safely on today's torch; each file says when it can be deleted."""

from mmdiffperc.compat import checkpoint, checkpoint_hook, mmcv_ops

for _part in (mmcv_ops, checkpoint, checkpoint_hook):
    _part.install()
