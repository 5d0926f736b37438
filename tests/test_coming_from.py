"""The rows of ``docs/coming_from.md``: their commands parse, and their options, settings, files and classes exist."""

import argparse
import functools
import inspect
import re
import shlex
import sys
from collections import Counter
from dataclasses import dataclass

import mmpose.registry
import mmseg.registry
import pytest
import torch
from command_lines import CONFIG, parse
from mmengine.config import Config, DictAction
from mmengine.dataset import Compose
from mmengine.registry import METRICS, MODELS, OPTIMIZERS, VISUALIZERS, DefaultScope, Registry
from mmengine.runner import Runner
from pages import ROOT
from torch.utils.data import DataLoader

import mmdiffperc.generative
import mmdiffperc.pose
import mmdiffperc.seg  # noqa: F401  (all register their classes)
from mmdiffperc.models.config_checks import _LoraOptions as LoraOptions

CODE = re.compile(r'`([^`]+)`')
PROGRAMS = ('python ', 'mim ')
NOTHING = 'nothing: '
# A value, a placeholder, or an environment variable.
LITERAL = re.compile(r"'.*'|-?[\d.]+(e-\d+)?|[A-Z_]+(=\S*)?|None|True|False")
REGISTRIES = [
    registry
    for host in (mmseg.registry, mmpose.registry)
    for registry in vars(host).values()
    if isinstance(registry, Registry)
]
# The keys of dicts without a type that a config may lack.
RUNNER = inspect.signature(Runner).parameters
KEYS = {
    '': RUNNER,
    'randomness': inspect.signature(Runner.set_randomness).parameters,
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'train_dataloader': inspect.signature(DataLoader).parameters,
    'model.lora': LoraOptions.__annotations__,
}
# Section: the options, scripts and config keys of the official code.
OFFICIAL = {
    'VPD segmentation: training': (
        'work-dir load-from resume-from no-validate gpus gpu-ids gpu-id seed diff_seed deterministic options '
        'cfg-options launcher auto-resume'
    ),
    'VPD segmentation: testing': (
        'work-dir aug-test out format-only eval show show-dir gpu-collect gpu-id tmpdir cfg-options eval-options '
        'launcher opacity'
    ),
    'VPD referring': (
        'amsgrad batch-size dataset ddp_trained_weights device epochs fusion_drop img_size lr model_id '
        'output-dir pin_mem print-freq refer_data_root resume split splitBy wd workers token_length'
    ),
    'VPD depth': (
        'exp_name gpu_or_cpu data_path dataset batch_size workers max_depth max_depth_eval min_depth_eval '
        'do_kb_crop kitti_crop pretrained drop_path_rate use_checkpoint num_deconv num_filters deconv_kernels '
        'shift_window_test shift_size flip_test ckpt_dir result_dir crop_h crop_w save_eval_pngs '
        'save_visualize epochs max_lr min_lr weight_decay layer_decay log_dir val_freq pro_bar save_freq '
        'print_freq save_model resume-from auto_resume save_result'
    ),
    'VPD': ('attn_selector extract_official_train_test_set_from_mat.py dump_nyu_text_embeddings.py'),
    'mmsegmentation': ('vpd_sd_4xb8-25k_nyu-480x480.py vpd_sd_4xb8-25k_nyu-512x512.py broadcast_buffers'),
    'MetaPrompts depth': (
        'exp_name gpu_or_cpu data_path dataset batch_size workers max_depth max_depth_eval min_depth_eval '
        'do_kb_crop kitti_crop pretrained drop_path_rate use_checkpoint num_deconv num_filters deconv_kernels '
        'shift_window_test shift_size flip_test ckpt_dir result_dir crop_h crop_w save_eval_pngs '
        'save_visualize epochs max_lr min_lr weight_decay layer_decay log_dir val_freq pro_bar save_freq '
        'print_freq save_model resume-from auto_resume save_result refine_step resize_scale'
    ),
    'MetaPrompts': (
        'train.sh train_kitti.sh test.sh test_kitti.sh configs/ade.py configs/cityscapes.py '
        'configs/cityscapes_extra.py configs/ade_ms.py configs/cityscapes_ms.py '
        'configs/cityscapes_extra_ms.py dist_train.sh dist_test.sh'
    ),
    'DMP: installation': (
        'pretrained_model_name_or_path train_data_dir target_db target_mode target_scale target_extra_key '
        'self_attn_only disable_prompts output_dir seed resolution random_flip more_augment train_batch_size '
        'num_train_epochs max_train_steps gradient_accumulation_steps gradient_checkpointing learning_rate '
        'scale_lr lr_scheduler lr_warmup_steps snr_gamma snr_trunc dataloader_num_workers adam_beta1 '
        'adam_beta2 adam_weight_decay adam_epsilon max_grad_norm prediction_type logging_dir mixed_precision '
        'report_to checkpointing_steps checkpoints_total_limit resume_from_checkpoint '
        'enable_xformers_memory_efficient_attention'
    ),
    'DMP: prediction': (
        'prompts lora-ckpt config pretrained guidance_scale target_guidance_scale num_inference_steps '
        'target_inference_steps output latents src num-samples save-mid batch-size target-mode target-scale '
        'target-pred-type self-attn-only disable-prompts use-oracle-ddim onepass seed num-workers app.py'
    ),
    'DMP: captions': ('word num output'),
    'DMP: images': (
        'prompt from-file output pretrained height width num-inference-steps num-iter batch-size guidance-scale '
        'plms seed read-xt save-xt'
    ),
    'DMP: metadata': ('imgs captions'),
    'DMP: pseudo': ('input output keys bs index world-size save-files'),
    'DMP: databases': ('makedb.py dir db check filter ext pal'),
    'DMP: evaluation': ('metrics ext abs norm num-classes ignore reduce-zero'),
}


