"""Measure how much pre-training helps: train the toy configs from the pre-trained U-Net and from a random U-Net.

Render the toy scenes first, with tools/make_toy_scenes.py. The tool prints a table and writes
work_dirs/prior/TASK.json. It skips finished runs and resumes interrupted ones. Some tasks add further comparisons:

- depth, metaprompts-depth: the mean training depth as a constant prediction
- referring: each sample with the sentence of another sample
- metaprompts: fewer passes, and class names as prompts
- each task of DMP: plain regression, and a test on scenes of domain b

    python tools/measure_prior.py --seeds 0 1 2
    python tools/measure_prior.py --task depth --seeds 0 1 2
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from statistics import mean
from subprocess import CalledProcessError

from toy_runs import TASKS, WORK_DIR, latest_results, run, run_folder

from mmdiffperc.command_line import add_shared, one_line_errors, seed, tool_parser
from mmdiffperc.files import write_whole


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    parser.add_argument('--task', choices=TASKS, default='segmentation', help='task (default: %(default)s)')
    parser.add_argument(
        '--seeds',
        type=seed,
        nargs='+',
        default=[0, 1, 2],
        metavar='N',
        help='random seeds, with one run of each model per seed (default: 0 1 2)',
    )
    add_shared(parser, '--cfg-options')
    return parser


def scores(host: str, config: str, work_dir: Path, options: list[str]) -> dict[str, float]:
    """Train and validate a config, or resume an earlier run, and return the final metrics.

    If a run stopped during its last validation, nothing is left to train, so its checkpoint is tested instead.
    """
    if not (found := final_scores(work_dir)):
        run('mim', 'train', host, config, '--work-dir', work_dir, '--resume', '--cfg-options', *options)
        found = final_scores(work_dir) or further_scores(host, config, work_dir, 'validation', options)
    return found


def final_scores(work_dir: Path) -> dict[str, float] | None:
    """Return the metrics of the last validation, or None if the run has not finished: training lines contain a loss."""
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    entries = logs[-1].read_text().splitlines() if logs else []
    last = json.loads(entries[-1]) if entries else {}
    return last if last and 'loss' not in last else None


def further_scores(host: str, config: str, work_dir: Path, name: str, options: list[str]) -> dict[str, float]:
    """Return the metrics of a trained model in an additional test."""
    folder = work_dir / name
    if not list(folder.glob('*/*.json')):
        checkpoint = (work_dir / 'last_checkpoint').read_text()
        command = ('mim', 'test', host, config, '--checkpoint', checkpoint, '--work-dir', folder)
        run(*command, *(('--cfg-options', *options) if options else ()))
    return latest_results(folder)


def constant_scores(name: str) -> dict[str, float]:
    """Return the metrics of the mean training depth as a constant prediction."""
    file = WORK_DIR / f'{name}-constant.json'
    if not file.exists():
        run('python', 'tools/constant_depth.py', TASKS[name].configs['random'], '--out-file', file)
    return json.loads(file.read_text())


def measure(name: str, seeds: list[int], options: list[str]) -> dict[str, list[dict]]:
    """Return the metrics of each run as a list over the seeds, and write them to a file."""
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
        results['none: mean training depth'] = [constant_scores(name)] * len(seeds)
    write_whole(WORK_DIR / f'{name}.json', json.dumps(results))
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
    """Train and test what is missing, and print the tables."""
    args = build_parser().parse_args(arguments)
    options = [f'{key}={value}' for key, value in (args.cfg_options or {}).items()]
    results = measure(args.task, args.seeds, options)
    for metric, form in TASKS[args.task].metrics.items():
        print_table(results, args.seeds, metric, form)


if __name__ == '__main__':
    sys.exit(main())
