"""Small modules, and the backbone: tracing takes time for each layer."""

import json
from dataclasses import replace

import pytest
import torch
from full_disk import full_disk
from torch import nn
from torch.nn import functional as F

from mmdiffperc.export import IMAGE, Part, check_sizes, export_part, find_part
from mmdiffperc.models import DiffusionUNet

EXAMPLE = [(1, (12, 16))]


class Model(nn.Module):
    """A module inside a module, whose name an error should give."""

    def __init__(self, inner):
        super().__init__()
        self.outer = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), inner)

    def forward(self, image):
        return self.outer(image)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


def part_of(function):
    return Part(Model(Function(function)), dict(image=IMAGE), dict(output='a map'))


def test_backbone_with_maps_and_two_passes(archs, tmp_path):
    model = nn.Module()
    prompts = dict(type='MetaPrompts', num_prompts=3, shared=False)
    model.backbone = DiffusionUNet(
        archs['two levels'], prompts=prompts, num_refine_steps=2, cross_attention=dict(strides=[2]), out_prompts=True
    )
    part = find_part(model, 'backbone')
    assert part.outputs['feature_0'] == '11 channels, stride 2'
    differences = export_part(part, tmp_path / 'backbone.pt2', check_sizes(part, False, (17, 24), 2))
    assert list(differences) == ['feature_0', 'feature_1', 'prompt_embeds'] and max(differences.values()) < 1e-5


def test_torch_export(tmp_path):
    part, path = part_of(torch.relu), tmp_path / 'model.pt2'
    sizes = check_sizes(part, dynamic=True, size=None, batch_size=1)
    assert export_part(part, path, sizes, dynamic=True, metadata=dict(mean='[1.0]')) == dict(output=0)
    files = {'metadata.json': ''}
    program = torch.export.load(path, extra_files=files)
    assert json.loads(files['metadata.json'])['mean'] == '[1.0]'
    image = torch.rand(5, 3, 9, 30)
    torch.testing.assert_close(program.module(check_guards=False)(image), part.module(image))


def test_padding_that_is_cropped_does_not_fix_the_size(tmp_path):
    """PyTorch compares the layout in memory with the example's, which needs no padding."""

    def halve_and_double(image):
        height, width = image.shape[2:]
        padded = F.pad(image, (0, -width % 2, 0, -height % 2))
        return F.interpolate(F.avg_pool2d(padded, 2), scale_factor=2.0)[..., :height, :width].mean(1, keepdim=True)

    part = replace(part_of(nn.Identity()), module=Function(halve_and_double), stride=2, fixed=('batch',))
    sizes = check_sizes(part, dynamic=True, size=None, batch_size=1)
    assert {(height % 2, width % 2) for _, (height, width) in sizes} == {(0, 0), (1, 1)}
    assert export_part(part, tmp_path / 'model.pt2', sizes, dynamic=True)['output'] < 1e-6


@pytest.mark.parametrize(
    ('function', 'dynamic', 'name', 'reason'),
    [
        (lambda image: image * float(image.mean()), False, 'outer.1', 'data-dependent'),
        (lambda image: F.adaptive_avg_pool2d(image, 3), True, 'outer.1', 'adaptive_avg_pool2d'),
        (lambda image: F.interpolate(image, [int(2.0 * side) for side in image.shape[2:]]), True, 'outer.1', '--size'),
    ],
    ids=['values', 'pooling', 'sizes'],
)
def test_errors_name_the_part_and_the_reason(tmp_path, capsys, function, dynamic, name, reason):
    part, path = part_of(function), tmp_path / 'model.pt2'
    with pytest.raises(ValueError, match=rf'^{name} .*(?s:.*){reason}'):
        export_part(part, path, check_sizes(part, dynamic, (12, 16), 1), dynamic)
    assert list(tmp_path.iterdir()) == [] and 'def forward' not in capsys.readouterr().err


def test_operations_that_onnx_lacks(tmp_path):
    path = tmp_path / 'model.onnx'
    part = part_of(lambda image: torch.linalg.eigvalsh(image @ image.mT))
    with pytest.raises(ValueError, match=r'^outer.1 .*eigh'):
        export_part(part, path, EXAMPLE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_is_not_written(tmp_path):
    path = tmp_path / 'model.pt2'
    path.write_bytes(b'old')
    part = part_of(lambda image: image * (1.01 if torch.compiler.is_exporting() else 1))
    with pytest.raises(RuntimeError, match='0.01'):
        export_part(part, path, EXAMPLE)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b'old']


def test_full_disk(tmp_path):
    with full_disk(1000), pytest.raises(OSError, match='too large'):
        export_part(part_of(torch.relu), tmp_path / 'model.pt2', EXAMPLE)
    assert list(tmp_path.iterdir()) == []
