"""Check that models compute correct results on a GPU, and measure their time and memory.

The tool needs no data and no weights, and installs nothing. It has several parts, each in a separate process with its
own time limit, so that a part that fails or takes too long does not affect the others:

- ``vpd``, ``metaprompts``, ``metaprompts-1-pass``, ``depth`` and ``dmp``: forward pass and training step, in single
  precision and with autocast in bfloat16, each compared with single precision, at batch size 1 and that of the recipe.
- ``variants``: the backbone of VPD in bfloat16, eager, with compiled blocks, and in channels_last.
- ``fsdp``: a training step of VPD, sharded by PyTorch's ``fully_shard`` in one process.
- ``memory``: the memory of weights, gradients and optimizer, predicted and measured.
- ``windows``: the windows of an image of 1024 x 2048 pixels, one by one and in batches.

    make check-gpu PYTHON=python3
    python tools/check_gpu.py --out work_dirs/check_gpu

The tool finishes within eight minutes, and writes gpu.json and gpu.md. With --tiny, it does the same with toy models,
on any device. Results are medians of a few runs on random weights and images.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

# Seconds that each part may take; together less than eight minutes.
LIMITS = {
    'vpd': 55,
    'metaprompts': 60,
    'metaprompts-1-pass': 50,
    'depth': 50,
    'dmp': 55,
    'variants': 90,
    'fsdp': 35,
    'memory': 35,
    'windows': 40,
}


def build_parser():
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, '--out', default=Path('work_dirs/check_gpu'))
    add_shared(parser, '--device')
    add_shared(parser, '--time-limit', 'minutes', default=8.0)
    parser.add_argument('--parts', nargs='+', choices=LIMITS, default=list(LIMITS), help='parts to run (default: all)')
    parser.add_argument('--tiny', action='store_true', help='use toy models and small images')
    parser.add_argument('--one-part', metavar='FILE', type=Path, help='run one part in this process, and write FILE')
    return parser


def run_part(name: str, args, seconds: float) -> dict:
    """Run a part in a separate process.

    Returns:
        dict: Its results, by name, the seconds it took, and the error with which it ended, if any.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'results.jsonl'
        command = [sys.executable, __file__, '--parts', name, '--one-part', file, '--device', args.device]
        try:
            ended = subprocess.run(
                [str(word) for word in command] + ['--tiny'] * args.tiny,
                timeout=seconds,
                capture_output=True,
                text=True,
                errors='replace',
            )
            error = None if ended.returncode == 0 else ended.stderr.strip()[-2000:] or f'exit {ended.returncode}'
        except subprocess.TimeoutExpired:
            error = f'stopped after {seconds:.0f} s'
        lines = file.read_text().splitlines() if file.exists() else []
    results = {entry.pop('name'): entry for entry in map(json.loads, lines)}
    return dict(results=results, seconds=round(time.monotonic() - start, 1), error=error)


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    from measuring import gpu_parts

    if args.one_part:
        gpu_parts.run(args.parts[0], args.one_part, args.device, args.tiny)
        return

    from mmdiffperc.files import write_whole

    args.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * args.time_limit
    report = dict(device=gpu_parts.describe(args.device), tiny=args.tiny, parts={})
    for name in args.parts:
        seconds = min(LIMITS[name], deadline - time.monotonic())
        report['parts'][name] = (
            run_part(name, args, seconds) if seconds > 1 else dict(results={}, seconds=0, error='no time was left')
        )
        # After each part, so that whatever ends the tool leaves what has been measured.
        write_whole(args.out / 'gpu.json', json.dumps(report, indent=2) + '\n')
        write_whole(args.out / 'gpu.md', gpu_parts.table(report))
        print(f'{name}: {report["parts"][name]["error"] or "done"}', flush=True)
    if incomplete := [name for name, part in report['parts'].items() if part['error']]:
        raise RuntimeError(f'not complete: {", ".join(incomplete)}; see {args.out / "gpu.md"}')


if __name__ == '__main__':
    sys.exit(main())
