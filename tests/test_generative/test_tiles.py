import pytest
import torch

from mmdiffperc.generative.tiles import predict_in_tiles


@pytest.mark.parametrize(('size', 'overlap'), [(8, 3), (8, 0), (5, 4), (40, 2)])
def test_tiles_of_an_image_give_the_image(size, overlap):
    images, seen = torch.rand(2, 3, 13, 22), torch.zeros(13, 22)

    def predict(tile, place):
        seen[place] += 1
        assert torch.equal(tile, images[..., *place]) and max(tile.shape[-2:]) <= size
        return tile[:, :1]

    torch.testing.assert_close(predict_in_tiles(images, predict, size, overlap), images[:, :1])
    assert seen.min() == 1


def test_weights_fall_linearly_in_the_overlap():
    """Two tiles of 5 that share 2 of 8 columns: the first predicts 0, the second 3."""
    values = iter([0.0, 3.0])
    maps = predict_in_tiles(torch.zeros(1, 3, 1, 8), lambda tile, _: torch.full_like(tile, next(values)), 5, 2)
    assert maps[0, 0, 0].tolist() == pytest.approx([0, 0, 0, 1, 2, 3, 3, 3])
