import pytest
from environments import imports, installed, machine, missing

from mmdiffperc.doctor.findings import diagnose as diagnose_all
from mmdiffperc.doctor.imports import Outcome
from mmdiffperc.doctor.machine import GIB

NUMPY_1 = (
    'ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from '
    'PyObject'
)
OFFLINE = 'not asked, because HF_HUB_OFFLINE is set'


def diagnose(found, versions, computer=None):
    return diagnose_all(found, versions, computer or machine())


def summary(found):
    return [(finding.kind, finding.what) for finding in found]


def test_nothing_to_say():
    assert diagnose(imports(), installed()) == []


def test_a_missing_host_prevents_its_tasks():
    (found,) = diagnose(imports(mmpose=missing('mmpose')), installed())
    assert (found.kind, found.what) == ('missing', 'mmpose')
    assert 'pose estimation' in found.why
    assert found.command == "pip install '{source}[pose]' && pip install --no-deps mmpose==1.3.2"


def test_missing_parts_of_the_core_are_one_finding_and_a_fault():
    environment = imports(
        torch=missing('torch'), peft=missing('peft'), mmdiffperc=Outcome("No module named 'torch'", lacks='torch')
    )
    (found,) = diagnose(environment, installed())
    assert (found.kind, found.what, found.command) == ('broken', 'torch, peft', "pip install '{source}'")
    assert environment.missing_need('mmdiffperc') == 'torch' and environment.have_failed()


def test_what_is_missing_is_no_failure():
    environment = imports(lmdb=missing('lmdb'), gradio=missing('gradio'))
    assert not environment.have_failed()
    assert [(found.kind, found.what) for found in diagnose(environment, installed())] == [
        ('missing', 'lmdb'),
        ('missing', 'gradio'),
    ]


@pytest.mark.parametrize(
    ('module', 'error', 'words', 'command'),
    [
        (
            'mmseg',
            'AssertionError: MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4.',
            ('MMCV==2.2.0', 'below 2.2'),
            "pip uninstall -y mmcv mmcv-lite && pip install 'mmcv-lite<2.2'",
        ),
        (
            'mmcv',
            'ImportError: /site/mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZNK3c105Error4whatEv',
            ('version of torch',),
            "pip uninstall -y mmcv mmcv-lite && pip install 'mmcv-lite<2.2'",
        ),
        (
            'torchvision',
            'RuntimeError: operator torchvision::nms does not exist',
            ('different releases',),
            'pip install --force-reinstall torch torchvision',
        ),
        (
            'cv2',
            'ImportError: libGL.so.1: cannot open shared object file: No such file or directory',
            ('system libraries',),
            'apt-get install libgl1 libglib2.0-0',
        ),
        (
            'xtcocotools',
            NUMPY_1,
            ('version of numpy',),
            'pip install --upgrade --force-reinstall --no-deps xtcocotools',
        ),
        (
            'pkg_resources',
            "AttributeError: module 'pkgutil' has no attribute 'ImpImporter'. Did you mean: 'zipimporter'?",
            ('too old',),
            "pip install --upgrade 'setuptools<81'",
        ),
        (
            'mim',
            "ImportError: cannot import name 'walk' from 'pip._internal'",
            ('walk',),
            "pip install --force-reinstall --no-deps openmim && pip install '{source}[seg]'",
        ),
        ('mmseg', "ModuleNotFoundError: No module named 'ftfy'", ('ftfy',), "pip install '{source}[seg]'"),
        (
            'mmdiffperc',
            "ImportError: cannot import name 'x' from 'diffusers'",
            ('diffusers',),
            "pip install '{source}'",
        ),
    ],
)
def test_broken_packages(module, error, words, command):
    environment = imports(**{module: Outcome(error)})
    (found,) = diagnose(environment, installed({'mim': ['openmim']}, openmim='0.3.9'))
    assert found.kind == 'broken' and found.command == command and environment.have_failed()
    assert all(word in found.why for word in words)


def test_packages_with_the_same_error_are_one_finding():
    error = Outcome('AssertionError: MMCV==2.2.0 is used but incompatible.')
    versions = installed({'mmseg': ['mmsegmentation'], 'mmdet': ['mmdet']}, mmsegmentation='1.2.2', mmdet='3.3.0')
    (found,) = diagnose(imports(mmseg=error, mmdet=error), versions)
    assert found.what == 'mmsegmentation 1.2.2, mmdet 3.3.0'


@pytest.mark.parametrize(
    ('versions', 'command'),
    [
        (dict(mmcv='1.7.2'), "pip uninstall -y mmcv mmcv-lite && pip install 'mmcv-lite<2.2'"),
        (dict(mmcv='2.2.0'), "pip uninstall -y mmcv mmcv-lite && pip install 'mmcv-lite<2.2'"),
        (dict(mmcv_lite='2.2.0'), "pip uninstall -y mmcv mmcv-lite && pip install 'mmcv-lite<2.2'"),
        (dict(mmcv_lite='2.1.0', mmdet='2.28.2'), "pip install 'mmdet>=3.3.0'"),
        (dict(mmcv_lite='2.1.0', mmsegmentation='0.30.0'), "pip install 'mmsegmentation>=1.2.2'"),
        (dict(mmcv_lite='2.1.0', mmpose='0.29.0'), 'pip install --no-deps mmpose==1.3.2'),
    ],
)
def test_an_unsupported_version_explains_why_hosts_refuse_mmcv(versions, command):
    """Hosts of different ages refuse each other's mmcv."""
    error = Outcome('AssertionError: MMCV==2.1.0 is used but incompatible. Please install mmcv>=1.3.17, <=1.8.0.')
    (found,) = diagnose(imports(mmseg=error, mmdet=error), installed(**versions))
    name, version = [*versions.items()][-1]
    assert (found.kind, found.what) == ('broken', f'{name.replace("_", "-")} {version}') and found.command == command


