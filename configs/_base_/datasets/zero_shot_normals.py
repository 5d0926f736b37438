"""Surface normals on five data sets that models are not trained on, each by its published protocol.

The folder of a data set holds its evaluation data as Marigold distributes them. The split lists, whose names are
relative to these folders, are those in ``data_split`` of Marigold's repository. A config for one model combines this
base with its own, see ``docs/zero_shot.md``.
"""

zero_shot_root = 'data/zero_shot'
zero_shot_lists = dict(
    nyu_normals='nyu_normals/nyuv2_test.txt',
    scannet_normals='scannet_normals/scannet_test.txt',
    ibims_normals='ibims_normals/ibims_test.txt',
    diode_normals='diode_normals/diode_test.txt',
    oasis_normals='oasis_normals/oasis_test.txt',
)
zero_shot_dataloaders = [
    dict(
        batch_size=1,
        num_workers=2,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='ListedTargetDataset',
            ann_file=f'{zero_shot_root}/data_split/{file}',
            data_prefix=dict(img_path=f'{zero_shot_root}/{name}', target_path=f'{zero_shot_root}/{name}'),
            test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadPublishedTarget', format='marigold_normals'),
                dict(type='FollowProtocol', protocol=name),
                dict(type='PackTargetInputs'),
            ],
        ),
    )
    for name, file in zero_shot_lists.items()
]
zero_shot_evaluators = [dict(type='NormalMapMetric', vectors=True, prefix=name) for name in zero_shot_lists]
