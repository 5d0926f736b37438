"""Metric depth on four data sets that models of NYU depth v2 are not trained on, without alignment, as in ECoDepth.

The authors have not released their loaders, so the limits of the depth are our choice. ``zero_shot_root`` has a list
and a folder for each data set. A line of a list names an image, a depth file and, for DIODE, a mask. See the page of
ECoDepth.
"""

zero_shot_root = 'data/zero_shot_metric'
# data set -> format of its depth, largest depth in metres, crop
zero_shot_sets = dict(
    sun=('sun_depth', 10.0, 'nyu_crop'),
    ibims=('ibims_depth', 10.0, None),
    diode=('diode_depth', 10.0, None),
    hypersim=('hypersim_depth', 10.0, None),
)
zero_shot_dataloaders = [
    dict(
        batch_size=1,
        num_workers=2,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='ListedTargetDataset',
            ann_file=f'{zero_shot_root}/{name}.txt',
            data_prefix=dict(img_path=f'{zero_shot_root}/{name}', target_path=f'{zero_shot_root}/{name}'),
            has_masks=name == 'diode',
            test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadPublishedTarget', format=format),
                dict(type='TargetAsDepthMap'),
                dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape')),
            ],
        ),
    )
    for name, (format, _, _) in zero_shot_sets.items()
]
zero_shot_evaluators = [
    dict(
        type='MonocularDepthMetric',
        depth_metrics=['d1', 'abs_rel', 'rmse'],
        max_depth_eval=max_depth,
        crop_type=crop_type,
        clamp=True,
        prefix=name,
    )
    for name, (_, max_depth, crop_type) in zero_shot_sets.items()
]
