"""The data configs that mix Hypersim and Virtual KITTI 2, with one frame of each."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmdiffperc.generative.data.published_targets import encode_normals
from mmdiffperc.inference.writers import encode_png

BASES = Path(__file__).parents[2] / 'configs/_base_/datasets'
NORMAL = np.array([0.6, 0, 0.8])


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, size, unit, prefix in (
        ('hypersim', (768, 1024), 1000, 'train_'),
        ('virtual_kitti', (375, 1242), 100, ''),
    ):
        folder = Path('data', name)
        folder.mkdir(parents=True)
        depth = np.full(size, 7 * unit, np.uint16)
        depth[: size[0] // 2] = 65.3 * unit  # beyond Hypersim's range
        (folder / 'a.png').write_bytes(encode_png(np.full((*size, 3), 90, np.uint8)))
        (folder / 'depth.png').write_bytes(encode_png(depth))
        (folder / 'normals.png').write_bytes(encode_normals(np.broadcast_to(NORMAL, (*size, 3))))
        for kind in ('depth', 'normals'):
            (folder / f'{prefix}{kind}.txt').write_text(f'a.png {kind}.png')


@pytest.mark.parametrize('kind', ['depth', 'normals'])
def test_batches(data, kind):
    config = Config.fromfile(BASES / f'hypersim_vkitti_{kind}.py')
    config.train_dataloader.update(num_workers=0, persistent_workers=False)
    init_default_scope('mmseg')
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    assert loader.batch_sampler.weights.tolist() == [9, 1]
    loader.batch_sampler.weights[:] = 1  # to see both soon
    batches = {}
    for batch in islice(loader, 6):
        sizes = {tuple(image.shape) for image in batch['inputs']}
        assert len(sizes) == 1 and len(batch['inputs']) == 2
        batches[sizes.pop()] = batch['data_samples'][0]
    assert set(batches) == {(3, 480, 640), (3, 352, 1216)}
    for size, sample in batches.items():
        target, valid = sample.gt_target.data, sample.gt_valid.data
        if kind == 'normals':
            assert valid.all() and target.shape == size
            assert {round(float(x), 2) for x in target[0].unique()} <= {0.6, -0.6}
            continue
        assert target.shape == (1, *size[1:]) and target[valid].max() == (65.3 if size[2] == 1216 else 7)
        assert valid.float().mean() == pytest.approx(1 if size[2] == 1216 else 0.5)
