import pytest
import torch

from mmdiffperc.generative.processing_size import processed_size, to_processed


@pytest.mark.parametrize(
    ('size', 'processing_res', 'expected'),
    [((70, 101), 0, (70, 101)), ((70, 101), 64, (44, 64)), ((30, 20), 60, (60, 40)), ((7, 7), 7, (7, 7))],
)
def test_sizes(size, processing_res, expected):
    assert processed_size(size, processing_res) == expected
    processed = to_processed(torch.rand(1, 3, *size), processing_res, 8)
    assert processed.shape[-2:] == tuple(-(-side // 8) * 8 for side in expected)


def test_the_last_row_and_column_are_repeated():
    images = torch.rand(1, 3, 6, 8)
    padded = to_processed(images, 0, 8)
    assert torch.equal(padded[..., :6, :], images) and torch.equal(padded[..., 7, :], images[..., 5, :])


def test_a_side_without_pixels():
    with pytest.raises(ValueError, match='300 x 1'):
        to_processed(torch.rand(1, 3, 1, 300), 64, 8)
