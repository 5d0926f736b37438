import torch

from mmdiffperc.models.layers.feature_resize import resize_features


def test_a_feature_that_fits_stays():
    feature = torch.rand(2, 3, 5, 7)
    assert resize_features([feature], [8], (40, 50))[0] is feature  # 50 / 8 is rounded up


def test_a_feature_grows_bilinearly():
    feature = torch.arange(4.0).view(1, 1, 1, 4)
    (found,) = resize_features([feature], [4], (4, 32))
    expected = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    torch.testing.assert_close(found, torch.tensor(expected).view(1, 1, 1, 8))


def test_a_feature_shrinks_to_means():
    feature = torch.arange(24.0).view(1, 1, 4, 6)
    (found,) = resize_features([feature], [16], (32, 48))
    assert found.tolist() == [[[[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]]]


def test_means_of_sides_that_do_not_divide_evenly_overlap():
    (found,) = resize_features([torch.arange(5.0).view(1, 1, 5, 1)], [16], (40, 8))
    assert found.flatten().tolist() == [0.5, 2, 3.5]  # of cells 0 to 1, 1 to 3, and 3 to 4


def test_each_gets_its_own_size():
    features = [torch.rand(2, 3, 9, 13), torch.rand(2, 5, 5, 7)]
    found = resize_features(features, [4, 32], (72, 98))
    assert [tuple(feature.shape) for feature in found] == [(2, 3, 18, 25), (2, 5, 3, 4)]


def test_gradients_flow():
    feature = torch.rand(1, 2, 3, 4, requires_grad=True)
    resize_features([feature], [4], (24, 32))[0].sum().backward()
    torch.testing.assert_close(feature.grad.sum(), torch.tensor(6.0 * 8 * 2))
