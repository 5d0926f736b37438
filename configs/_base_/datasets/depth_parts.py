"""What the pipelines of the depth datasets share."""

meta_keys = (
    'img_path',
    'depth_map_path',
    'ori_shape',
    'img_shape',
    'pad_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'category_id',
)
change_colours = dict(
    type='Albu',
    transforms=[
        dict(type='RandomBrightnessContrast'),
        dict(type='RandomGamma'),
        dict(type='HueSaturationValue'),
    ],
)
