import pytest
import torch
import torch.nn.functional as F

from mmdiffperc.models.necks import MetaPromptsNeck
from mmdiffperc.pose import MetaPromptsHeatmapNeck

SETTINGS = dict(in_channels=(5, 7, 9), num_prompts=3, embed_dims=8, num_groups=2)
SIZES = ((12, 9), (6, 5), (3, 3))


def features_and_prompts():
    features = [torch.randn(2, channels, *size) for channels, size in zip(SETTINGS['in_channels'], SIZES, strict=True)]
    return [*features, torch.randn(2, 3, 8)]


def test_levels_lie_side_by_side_at_the_finest_size():
    neck, plain = MetaPromptsHeatmapNeck(**SETTINGS), MetaPromptsNeck(**SETTINGS)
    plain.load_state_dict(neck.state_dict())
    inputs = features_and_prompts()
    (found,) = neck(inputs)
    assert found.shape == (2, 9, 24, 18) and neck.out_channels == (9,)
    for level, maps in enumerate(plain(inputs)):
        expected = F.interpolate(maps, (24, 18), mode='bilinear', align_corners=False)
        torch.testing.assert_close(found[:, 3 * level : 3 * level + 3], expected)


def test_wrong_prompts_are_told():
    *features, prompts = features_and_prompts()
    with pytest.raises(ValueError, match='out_prompts=True'):
        MetaPromptsHeatmapNeck(**SETTINGS)(features)
    with pytest.raises(ValueError, match=r'\(B, 3, 8\)'):
        MetaPromptsHeatmapNeck(**SETTINGS)([*features, prompts[:, :2]])
