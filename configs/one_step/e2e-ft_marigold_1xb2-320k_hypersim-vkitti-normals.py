"""E2E-FT for normals, from the Marigold for normals of the same authors."""

_base_ = './e2e-ft_sd2_1xb2-320k_hypersim-vkitti-normals.py'

# The weights draw normals with these axes.
model = dict(target_axes='E2E-FT', init_cfg=dict(checkpoint='GonzaloMG/marigold-normals'))
