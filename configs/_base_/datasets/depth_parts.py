"""Parts of the pipelines of the depth data sets."""

load_image = dict(type='LoadRGBImageFromFile')
load_test_image = dict(type='LoadImageFromFile')  # MMSegInferencer looks for this type
mix = dict(type='RandomDepthMix', prob=0.25)
flip = dict(type='RandomFlip', prob=0.5)
change_colours = dict(
    type='Albu',
    transforms=[
        dict(type='RandomBrightnessContrast'),
        dict(type='RandomGamma'),
        dict(type='HueSaturationValue'),
    ],
)
both_directions = [
    dict(type='RandomFlip', prob=0.0, direction='horizontal'),
    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
]
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
# NYU Depth v2 and the toy scenes in its format have 16-bit maps in millimetres, up to 10 m.
max_depth = 10.0
load_depth = dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3)
check_depth = dict(type='CheckDepth', max_depth=max_depth)
pack = dict(type='PackSegInputs', meta_keys=meta_keys)
# For test-time augmentation: views of each resized image.
views = [both_directions, [load_depth], [check_depth], [pack]]
