"""Measure what the pre-training is worth: the toy run of VPD from the pre-trained and from a random U-Net.

Needs the toy scenes of ``make demo``. Prints a table and writes ``work_dirs/prior/results.json``; a run that is
finished is not repeated.

    python tools/measure_prior.py --seeds 0 1 2
"""

import argparse
import json
from statistics import mean

from demo import ROOT, run

CONFIGS = {
    'pre-trained': 'configs/vpd/vpd_tiny-sd-fpn_1xb8-800_toy-128x128.py',
    'random': 'configs/vpd/vpd_tiny-sd-random-fpn_1xb8-800_toy-128x128.py',
}
WORK_DIR = 'work_dirs/prior'


def miou(name: str, seed: int, options: list[str]) -> float:
    """Train and validate one configuration with one seed."""
    work_dir = f'{WORK_DIR}/{name}-seed{seed}'
    if not list((ROOT / work_dir).glob('iter_*.pth')):
        overrides = ['--cfg-options', f'randomness.seed={seed}', *options]
        run('mim', 'train', 'mmseg', CONFIGS[name], '--work-dir', work_dir, *overrides)
    scalars = max((ROOT / work_dir).glob('*/vis_data/scalars.json')).read_text().splitlines()
    return json.loads(scalars[-1])['mIoU']


def main():
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='as for mim train')
    args = parser.parse_args()
    results = {name: [miou(name, seed, args.cfg_options) for seed in args.seeds] for name in CONFIGS}
    (ROOT / WORK_DIR / 'results.json').write_text(json.dumps(results))
    print('| U-Net | ' + ' | '.join(f'seed {seed}' for seed in args.seeds) + ' | mean |')
    print('|---' * (len(args.seeds) + 2) + '|')
    for name, values in results.items():
        print(f'| {name} | ' + ' | '.join(f'{value:.1f}' for value in values) + f' | {mean(values):.1f} |')


if __name__ == '__main__':
    main()
