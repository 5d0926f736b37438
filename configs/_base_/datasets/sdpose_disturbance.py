"""Parts of the training pipelines of SDPose: blurred images with a hole, whose clean version is kept."""

disturbance = [
    dict(type='PhotometricDistortion'),
    dict(type='KeepCleanImage'),
    dict(type='DisturbImage'),
]
pack_clean = dict(
    type='PackPoseInputs',
    meta_keys=(
        'id',
        'img_id',
        'img_path',
        'category_id',
        'crowd_index',
        'ori_shape',
        'img_shape',
        'input_size',
        'input_center',
        'input_scale',
        'flip',
        'flip_direction',
        'flip_indices',
        'raw_ann_info',
        'dataset_name',
        'clean_img',
    ),
)
# The authors replace a person of whom a crop shows fewer keypoints by another one.
require = dict(type='RequireKeypoints', min_keypoints=3)
