import pytest
import torch
from mmseg.apis import init_model
from publish_checkpoint import main as publish

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.weights.shipped_autoencoder import shipped_autoencoder


def save(path, **weights):
    """A checkpoint as a training leaves it."""
    meta = dict(cfg='secret', iter=7, dataset_meta=dict(classes=['road']))
    torch.save(dict(meta=meta, state_dict=weights, optimizer=dict(state={}), message_hub={}), path)
    return str(path)


def test_weights_and_classes_remain(tmp_path):
    src = save(
        tmp_path / 'src.pth',
        weight=torch.tensor([1.0, 1 / 3]),
        running_var=torch.tensor([1e5]),
        num_batches_tracked=torch.tensor(100_000),
    )
    assert publish([src, '--out-file', str(tmp_path / 'dst.pth')]) == 0
    published = load_file(tmp_path / 'dst.pth')
    assert published['meta'] == dict(dataset_meta=dict(classes=['road'])) and set(published) == {'meta', 'state_dict'}
    weights = published['state_dict']
    assert weights['weight'].dtype == torch.float16
    assert weights['weight'].tolist() == [1.0, 1365 / 4096]  # the nearest of 11 significant bits
    assert weights['running_var'].tolist() == [1e5]  # more than half precision holds
    assert weights['num_batches_tracked'].item() == 100_000


def test_a_published_checkpoint_predicts(tiny_vpd, tiny_checkpoint, tmp_path):
    assert publish([tiny_checkpoint, '--out-file', str(tmp_path / 'half.pth')]) == 0
    whole, half = (init_model(tiny_vpd, str(file), device='cpu') for file in (tiny_checkpoint, tmp_path / 'half.pth'))
    assert half.dataset_meta['classes'] == whole.dataset_meta['classes']
    for (name, weight), other in zip(half.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.equal(weight, other.half().to(other)), name


@pytest.mark.parametrize(('dtype', 'status'), [('float16', 1), ('bfloat16', 0), ('float32', 0)])
def test_a_weight_that_is_too_large(tmp_path, capsys, dtype, status):
    src, dst = save(tmp_path / 'src.pth', head=torch.tensor([7e4])), tmp_path / 'dst.pth'
    assert publish([src, '--out-file', str(dst), '--dtype', dtype]) == status
    assert dst.exists() != status
    assert not status or {'head:', 'float16', '--dtype'} <= set(capsys.readouterr().err.split())


def test_eight_bits(tiny_vpd, tiny_checkpoint, tmp_path, capsys):
    """The file is smaller than one in single precision, and its features are nearly the same."""
    files = {option: tmp_path / f'{option}.pth' for option in ('--dtype=float32', '--eight-bits')}
    for option, file in files.items():
        assert publish([tiny_checkpoint, '--out-file', str(file), option]) == 0
    assert f'{len(load_file(tiny_checkpoint)["state_dict"])} weights in float16 and 8 bits' in capsys.readouterr().out
    large, small = (file.stat().st_size for file in files.values())
    assert small < 0.6 * large
    whole, small = (init_model(tiny_vpd, str(file), device='cpu') for file in files.values())
    image = torch.rand(1, 3, 40, 64)
    with torch.no_grad():
        expected, found = whole.backbone(image)[0], small.backbone(image)[0]
    assert not torch.equal(found, expected)
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_the_shipped_autoencoder_is_left_out(tmp_path):
    weights = {f'backbone.{name}': weight for name, weight in shipped_autoencoder().items()}
    src = save(tmp_path / 'src.pth', **weights, **{'decode_head.weight': torch.ones(2, 3)})
    assert publish([src, '--out-file', str(tmp_path / 'dst.pth'), '--without-shipped']) == 0
    kept = load_file(tmp_path / 'dst.pth')['state_dict']
    assert set(kept) == {name for name, weight in weights.items() if weight.ndim == 1} | {'decode_head.weight'}


def test_another_autoencoder_is_not_left_out(tmp_path, capsys):
    weights = {f'backbone.{name}': weight + 1 for name, weight in shipped_autoencoder().items()}
    for src in (save(tmp_path / 'other.pth', **weights), save(tmp_path / 'none.pth', head=torch.ones(1))):
        assert publish([src, '--out-file', str(tmp_path / 'dst.pth'), '--without-shipped']) == 1
        assert 'backbone.autoencoder.' in capsys.readouterr().err
    assert not (tmp_path / 'dst.pth').exists()


def test_no_checkpoint_of_a_training(tmp_path, capsys):
    torch.save(dict(weight=torch.ones(1)), tmp_path / 'bare.pth')
    assert publish([str(tmp_path / 'bare.pth'), '--out-file', str(tmp_path / 'dst.pth')]) == 1
    assert 'bare.pth' in capsys.readouterr().err
