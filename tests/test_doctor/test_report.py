from pathlib import Path

from environments import imports, installed, machine, missing

import mmdiffperc
from mmdiffperc.doctor.findings import Finding
from mmdiffperc.doctor.imports import Outcome
from mmdiffperc.doctor.report import write_report

COMPAT = Path(mmdiffperc.__file__).parent / 'compat'


def report(found, findings=()):
    """Lines of a report, without the space between the columns."""
    versions = installed({'torch': ['torch'], 'mmseg': ['mmsegmentation']}, torch='2.15.0', mmsegmentation='1.2.2')
    return [' '.join(line.split()) for line in write_report(found, versions, machine(), findings).splitlines()]


def test_states_of_packages():
    found = imports(
        mmdet=missing('mmdet'),
        mmseg=Outcome('AssertionError'),
        mim=Outcome("No module named 'mmdet'", lacks='mmdet'),
        xtcocotools=Outcome(origin=str(COMPAT / 'xtcocotools' / 'coco.py')),
    )
    lines = report(found)
    for line in (
        'torch torch 2.15.0 works',
        'mmseg mmsegmentation 1.2.2 broken',
        'mmdet missing',
        'mim needs mmdet',
        'xtcocotools stand-in of mmdiffperc works',
    ):
        assert line in lines
    assert mmdiffperc.__version__ in lines[0]


def test_machine():
    lines = report(imports(gpus=['NVIDIA H200, 138.0 GiB free of 139.8 GiB, bf16']))
    assert lines[lines.index('Machine') :] == [
        'Machine',
        'GPU 0 NVIDIA H200, 138.0 GiB free of 139.8 GiB, bf16',
        'memory 12.0 GiB free of 16.0 GiB',
        'disk 7.0 GiB free here, 50.0 GiB in /cache/hub',
        'hub https://huggingface.co reachable',
    ]
    assert 'GPU none that torch can use (built for CUDA 13.2)' in report(imports(gpus=[]))
    assert 'GPU not known without torch' in report(imports(gpus=[], torch=missing('torch')))


def test_findings_stand_under_their_kind_with_the_command():
    findings = [Finding('missing', 'lmdb', 'why', 'pip install lmdb'), Finding('broken', 'peft 0.1', 'an error')]
    lines = report(imports(), findings)
    broken, missing_ones = lines.index('Broken'), lines.index('lmdb: why')
    assert lines[broken + 1] == 'peft 0.1: an error' and lines[missing_ones + 1] == 'pip install lmdb'
    assert broken < missing_ones == len(lines) - 2