def test_long_errors_are_cut():
    (found,) = diagnose(imports(peft=Outcome('ImportError: ' + 'word ' * 1000)), installed())
    assert len(found.why) < 400


def test_the_same_files_from_two_distributions():
    both = installed({'cv2': ['opencv-python', 'opencv-python-headless']}, opencv_python='4.11.0.86')
    both.versions['opencv-python-headless'] = '4.12.0.88'
    (found,) = diagnose(imports(), both)
    assert (found.kind, found.what) == ('broken', 'opencv-python 4.11.0.86, opencv-python-headless 4.12.0.88')
    assert found.command == 'pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python'
    both.versions['opencv-python-headless'] = '4.11.0.86'
    assert diagnose(imports(), both) == []
    assert summary(
        diagnose(imports(), installed({'mmcv': ['mmcv', 'mmcv-lite']}, mmcv='2.1.0', mmcv_lite='2.1.0'))
    ) == [('broken', 'mmcv 2.1.0, mmcv-lite 2.1.0')]


def test_versions_that_mmdiffperc_does_not_support():
    needs = [
        'torch>=2.6',
        'setuptools<81',
        'mmcv-lite<2.2.0,>=2.0.0; extra == "seg"',
        'numpy',
        'ruff<0; extra == "test"',
    ]
    versions = installed(
        requirements={'mmdiffperc': needs},
        torch='2.5.1',
        setuptools='82.0.1',
        mmcv_lite='2.2.0',
        numpy='2.4',
        ruff='1',
        mmsegmentation='1.2.2',
    )
    found = diagnose(imports(), versions)
    assert summary(found) == [('broken', 'torch 2.5.1'), ('broken', 'setuptools 82.0.1'), ('broken', 'mmcv-lite 2.2.0')]
    assert [each.command for each in found[:2]] == ["pip install 'torch>=2.6'", "pip install 'setuptools<81'"]


def test_versions_that_other_packages_do_not_support():
    """A pair of torch and torchvision that works is doubtful; what mmpose declares is known to be wrong."""
    versions = installed(
        {'torchvision': ['torchvision'], 'mmpose': ['mmpose']},
        {'torchvision': ['torch==2.6.0', 'pillow>=5'], 'mmpose': ['numpy<2']},
        torchvision='0.21.0', torch='2.7.1', mmpose='1.3.2', numpy='2.4.0',
    )  # fmt: skip
    (found,) = diagnose(imports(), versions)
    assert (found.kind, found.what, found.command) == ('doubtful', 'torch 2.7.1', "pip install 'torch==2.6.0'")
    assert 'torchvision 0.21.0' in found.why


def test_what_full_mmcv_would_add():
    (found,) = diagnose(imports(mmcv=Outcome()), installed())
    assert (found.kind, found.what) == ('missing', 'full mmcv')
    assert 'focal loss' in found.why and 'mmcv==2.1.0' in found.command


def test_versions_cannot_be_compared_without_packaging():
    versions = installed(requirements={'mmdiffperc': ['torch>=2.6']}, torch='2.5.1')
    del versions.versions['packaging']
    assert diagnose(imports(), versions) == []


@pytest.mark.parametrize(
    ('found', 'facts', 'what', 'command'),
    [
        (dict(gpus=[]), dict(has_driver=False), 'GPU', ''),
        (dict(gpus=[]), {}, 'GPU', 'nvidia-smi'),
        (dict(gpus=[], platform=''), {}, 'GPU', 'pip install --force-reinstall torch torchvision'),
        ({}, dict(free_in_cache=4 * GIB), 'disk space', 'export HF_HOME=/path/to/a/larger/disk'),
        ({}, dict(free_here=GIB - 1), 'disk space', 'cd /path/to/a/larger/disk'),
        (
            {},
            dict(can_install=False),
            'site folder',
            'python -m venv --system-site-packages my-env && source my-env/bin/activate',
        ),
        ({}, dict(hub_answer=OFFLINE), 'hub', 'unset HF_HUB_OFFLINE'),
        ({}, dict(hub_answer='not reachable'), 'hub', 'hf download stable-diffusion-v1-5/stable-diffusion-v1-5'),
    ],
)
def test_what_is_lacking(found, facts, what, command):
    (finding,) = diagnose(imports(**found), installed(), machine(**facts))
    assert (finding.kind, finding.what, finding.command) == ('missing', what, command)


def test_gpus_are_not_known_without_torch():
    assert summary(diagnose(imports(gpus=[], torch=missing('torch')), installed())) == [('broken', 'torch')]
