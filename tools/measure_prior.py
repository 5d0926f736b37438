"""Measure what the pre-training is worth: the toy runs from the pre-trained and from a random U-Net.

Needs the toy scenes of ``make demo``; for the other tasks, those that the config names. Prints a table and writes
``work_dirs/prior/TASK.json``; a run that is finished is not repeated, one that was stopped is resumed. Depth is scored
against a constant, too; referring segmentation, when every sample has the sentence of another one; MetaPrompts, with
fewer passes and with the names of the classes as prompts; DMP, beside plain regression and on scenes of another domain.

    python tools/measure_prior.py --seeds 0 1 2
    python tools/measure_prior.py --task depth --seeds 0 1 2
    python tools/measure_prior.py --task referring --seeds 0 1 2
    python tools/measure_prior.py --task metaprompts --seeds 0 1 2
    python tools/measure_prior.py --task metaprompts-depth --seeds 0 1 2
    python tools/measure_prior.py --task pose --seeds 0 1 2
    python tools/measure_prior.py --task dmp-normals --seeds 0 1 2
    python tools/measure_prior.py --task detection --seeds 0 1 2
"""

import argparse
import json
import sys
from contextlib import chdir
from dataclasses import dataclass, field
from statistics import mean
from subprocess import CalledProcessError

from constant_depth import constant_scores
from demo import ROOT, latest_results, run

from mmdiffperc.command_line import key_value, one_line_errors, seed
from mmdiffperc.files import write_whole

WORK_DIR = 'work_dirs/prior'


@dataclass(frozen=True)
class Task:
    """What is trained, and what is reported.

    Args:
        configs (dict[str, str]): By the U-Net at the start, or whatever else tells the runs apart.
        metrics (dict[str, str]): Format by the metric's name in mmengine's log.
        host (str): Whose scripts train it.
        tests (dict[str, list[str]]): Options of further tests of what is trained, by what tells them apart from the
            validation.
        constant_depth (bool): Score the mean depth of the training images, too.
    """

    configs: dict
    metrics: dict
    host: str = 'mmseg'
    tests: dict = field(default_factory=dict)
    constant_depth: bool = False


def dmp(target: str, metrics: dict) -> Task:
    """Return the task of predicting one of DMP's targets, tested in the other domain, too."""
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


def run_folder(name: str, start: str, seed: int) -> str:
    """Return the working directory of a run of a task."""
    return f'{WORK_DIR}/{name}-{start}-seed{seed}'


def scores(host: str, config: str, work_dir: str, overrides: list[str]) -> dict[str, float]:
    """Train and validate one configuration, or go on where that was stopped; its final metrics.

    A run that was stopped in its validation has nothing to go on with; what it trained is tested.
    """
    if not (found := final_scores(work_dir)):
        run('mim', 'train', host, config, '--work-dir', work_dir, '--resume', '--cfg-options', *overrides)
        found = final_scores(work_dir) or further_scores(host, config, work_dir, 'validation', overrides)
    return found


def final_scores(work_dir: str) -> dict[str, float] | None:
    """Return the metrics at the end of a run that has finished: those of a validation, which logs no loss."""
    logs = sorted((ROOT / work_dir).glob('*/vis_data/scalars.json'))
    entries = logs[-1].read_text().splitlines() if logs else []
    last = json.loads(entries[-1]) if entries else {}
    return last if last and 'loss' not in last else None


def further_scores(host: str, config: str, work_dir: str, name: str, overrides: list[str]) -> dict[str, float]:
    """Return the metrics of a trained configuration in a further test."""
    folder = f'{work_dir}/{name}'
    if not list((ROOT / folder).glob('*/*.json')):
        checkpoint = (ROOT / work_dir / 'last_checkpoint').read_text()
        command = ('mim', 'test', host, config, '--checkpoint', checkpoint, '--work-dir', folder)
        run(*command, *(('--cfg-options', *overrides) if overrides else ()))
    return latest_results(folder)


def measure(name: str, seeds: list[int], options: list[str]) -> dict[str, list[dict]]:
    """Return the metrics of each seed, by the U-Net at the start."""
    task = TASKS[name]
    results = {}
    for start, config in task.configs.items():
        folders = {seed: run_folder(name, start, seed) for seed in seeds}
        results[start] = [
            scores(task.host, config, folder, [f'randomness.seed={seed}', *options]) for seed, folder in folders.items()
        ]
        for test, changes in task.tests.items():
            results[f'{start}, {test}'] = [
                further_scores(task.host, config, folder, test, [*changes, *options]) for folder in folders.values()
            ]
    if task.constant_depth:
        with chdir(ROOT):
            results['none: mean training depth'] = [constant_scores(task.configs['random'])] * len(seeds)
    write_whole(ROOT / f'{WORK_DIR}/{name}.json', json.dumps(results))
    return results


def print_table(results: dict[str, list[dict]], seeds: list[int], metric: str, form: str):
    """Print one metric of all runs as a Markdown table."""
    print(f'\n| {metric} | ' + ' | '.join(f'seed {seed}' for seed in seeds) + ' | mean |')
    print('|---' * (len(seeds) + 2) + '|')
    for start, found in results.items():
        values = [scored[metric] for scored in found]
        print(f'| {start} | ' + ' | '.join(f'{value:{form}}' for value in [*values, mean(values)]) + ' |')


@one_line_errors(ValueError, OSError, CalledProcessError)
def main(arguments=None):
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--task', choices=TASKS, default='segmentation')
    parser.add_argument('--seeds', type=seed, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--cfg-options', type=key_value, nargs='+', default=[], metavar='KEY=VALUE', help='as for mim train'
    )
    args = parser.parse_args(arguments)
    results = measure(args.task, args.seeds, args.cfg_options)
    for metric, form in TASKS[args.task].metrics.items():
        print_table(results, args.seeds, metric, form)


if __name__ == '__main__':
    sys.exit(main())
