"""Define the toy experiments, their folders, and how commands run. Shared by ``demo.py`` and ``measure_prior.py``."""

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

WORK_DIR = Path('work_dirs/prior')


@dataclass(frozen=True)
class Task:
    """The configs that a task trains, and the metrics that it reports.

    Args:
        configs (dict[str, str]): Config files by the name of the run, which says how the U-Net is initialised, for
            example.
        metrics (dict[str, str]): Number formats by the name of the metric in mmengine's log.
        host (str): The package whose scripts train and test. Defaults to 'mmseg'.
        tests (dict[str, list[str]]): ``--cfg-options`` of further tests of the trained model, by the name of the test.
        constant_depth (bool): Also evaluate the mean depth of the training set. Defaults to False.
    """

    configs: dict
    metrics: dict
    host: str = 'mmseg'
    tests: dict = field(default_factory=dict)
    constant_depth: bool = False


def dmp(target: str, metrics: dict) -> Task:
    """Return the task for a target of DMP, which adds a test in domain b."""
    folder, suffix = 'projects/dmp/configs', f'1xb8-600_toy-dmp-{target}-128x128.py'
    models = {'DMP': 'dmp_tiny-sd', 'plain regression': 'regression_tiny-sd', 'DMP, random U-Net': 'dmp_tiny-sd-random'}
    configs = {name: f'{folder}/{model}_{suffix}' for name, model in models.items()}
    return Task(configs, metrics, tests={'domain b': []})


TASKS = {
    'segmentation': Task(
        {
            'pre-trained': 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py',
            'random': 'configs/vpd/vpd_tiny-sd-random-fpn_1xb4-1800_toy-ade-128x128.py',
        },
        {'mIoU': '.1f'},
    ),
    'depth': Task(
        {
            'pre-trained': 'configs/vpd/vpd_tiny-sd_1xb4-1800_toy-nyu-128x128.py',
            'random': 'configs/vpd/vpd_tiny-sd-random_1xb4-1800_toy-nyu-128x128.py',
        },
        {'rmse': '.3f', 'abs_rel': '.3f'},
        constant_depth=True,
    ),
    'referring': Task(
        {
            'pre-trained': 'configs/vpd/vpd_tiny-sd-refer_1xb4-1800_toy-refcoco-128x128.py',
            'random': 'configs/vpd/vpd_tiny-sd-refer-random_1xb4-1800_toy-refcoco-128x128.py',
        },
        {'oIoU': '.1f', 'mIoU': '.1f', 'precision@0.5': '.1f'},
        tests={'sentences shuffled': ['test_dataloader.dataset.shuffle_seed=0']},
    ),
    'metaprompts': Task(
        {
            'three passes': 'configs/metaprompts/metaprompts_tiny-sd-upernet_1xb4-1800_toy-ade-128x128.py',
            'two passes': 'configs/metaprompts/metaprompts_tiny-sd-upernet-2pass_1xb4-1800_toy-ade-128x128.py',
            'one pass': 'configs/metaprompts/metaprompts_tiny-sd-upernet-1pass_1xb4-1800_toy-ade-128x128.py',
            'three passes, class names as prompts': (
                'configs/metaprompts/metaprompts_tiny-sd-upernet-classes_1xb4-1800_toy-ade-128x128.py'
            ),
            'three passes, random U-Net': (
                'configs/metaprompts/metaprompts_tiny-sd-random-upernet_1xb4-1800_toy-ade-128x128.py'
            ),
        },
        {'mIoU': '.1f'},
    ),
    'metaprompts-depth': Task(
        {
            'pre-trained': 'configs/metaprompts/metaprompts_tiny-sd_1xb4-1800_toy-nyu-128x128.py',
            'random': 'configs/metaprompts/metaprompts_tiny-sd-random_1xb4-1800_toy-nyu-128x128.py',
        },
        {'rmse': '.3f', 'abs_rel': '.3f'},
        constant_depth=True,
    ),
    'pose': Task(
        {
            'pre-trained': 'configs/metaprompts/td-hm_metaprompts-tiny-sd_1xb4-1800_toy-coco-128x96.py',
            'random': 'configs/metaprompts/td-hm_metaprompts-tiny-sd-random_1xb4-1800_toy-coco-128x96.py',
        },
        {'coco/AP': '.3f', 'coco/AP .5': '.3f'},
        host='mmpose',
    ),
    'dmp-normals': dmp('normals', {'mean': '.1f', '11.25': '.3f'}),
    'dmp-depth': dmp('depth', {'rmse': '.3f', 'abs_rel': '.3f'}),
    'dmp-albedo': dmp('albedo', {'mse': '.4f', 'psnr': '.1f'}),
    'dmp-shading': dmp('shading', {'mse': '.4f', 'psnr': '.1f'}),
    'dmp-segmentation': dmp('segmentation', {'mIoU': '.1f'}),
    'detection': Task(
        {
            'pre-trained': 'configs/detection/retinanet_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py',
            'random': 'configs/detection/retinanet_tiny-sd-random-fpn_1xb4-1800_toy-coco-128x128.py',
        },
        {'coco/bbox_mAP': '.3f', 'coco/bbox_mAP_50': '.3f'},
        host='mmdet',
    ),
}


def run_folder(name: str, start: str, seed: int) -> Path:
    """Return the working directory of a run of a task."""
    return WORK_DIR / f'{name}-{start}-seed{seed}'


def run(*command: str | Path):
    """Print a command and run it with the programs in the environment of this Python.

    Raises:
        subprocess.CalledProcessError: The command fails.
    """
    print(f'\n$ {shlex.join(map(str, command))}', flush=True)
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    with subprocess.Popen(command, env=dict(os.environ, PATH=path), process_group=0) as process:
        try:
            status = process.wait()
        except BaseException:  # end the whole group, because mim starts a process that would keep running
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if status:
        raise subprocess.CalledProcessError(status, command)


def latest_results(work_dir: str | Path) -> dict:
    """Return the metrics of the latest test with this ``--work-dir``, which mmengine wrote."""
    return json.loads(max(Path(work_dir).glob('*/*.json')).read_text())
