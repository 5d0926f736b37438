import numpy as np
import pytest
import torch

from mmdiffperc.evaluation.arrays import share_of
from mmdiffperc.evaluation.depth import depth_measures
from mmdiffperc.evaluation.images import errors
from mmdiffperc.evaluation.masks import confusion_matrix
from mmdiffperc.evaluation.normals import normal_measures


@pytest.mark.parametrize('measures', [depth_measures, errors, normal_measures])
def test_tensors_have_the_measures_of_arrays(measures):
    """An even number of pixels, whose median is between two."""
    pred, truth = np.random.default_rng(0).random((2, 3, 40)) + 0.1
    assert measures(torch.tensor(pred), torch.tensor(truth)) == pytest.approx(measures(pred, truth), rel=1e-9)


def test_tensors_of_classes():
    pred, truth = torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 255]])
    assert confusion_matrix(pred, truth, 2).tolist() == [[1, 1], [0, 0]]
    with pytest.raises(ValueError, match=r'a\.png.*0 to 1.*truth has \[7\]'):
        confusion_matrix(pred, torch.tensor([[0, 0, 7]]), 2, name='a.png')


def test_share():
    assert share_of(np.array([[True, False, False, True]])) == share_of(torch.tensor([True, False])) == 0.5
