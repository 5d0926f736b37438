import torch

from mmdiffperc.generative.ensembles import combine
from mmdiffperc.generative.target_codec import TargetCodec


def test_metric_depth_is_not_aligned():
    members = torch.tensor([1.0, 5.0, 2.0]).reshape(3, 1, 1, 1)
    assert combine(members, TargetCodec('F', 8.0)).item() == 2


def test_relative_depth_is_aligned():
    """Members that differ by scale and shift agree after alignment; the result is stretched to [0, 1]."""
    depth = torch.rand(1, 1, 9, 11)
    combined = combine(torch.cat([depth, 0.4 * depth + 0.2, 0.7 * depth]), TargetCodec('F', 'quantiles'))
    stretched = (depth[0] - depth.min()) / (depth.max() - depth.min())
    torch.testing.assert_close(combined, stretched, atol=1e-3, rtol=0)


def test_normals_are_the_closest_to_the_mean():
    members = torch.eye(3)[[0, 0, 1]].reshape(3, 3, 1, 1)
    assert combine(members, TargetCodec('normals')).flatten().tolist() == [1, 0, 0]


def test_one_member_is_not_changed():
    member = torch.rand(1, 1, 3, 4)
    assert torch.equal(combine(member, TargetCodec('F', 'per_image')), member[0])
