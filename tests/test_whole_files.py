"""Whatever the package and its tools write is whole, or else what was there before, even if the disk is full."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from full_disk import full_disk
from mmengine.config import Config
from pretrain_tiny_sd import Run
from safetensors import SafetensorError

from mmdiffperc.files import whole_file, write_whole
from mmdiffperc.inference.batched_lines import check_settings
from mmdiffperc.inference.videos import video_writer
from mmdiffperc.seg.depth.depth_metric import MonocularDepthMetric
from mmdiffperc.seg.referring.refer_metric import ReferringSegMetric
from mmdiffperc.weights.lora import add_attention_lora, save_lora

ROOT = Path(__file__).parents[1]
SIZE = 64
ERRORS = (OSError, RuntimeError, SafetensorError)  # those of Python, torch and safetensors for a full disk
# Calls that write a file, and where they may stand without `whole_file` or `whole_folder` around them.
WRITERS = {
    'write_text', 'write_bytes', 'savefig', 'imwrite', 'save', 'savez', 'savez_compressed', 'save_file', 'dump',
    'save_checkpoint', 'save_lora_weights', 'save_pretrained', 'copyfile', 'tofile',
}  # fmt: skip
ALLOWED = {
    'mmdiffperc/files.py': 'the mechanism',
    'mmdiffperc/compat/checkpoint_hook.py': 'saves through a backend that writes whole files',
    'mmdiffperc/compat/sharded_checkpoint.py': 'writes into a folder of `whole_folder`',
    'mmdiffperc/export/program.py': 'writes into a folder of `whole_files`',
    'mmdiffperc/inference/writers.py': 'encodes in memory',
    'mmdiffperc/toy_scenes/writers': 'the data set is a whole folder',
    'mmdiffperc/doctor/child.py': 'writes line by line, so that a crash leaves the lines before it',
    'tools/measuring/gpu_parts.py': 'the same, for a part that is stopped at its time limit',
    'tools/dataset_converters': 'gets the name of a partial file',
    'tools/measuring/speed.py': 'asks the kernel to reset a peak',
    'tools/tiny_sd/training.py': 'appends to the log',
}


def random(number: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(number).random(shape, np.float32)


def picture(number: int) -> np.ndarray:
    return (random(number, SIZE, SIZE, 3) * 255).astype(np.uint8)


def settings(folder: Path, number: int):
    check_settings(folder / 'settings.json', False, values=random(number, 500).tolist())


def video(folder: Path, number: int):
    with video_writer(folder / 'a.mp4', 5) as append:
        for frame in range(4):
            append(picture(4 * number + frame))


def depth_of_a_metric(folder: Path, number: int):
    metric = MonocularDepthMetric(output_dir=str(folder), format_only=True)
    depth = torch.from_numpy(random(number, 1, SIZE, SIZE))
    metric.process({}, [dict(pred_depth_map=dict(data=depth), img_path='a.png')])


def mask_of_a_metric(folder: Path, number: int):
    mask = dict(data=torch.from_numpy(random(number, 1, SIZE, SIZE) < 0.5).long())
    sample = dict(pred_sem_seg=mask, gt_sem_seg=mask, img_path='a.jpg', ref_id=1, sentence_number=0)
    ReferringSegMetric(output_dir=str(folder)).process({}, [sample])


def lora(folder: Path, number: int):
    torch.manual_seed(number)
    unet = UNet2DConditionModel(
        block_out_channels=(8,), norm_num_groups=4, attention_head_dim=2, cross_attention_dim=6, layers_per_block=1,
        down_block_types=('CrossAttnDownBlock2D',), up_block_types=('CrossAttnUpBlock2D',),
    )  # fmt: skip
    add_attention_lora(unet, r=2)
    save_lora(unet, folder)


def training_state(folder: Path, number: int):
    Run(folder).save('unet', weights=torch.from_numpy(random(number, 5000)))


def config(folder: Path, number: int):
    """As swap_backbone.py does, whose main takes long."""
    with whole_file(folder / 'a.py') as partial:
        Config(dict(values=random(number, 500).tolist())).dump(partial)


CASES = dict(
    content=lambda folder, number: write_whole(folder / 'a.txt', json.dumps(random(number, 500).tolist())),
    config=config,
    depth_of_a_metric=depth_of_a_metric,
    lora=lora,
    mask_of_a_metric=mask_of_a_metric,
    settings=settings,
    training_state=training_state,
    video=video,
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('name', CASES)
def test_full_disk_leaves_what_was_there(tmp_path, name):
    CASES[name](tmp_path, 0)
    before = contents(tmp_path)
    assert before and not any(file.startswith('.') for file in before)
    with full_disk(min(map(len, before.values())) // 2), pytest.raises(ERRORS):
        CASES[name](tmp_path, 1)
    assert contents(tmp_path) == before
    CASES[name](tmp_path, 1)
    after = contents(tmp_path)
    assert after.keys() == before.keys() and all(after[file] != before[file] for file in before)


@pytest.mark.parametrize('folder', ['tools', 'projects', 'mmdiffperc'])
def test_nothing_is_written_in_place(folder):
    found = []
    for path in sorted((ROOT / folder).rglob('*.py')):
        name = path.relative_to(ROOT).as_posix()
        if not any(name.startswith(allowed) for allowed in ALLOWED):
            found += [f'{name}:{line}' for line in writing_in_place(ast.parse(path.read_text()))]
    assert not found


def writing_in_place(node: ast.AST) -> list[int]:
    """Lines that write a file outside of a `with whole_file(...)` or `with whole_folder(...)`."""
    if isinstance(node, ast.With) and any('whole_f' in ast.unparse(item.context_expr) for item in node.items):
        return []
    lines = [line for child in ast.iter_child_nodes(node) for line in writing_in_place(child)]
    return [node.lineno, *lines] if writes(node) else lines


def writes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
    modes = [value.value for value in ast.walk(node) if isinstance(value, ast.Constant)]
    return name in WRITERS or (name == 'open' and any(mode in modes for mode in ('w', 'wb', 'a', 'x')))


def test_the_search_finds_what_writes_in_place():
    source = 'np.save(a, b)\nwith whole_file(a) as partial:\n    np.save(partial, b)\nopen(a, "w")\nopen(a)\n'
    assert writing_in_place(ast.parse(source)) == [1, 4]
