from pathlib import Path

import pytest
from environments import imports, machine, missing

from mmdiffperc.doctor.machine import GIB, find_machine, hub_cache, lacking

OFFLINE = 'not asked, because HF_HUB_OFFLINE is set'


def test_nothing_is_lacking():
    assert list(lacking(imports(), machine())) == []


@pytest.mark.parametrize(
    ('found', 'facts', 'what', 'command'),
    [
        (dict(gpus=[]), dict(has_driver=False), 'GPU', ''),
        (dict(gpus=[]), {}, 'GPU', 'nvidia-smi'),
        (dict(gpus=[], platform=''), {}, 'GPU', 'pip install --force-reinstall torch torchvision'),
        ({}, dict(free_in_cache=4 * GIB), 'disk space', 'export HF_HOME=/path/to/a/larger/disk'),
        ({}, dict(hub_answer=OFFLINE), 'hub', 'unset HF_HUB_OFFLINE'),
        ({}, dict(hub_answer='not reachable'), 'hub', 'hf download stable-diffusion-v1-5/stable-diffusion-v1-5'),
    ],
)
def test_what_is_lacking(found, facts, what, command):
    (finding,) = lacking(imports(**found), machine(**facts))
    assert (finding.kind, finding.what, finding.command) == ('missing', what, command)


def test_gpus_are_not_known_without_torch():
    assert list(lacking(imports(gpus=[], torch=missing('torch')), machine())) == []


@pytest.mark.parametrize(
    ('environment', 'folder'),
    [
        ({}, Path.home() / '.cache/huggingface/hub'),
        ({'XDG_CACHE_HOME': '/caches'}, Path('/caches/huggingface/hub')),
        ({'XDG_CACHE_HOME': '/caches', 'HF_HOME': '/weights'}, Path('/weights/hub')),
        ({'HF_HOME': '/weights', 'HF_HUB_CACHE': '~/hub'}, Path.home() / 'hub'),
    ],
)
def test_cache_of_the_hub(environment, folder):
    assert hub_cache(environment) == folder


def test_this_machine(tmp_path):
    found = find_machine({'HF_HUB_OFFLINE': '1', 'HF_HOME': str(tmp_path / 'not' / 'yet')})
    free, total = found.memory
    assert 0 < free <= total and found.free_in_cache > 0 and found.hub_answer == OFFLINE
    assert found.cache == tmp_path / 'not' / 'yet' / 'hub' and not found.cache.exists()


def test_a_cache_that_cannot_exist(tmp_path):
    """Its name is longer than file systems allow."""
    found = find_machine({'HF_HUB_OFFLINE': '1', 'HF_HUB_CACHE': str(tmp_path / ('x' * 300))})
    assert found.free_in_cache > 0