@dataclass
class Row:
    """A row of a table: what the authors have, and what takes its place."""

    section: str
    official: str
    here: str
    command: str
    config: str


def rows() -> list[Row]:
    """All rows of all tables. The text above a table names the config and the command that its rows are about."""
    found, section, command, config = [], '', '', ''
    for line in (ROOT / 'docs' / 'coming_from.md').read_text().splitlines():
        codes = CODE.findall(line)
        if line.startswith('#'):
            section = line.strip('# ')
        elif line.startswith('| ') and not line.endswith('| here |'):
            official, here = line.strip('| ').split(' | ')
            found.append(Row(section, official, here, command, config))
        elif not line.startswith('|'):
            config = next(filter(CONFIG.fullmatch, codes), config)
            command = next((code for code in codes if code.startswith(PROGRAMS)), command)
    return found


ROWS = rows()


@pytest.fixture(autouse=True)
def scope():
    """Configs of this page are those of mmseg, unless a section is about poses."""
    DefaultScope.get_instance('coming_from', scope_name='mmseg')


@functools.cache
def load(config: str) -> Config:
    """Read a config once."""
    return Config.fromfile(ROOT / config)


def class_of(name: str) -> type | None:
    """Return the class that is registered under a name in a registry of mmseg, mmpose or mmengine."""
    return next(filter(None, (registry.get(name) for registry in REGISTRIES)), None)


def accepts(place: str, settings: dict, name: str) -> bool:
    """Whether the class that takes some settings, or a base of it, has an argument of this name."""
    if 'type' not in settings:
        return name in KEYS.get(place, ())
    return any(name in inspect.signature(base).parameters for base in class_of(settings['type']).__mro__)


def build(cfg: Config, parts: set[str]):
    """Build those parts of a config that need neither data nor weights."""
    if 'model' in parts:
        with torch.device('meta'):
            MODELS.build(cfg.model)
    if 'optim_wrapper' in parts:
        OPTIMIZERS.build(dict(cfg.optim_wrapper.optimizer, params=[torch.nn.Parameter(torch.ones(2))]))
    if 'visualizer' in parts:
        VISUALIZERS.build(dict(cfg.visualizer, name='coming_from'))
    for part in (name for name in parts if cfg[name]):
        if part.endswith('_evaluator'):
            METRICS.build(cfg[part])
        if part.endswith('_dataloader'):
            Compose(cfg[part].dataset.pipeline)


@functools.cache
def check_settings(text: str, config: str):
    """Check that settings exist in a config, or are arguments of a class in it, and that they can be merged."""
    parser = argparse.ArgumentParser()
    parser.add_argument('settings', nargs='+', action=DictAction)
    pairs = [word if '=' in word else f'{word}=None' for word in shlex.split(text)]
    for key in parser.parse_args(pairs).settings:
        *places, name = key.split('.')
        node = load(config)
        for place in places:
            node = node[int(place)] if isinstance(node, list) else node.get(place, {})
        assert name in node or accepts('.'.join(places), node, name), f'{config} has no {key}'
    if '=' in text:
        changed = Config(load(config).to_dict())
        changed.merge_from_dict(parser.parse_args(pairs).settings)
        build(changed, {key.split('.')[0] for key in parser.parse_args(pairs).settings})


def check(code: str, row: Row, config: str):
    """Check one span of code in what takes the place of something official."""
    if code.startswith(PROGRAMS):
        parse(code.replace('CONFIG', config))
    elif code.startswith('--'):
        parse(f'{row.command} {code}'.replace('CONFIG', config))
    elif LITERAL.fullmatch(code):
        pass
    elif '=' in code or code.split('.')[0] in {*load(config), *RUNNER}:
        check_settings(code, config)
    elif '/' in code:
        assert (ROOT / code).exists(), code
    else:
        assert class_of(code), f'{code} is not registered'


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row.section}: {row.official}')
def test_what_takes_the_place_exists(row, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['pytest'])
    monkeypatch.setenv('LOCAL_RANK', '0')
    if '/td-hm_' in row.config:
        DefaultScope.get_instance('coming_from poses', scope_name='mmpose')
    if row.here.startswith(NOTHING):
        assert len(row.here.split()) > 4, 'a reason'
    else:
        codes = CODE.findall(row.here)
        config = next(filter(CONFIG.fullmatch, codes), row.config)
        for code in codes:
            check(code, row, config)
        assert codes


def test_no_row_is_repeated():
    names = Counter((row.section, row.official) for row in ROWS)
    assert set(names.values()) == {1}


@pytest.mark.parametrize('section', OFFICIAL)
def test_every_official_name_has_a_row(section):
    """Names may be written with hyphens or underscores."""
    rows = [row.official.lower().replace('_', '-') for row in ROWS if row.section.startswith(section)]
    for name in OFFICIAL[section].split():
        pattern = rf'(?<![a-z0-9-])(--?)?{re.escape(name.lower().replace("_", "-"))}(?![a-z0-9-])'
        assert any(re.search(pattern, row) for row in rows), name


@pytest.mark.parametrize(
    ('code', 'error'),
    [
        ('--aug-test', SystemExit),
        ('model.backbone.use_attn=False', AssertionError),
        ('train_dataloader.samples_per_gpu=2', AssertionError),
        ('configs/vpd/missing.py', AssertionError),
        ('VPDSeg', AssertionError),
        ('python tools/convert_checkpoint.py vpd.pth', SystemExit),
    ],
)
def test_what_does_not_exist_is_noticed(code, error, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['pytest'])
    row = next(row for row in ROWS if row.config.startswith('configs/vpd') and row.command.startswith('mim test'))
    with pytest.raises(error):
        check(code, row, row.config)
