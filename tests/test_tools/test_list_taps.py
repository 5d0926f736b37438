"""The table of taps: what it counts is what the network computes."""

import json
import re
from pathlib import Path

import list_taps
import pytest
import torch
from tiny_arch import write_arch
from torch.utils.flop_counter import FlopCounterMode

from mmdiffperc.models import DiffusionUNet

SIZE = (72, 40)
LINE = re.compile(r'([* ]) (\S+(?: \(input\))?) +(\d+) +(\d+) +(\d+) x (\d+) +([\d.]+)%')


def table(argument, capsys):
    """The cells of the lines by the name of the place, and the last line."""
    assert list_taps.main([argument, '--size', *map(str, SIZE)]) == 0
    _, *lines, total = capsys.readouterr().out.splitlines()
    matches = [LINE.fullmatch(line).groups() for line in lines]
    return {name: (star, *map(int, cells), float(share)) for star, name, *cells, share in matches}, total


def computed(arch, tap=None):
    """Operations that are really computed for the autoencoder, or for a backbone that ends with a tap."""
    backbone = DiffusionUNet(arch, taps=[tap or 'up_blocks.3']).eval()
    images = torch.rand(1, 3, *SIZE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        backbone(images) if tap else backbone.autoencoder.encode(images)
    return counter.get_total_flops()


def test_table_of_an_architecture(arch, capsys):
    places, total = table(arch, capsys)
    assert len(places) == 293
    assert places['up_blocks.3'][:5] == ('*', 8, 8, 9, 5)
    assert places['mid_block'][:5] == (' ', 64, 40, 2, 1)
    assert places['up_blocks.1.attentions.1.transformer_blocks.0.norm2 (input)'][:5] == (' ', 32, 24, 3, 2)
    assert sum(place[0] == '*' for place in places.values()) == 4
    shares = [place[-1] for place in places.values()]
    assert shares == sorted(shares) and 99 < shares[-1] <= 100
    whole = computed(arch, 'up_blocks.3') / shares[-1] * 100
    for tap in ('down_blocks.0.resnets.1', 'mid_block', 'up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_q'):
        assert computed(arch, tap) / whole * 100 == pytest.approx(places[tap][-1], abs=0.1), tap
    assert f'{computed(arch) / 1e9:.4g} GFLOPs of the autoencoder' in total


@pytest.mark.parametrize(
    ('changes', 'options'),
    [
        (dict(in_channels=8), "extra_latents='marigold'"),
        (dict(class_embed_type='projection', projection_class_embeddings_input_dim=4), 'task_embedding=(1, 0)'),
    ],
    ids=['Marigold', 'Lotus'],
)
def test_a_network_with_more_inputs(tmp_path, capsys, changes, options):
    path = Path(write_arch(tmp_path / 'arch')) / 'unet/config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    config = tmp_path / 'config.py'
    config.write_text(f"model = dict(backbone=dict(type='DiffusionUNet', arch='{tmp_path}/arch', {options}))")
    places, _ = table(str(config), capsys)
    assert len(places) == 293


def test_stars_are_the_taps_of_a_config(tiny_vpd, capsys):
    places, _ = table(tiny_vpd, capsys)
    expected = {'up_blocks.3', 'up_blocks.2.attentions.1', 'up_blocks.1.attentions.1', 'up_blocks.0.resnets.1'}
    assert {name for name, place in places.items() if place[0] == '*'} == expected


@pytest.mark.parametrize(
    ('content', 'message'),
    [("model = dict(backbone=dict(type='ResNet'))", 'DiffusionUNet, got ResNet'), ('a = 1', 'DiffusionUNet, got None')],
)
def test_a_config_with_another_backbone(tmp_path, capsys, content, message):
    (tmp_path / 'other.py').write_text(content)
    assert list_taps.main([str(tmp_path / 'other.py')]) == 1
    assert message in capsys.readouterr().err


def test_an_unknown_architecture(capsys):
    assert list_taps.main(['sd9']) == 1
    assert "'sd9'" in capsys.readouterr().err


def test_table_of_sdxl(archs, capsys):
    places, _ = table(archs['sdxl'], capsys)
    assert places['up_blocks.0.attentions.1'][:5] == ('*', 32, 24, 3, 2)
    assert sum(place[0] == '*' for place in places.values()) == 3
