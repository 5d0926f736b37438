"""The example for pose on the page of MetaPrompts is run, with a checkpoint of random weights in place of its own."""

from mmengine.config import Config
from pages import ROOT, snippet
from tiny_pose import write_checkpoint


def test_pose_in_own_image(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    code = snippet('run: own pose')
    scope = {}
    config = 'configs/metaprompts/td-hm_metaprompts-tiny-sd_1xb4-1800_toy-coco-128x96.py'
    assert Config.fromfile(config).model.head.out_channels == 17
    checkpoint = write_checkpoint(config, tmp_path / 'pose.pth')
    exec(code.replace('work_dirs/metaprompts_pose/iter_1800.pth', checkpoint), scope)
    (person,) = scope['people']
    assert len(person['keypoints']) == len(person['keypoint_scores']) == 17 and person['bbox'] == [96, 32, 124, 81]
    assert scope['picture'].shape == (128, 128, 3)
