"""Reading tensors of a file piece by piece."""

import pytest
import torch
from safetensors.torch import save_file

from mmdiffperc.weights import weight_file
from mmdiffperc.weights.weight_file import Assignment, WeightFile


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    return {f'layer{index}.weight': torch.randn(3 * (index + 1), 5) for index in range(9)}


def _write(tensors, folder, suffix):
    path = folder / f'weights{suffix}'
    save_file(tensors, path) if suffix == '.safetensors' else torch.save(tensors, path)
    return path


@pytest.mark.parametrize('suffix', ['.safetensors', '.ckpt'])
def test_shapes(tensors, tmp_path, suffix):
    file = WeightFile(_write(tensors, tmp_path, suffix))
    assert file.shapes == {key: tuple(tensor.shape) for key, tensor in tensors.items()}


@pytest.mark.parametrize('suffix', ['.safetensors', '.ckpt'])
@pytest.mark.parametrize('mapped_bytes', [1, 400, 2**20])
def test_filled_in_as_many_pieces_as_it_takes(tensors, tmp_path, monkeypatch, suffix, mapped_bytes):
    monkeypatch.setattr(weight_file, '_MAPPED_BYTES', mapped_bytes)
    targets = {key: torch.zeros_like(tensors[key]) for key in reversed(tensors)}
    file = WeightFile(_write(tensors, tmp_path, suffix))

    file.fill(Assignment(target, key) for key, target in targets.items())

    assert all(torch.equal(targets[key], tensor) for key, tensor in tensors.items())


def test_a_piece_is_no_larger_than_allowed_by_more_than_a_tensor(tensors, tmp_path, monkeypatch):
    monkeypatch.setattr(weight_file, '_MAPPED_BYTES', 400)
    file = WeightFile(_write(tensors, tmp_path, '.safetensors'))
    pieces = list(file._batches(Assignment(tensor, key) for key, tensor in tensors.items()))
    assert len(pieces) > 3
    assert all(sum(4 * part.target.numel() for part in piece[:-1]) < 400 for piece in pieces)


def test_fused_rows_dtype_and_added_axes(tmp_path):
    fused, kernel = torch.arange(12.0).reshape(6, 2), torch.arange(6.0).reshape(2, 3, 1, 1)
    file = WeightFile(_write({'fused': fused, 'kernel': kernel}, tmp_path, '.safetensors'))
    key, linear = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.bfloat16)

    file.fill([Assignment(key, 'fused', third=1), Assignment(linear, 'kernel')])

    assert key.tolist() == [[4, 5], [6, 7]]
    assert linear.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize('suffix', ['.safetensors', '.ckpt'])
@pytest.mark.parametrize('value', [torch.nan, -torch.inf])
def test_a_weight_that_is_not_finite_is_named(tensors, tmp_path, suffix, value):
    tensors['layer4.weight'][7, 2] = value
    file = WeightFile(_write(tensors, tmp_path, suffix))
    targets = {key: torch.zeros_like(tensor) for key, tensor in tensors.items()}
    with pytest.raises(ValueError, match=rf'weights\{suffix}.*1.*75.*layer4\.weight'):
        file.fill(Assignment(target, key) for key, target in targets.items())


@pytest.mark.parametrize(
    'tensor', [torch.ones(2, dtype=torch.complex64), torch.ones(2, dtype=torch.int8), torch.eye(2).to_sparse()]
)
def test_weights_that_are_not_real_or_not_plain(tmp_path, tensor):
    path = _write({'weight': tensor}, tmp_path, '.ckpt')
    with pytest.raises(ValueError, match=r'weights\.ckpt.*weight'):
        WeightFile(path).fill([Assignment(torch.zeros(2), 'weight')])


@pytest.mark.parametrize('content', [7, {'state_dict': 7}, {5: 'text'}])
def test_other_content_has_no_shapes(tmp_path, content):
    assert WeightFile(_write(content, tmp_path, '.ckpt')).shapes == {}


def test_weights_that_require_gradients_are_filled(tensors, tmp_path):
    layer = torch.nn.Linear(5, 3, bias=False)
    WeightFile(_write(tensors, tmp_path, '.ckpt')).fill([Assignment(layer.weight, 'layer0.weight')])
    assert torch.equal(layer.weight, tensors['layer0.weight'])
    assert layer.weight.requires_grad and layer.weight.is_leaf


@pytest.mark.parametrize('content', [[1, 2], torch.zeros(3), {'state_dict': {'epoch': 3}}])
def test_a_pickle_without_named_tensors_is_empty(tmp_path, content):
    torch.save(content, tmp_path / 'other.pth')
    assert WeightFile(tmp_path / 'other.pth').shapes == {}


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.ckpt'):
        WeightFile(tmp_path / 'nothing.ckpt')


@pytest.mark.parametrize(('name', 'program'), [('unet.onnx', 'ONNX'), ('sd.Q4.gguf', 'GGUF'), ('flax.msgpack', 'Flax')])
def test_file_of_another_program(tmp_path, name, program):
    (tmp_path / name).write_bytes(b'weights')
    with pytest.raises(RuntimeError, match=f'{name}.*{program}.*safetensors'):
        WeightFile(tmp_path / name)
