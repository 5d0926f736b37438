"""The count of a config is that of its model and optimizer; recipes for small GPUs fit; the table shows the counts."""

import json
from pathlib import Path

import count_memory
import pytest
import tiny_depth
import torch
import write_memory_table
from marked_blocks import blocks, table
from measuring import memory, memory_table
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / 'configs').glob('*/*_*gb.py'))
PUBLISHED = json.loads((ROOT / write_memory_table.COUNTS).read_text())


def parameters_of(config: str, **options) -> tuple[int, int]:
    """Bytes of all parameters and buffers, and of those that are trained."""
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    return sum(each.nbytes for each in (*model.parameters(), *model.buffers())), trained


def count(config: str, path: Path, *options: str) -> dict:
    assert count_memory.main([config, '--size', '64', '128', '--out-file', str(path), *options]) == 0
    return json.loads(path.read_text())


def test_file_and_table(tiny_vpd, tmp_path, capsys):
    report = count(tiny_vpd, tmp_path / 'memory.json')
    assert (report['config'], report['size'], report['batch_size']) == (tiny_vpd, [64, 128], 2)
    counted, (everything, trained) = report['bytes'], parameters_of(tiny_vpd)
    assert counted['weights'] == everything
    assert counted['gradients'] == trained
    assert counted['optimizer_state'] == pytest.approx(2 * trained, rel=0.02)  # two moments, and steps
    assert counted['activations'] > 0
    assert counted['peak'] > everything + 2 * trained + max(trained, counted['activations'])
    shown = capsys.readouterr().out
    assert f'peak{counted["peak"] / 2**30:20.2f} GiB' in shown and 'optimizer state' in shown


def test_options_of_the_config(tiny_vpd, tmp_path):
    plain = count(tiny_vpd, tmp_path / 'a.json')['bytes']
    more = count(tiny_vpd, tmp_path / 'b.json', '--batch-size', '6')['bytes']
    assert more['activations'] == pytest.approx(3 * plain['activations'], rel=0.05)
    assert more['weights'] == plain['weights']
    checkpointed = count(tiny_vpd, tmp_path / 'c.json', '--cfg-options', 'model.backbone.with_cp=True')['bytes']
    assert checkpointed['activations'] < plain['activations'] / 2
    low = ['optim_wrapper.type=LowMemoryOptimWrapper', 'optim_wrapper.dtype=bfloat16', 'optim_wrapper.offload=cpu']
    offloaded = count(tiny_vpd, tmp_path / 'd.json', '--cfg-options', *low)['bytes']
    assert offloaded['optimizer_state'] == offloaded['gradients'] == 0
    assert offloaded['host'] >= 4 * plain['gradients']  # copies, two moments and gradients


def test_depth(tmp_path):
    config = tiny_depth.write_config(tmp_path)
    assert count(config, tmp_path / 'a.json', '--batch-size', '3')['bytes']['weights'] == parameters_of(config)[0]


@pytest.mark.parametrize(
    ('config', 'options', 'expected'),
    [
        ('detection/retinanet_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py', [], 'mmdet'),
        ('vpd/vpd_sd1-5-fpn_deepspeed_8xb2-80k_ade20k-512x512.py', [], 'DeepSpeedOptimWrapper'),
        ('vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py', ['optim_wrapper.type=AmpOptimWrapper'], 'bfloat16'),
    ],
)
def test_what_cannot_be_counted(config, options, expected, capsys):
    cfg_options = ['--cfg-options', *options] if options else []
    assert count_memory.main([str(ROOT / 'configs' / config), *cfg_options]) == 1
    assert expected in capsys.readouterr().err


def test_table_in_the_page():
    assert PUBLISHED.keys() >= {memory_table.key(*cell) for cell in memory_table.cells()}
    (block,) = blocks(write_memory_table.KIND, (ROOT / write_memory_table.PAGE).read_text())
    assert block == ('memory', table(memory_table.HEADINGS, memory_table.render(PUBLISHED)))


def test_rows_of_the_table_are_configs():
    rows = list(memory_table.combinations())
    assert len(rows) == len(set(rows)) == 3 * 6 - 1 + 2 * 3
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        cfg = memory_table.config_of('LoRA, rank 8', 'bfloat16 weights', 'fused AdamW', True)
    assert cfg.model.backbone.lora.r == 8 and cfg.model.backbone.with_cp
    assert cfg.optim_wrapper.bfloat16_weights == ['backbone.unet'] and cfg.optim_wrapper.optimizer.fused
    assert 'unet' in cfg.optim_wrapper.paramwise_cfg.custom_keys


@pytest.mark.slow
def test_table_is_current(monkeypatch):
    monkeypatch.chdir(ROOT)
    cell = ('all', 'bfloat16 weights', '8-bit AdamW'), '2, checkpointing'
    assert memory_table.count_cell(*cell) == PUBLISHED[memory_table.key(*cell)]


def test_there_are_recipes():
    assert len(RECIPES) == 5


@pytest.mark.slow
@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_recipe_leaves_a_tenth_of_the_gpu_free(path):
    cfg = Config.fromfile(path)
    size = int(path.stem.rpartition('_')[2].removesuffix('gb'))
    counted = memory.count(cfg, cfg.train_dataloader.batch_size, cfg.model.data_preprocessor.size)
    assert counted.peak < 0.9 * size * memory.GIB
    page = (ROOT / 'docs/memory.md').read_text()
    (line,) = (line for line in page.splitlines() if line.startswith(f'| [{path.stem}]'))
    assert line.endswith(f'| {counted.peak / memory.GIB:.1f} GiB |') and f'| {size} GB |' in line
