"""Depth on five data sets that models of relative depth are not trained on, each by its published protocol.

The folder of a data set holds its evaluation data as Marigold distributes them. The split lists, whose names are
relative to these folders, are those in ``data_split`` of Marigold's repository. A config for one model combines this
base with its own, see ``docs/zero_shot.md``.
"""

zero_shot_root = 'data/zero_shot'
zero_shot_lists = dict(
    nyu_depth='nyu_depth/labeled/filename_list_test.txt',
    kitti_depth='kitti_depth/eigen_test_files_with_gt.txt',
    eth3d_depth='eth3d_depth/eth3d_filename_list.txt',
    scannet_depth='scannet_depth/scannet_val_sampled_list_800_1.txt',
    diode_depth='diode_depth/diode_val_all_filename_list.txt',
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
            has_masks=name == 'diode_depth',
            test_mode=True,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadPublishedTarget', format=name),
                dict(type='FollowProtocol', protocol=name),
                dict(type='PackTargetInputs'),
            ],
        ),
    )
    for name, file in zero_shot_lists.items()
]
zero_shot_evaluators = [dict(type='ZeroShotDepthMetric', protocol=name) for name in zero_shot_lists]
