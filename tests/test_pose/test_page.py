"""The example for pose on the MetaPrompts page runs, with a checkpoint of random weights."""

from mmengine.config import Config
from pages import ROOT, run_snippet
from tiny_pose import write_checkpoint


def test_pose_in_own_image(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = 'configs/metaprompts/td-hm_metaprompts-tiny-sd_1xb4-1800_toy-coco-128x96.py'
    assert Config.fromfile(config).model.head.out_channels == 17
    checkpoint = write_checkpoint(config, tmp_path / 'pose.pth')
    people = run_snippet('run: own pose', **{'work_dirs/metaprompts_pose/iter_1800.pth': checkpoint})['people']
    assert people['keypoints'].shape == (1, 17, 2) and people['keypoint_scores'].shape == (1, 17)
    assert people['boxes'].tolist() == [[96, 32, 124, 81]]
