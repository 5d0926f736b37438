"""The experiments on toy scenes as data: the models of each task, their seeds, and how they are tested.

To add an experiment, add an entry to ``TASKS``. To show its results on a page, add an entry to ``tables.py``.
"""

from dataclasses import dataclass, field, replace

VALIDATION = 'validation'  # the name of the test at the end of the training
DMP_MODELS = {'dmp': 'DMP', 'regression': 'plain regression', 'dmp-random': 'DMP, random U-Net'}


@dataclass(frozen=True)
class FurtherTest:
    """A test of a trained model, in addition to the validation at the end of its training.

    Args:
        options (dict): Settings that replace those of the config, such as ``{'model.test_cfg.mode': 'slide'}``.
        tta (bool): Use the test-time augmentation of the config. Defaults to False.
    """

    options: dict = field(default_factory=dict)
    tta: bool = False


@dataclass(frozen=True)
class Run:
    """A model that is trained and tested once per seed.

    Args:
        config (str): Config file, relative to the root of the repository.
        seeds (tuple[int, ...]): Random seeds. Defaults to 0, 1 and 2.
        options (dict): Settings that replace those of the config, in training and in all tests.
        tests (dict[str, FurtherTest]): Further tests by name.
        tool (tuple[str, ...]): Train nothing, but run this tool with its arguments. It must write its results to the
            JSON file ``--out-file``. Such a run has no seeds. Default: train.
    """

    config: str
    seeds: tuple = (0, 1, 2)
    options: dict = field(default_factory=dict)
    tests: dict = field(default_factory=dict)
    tool: tuple = ()


@dataclass(frozen=True)
class Task:
    """Runs that are compared with each other.

    Args:
        runs (dict[str, Run]): Runs by name. File names contain it.
        metrics (dict[str, str]): The metrics that are shown, as mmengine's log names them, with their number formats.
        host (str): The package whose script trains. Defaults to 'mmseg'.
        validation_options (dict): Settings with which a test repeats the validation at the end of the training.
    """

    runs: dict
    metrics: dict
    host: str = 'mmseg'
    validation_options: dict = field(default_factory=dict)

    @property
    def test_host(self) -> str:
        """The package whose script tests. The script of mmdet needs full mmcv; the script of mmseg does the same."""
        return 'mmpose' if self.host == 'mmpose' else 'mmseg'


def longer(max_iters: int) -> dict:
    """Return the options that extend a toy schedule to this number of iterations."""
    return dict.fromkeys(('train_cfg.max_iters', 'train_cfg.val_interval', 'param_scheduler.1.end'), max_iters)


IN_DOMAIN_B = {'domain-b': FurtherTest()}
IN_ALL_DOMAINS = IN_DOMAIN_B | {
    f'domain-{name}': FurtherTest({'test_dataloader.dataset.data_root': f'data/toy/dmp_{name}'}) for name in 'cd'
}
IN_DOMAIN_A = {'test_dataloader.dataset.data_root': 'data/toy/dmp'}


def dmp(target: str, metrics: dict, tests: dict = IN_DOMAIN_B) -> Task:
    """Return the task for a target of DMP. The configs validate in domain a and test in domain b."""
    models = {'dmp': 'dmp_tiny-sd', 'regression': 'regression_tiny-sd', 'dmp-random': 'dmp_tiny-sd-random'}
    configs = {
        name: f'projects/dmp/configs/{model}_1xb8-600_toy-dmp-{target}-128x128.py' for name, model in models.items()
    }
    runs = {name: Run(config, tests=tests) for name, config in configs.items()}
    return Task(runs, metrics, validation_options=IN_DOMAIN_A)


def with_one_step(task: Task, target: str) -> Task:
    """Add the runs of one-step models, which use the data of DMP, to the task for a target of DMP."""
    models = {'one-step': 'tiny-sd', 'one-step-random': 'tiny-sd-random'}
    configs = {
        name: f'configs/one_step/e2e-ft_{model}_1xb8-600_toy-dmp-{target}-128x128.py' for name, model in models.items()
    }
    return replace(task, runs=task.runs | {name: Run(config, tests=IN_ALL_DOMAINS) for name, config in configs.items()})


def probe(*arguments: str) -> Run:
    """Return a run of ``tools/probe_taps.py``, on noised latents."""
    return Run(TOY_ADE, tool=('tools/probe_taps.py', 'data/toy/ade', '--noise', 'fixed', *arguments))


def probed(block: str, timestep: str) -> str:
    """Return the name of a result of ``tools/probe_taps.py``."""
    return f'results/{block} at {timestep}/mIoU'


def of_all_splits(place: int, train_place: int | None = None, **settings) -> dict:
    """Return settings of the transform at a place in the pipelines of a config, which may be another in training."""
    places = dict(train=place if train_place is None else train_place, val=place, test=place)
    return {
        f'{split}_dataloader.dataset.pipeline.{index}.{name}': value
        for split, index in places.items()
        for name, value in settings.items()
    }


def captioned(**settings) -> dict:
    """Return settings of ``LoadCaption`` in the toy config of TADP for segmentation."""
    return of_all_splits(3, train_place=6, **settings)


def in_domain(domain: str, template: str) -> FurtherTest:
    """Return a test of TADP in another domain, whose captions have this form."""
    caption = 'test_dataloader.dataset.pipeline.3'
    return FurtherTest(
        {
            'test_dataloader.dataset.data_root': f'data/toy/ade_{domain}',
            f'{caption}.ann_file': f'data/toy/captions_{domain}/val.json',
            f'{caption}.template': template,
        }
    )


# Captions that name the styles of domains b, c and d, or none. Options on the command line may not contain spaces.
STYLES = {'plain': '{}', 'warm': 'warm:{}', 'outdoors': 'outdoors:{}', 'drawing': 'drawing:{}'}
IN_STYLES = {
    f'domain-{domain}-{style}': in_domain(domain, template) for domain in 'bcd' for style, template in STYLES.items()
}
VPD = 'configs/vpd/vpd_tiny-sd'
TADP = 'configs/tadp/tadp_tiny-sd'
TADP_ADE = f'{TADP}-fpn_1xb4-1800_toy-ade-128x128.py'
ORACLE = 'configs/tadp/tadp-oracle_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
ECODEPTH = 'configs/ecodepth/ecodepth'
EVP = 'configs/evp/evp_tiny-sd_1xb4-1800_toy-nyu-128x128.py'
SDPOSE = 'configs/sdpose/td-hm_sdpose-tiny-sd'
META_PROMPTS = 'configs/metaprompts/metaprompts_tiny-sd'
POSE = 'configs/metaprompts/td-hm_metaprompts-tiny-sd'
DETECTION = 'configs/detection'
DEPTH_CONFIG = f'{VPD}_1xb4-1800_toy-nyu-128x128.py'
DEPTH = {'rmse': '.3f', 'abs_rel': '.3f', 'd1': '.3f'}
TOY_ADE = f'{VPD}-fpn_1xb4-1800_toy-ade-128x128.py'
PROBED_TIMESTEPS = ('1', '50', '100', '261')
TRANSFORMER = 'up_blocks.3.attentions.{}.transformer_blocks.0'
PROBED_KINDS = (  # of features, at the stride of the best blocks, in both layers of the block
    'up_blocks.3.resnets.{}',
    *(f'{TRANSFORMER}.attn1.{name}' for name in ('to_q', 'to_k', 'to_v')),
    f'{TRANSFORMER}.attn1',
    f'{TRANSFORMER}.attn2.to_q',
    f'{TRANSFORMER}.attn2',
    f'{TRANSFORMER}.ff.net.0',
    f'{TRANSFORMER}.ff',
    'up_blocks.3.attentions.{}',
)
KIND_NAMES = [name.format(layer) for name in PROBED_KINDS for layer in (0, 1)]
PROBED_BLOCKS = (*(f'down_blocks.{level}' for level in range(4)), 'mid_block', *(f'up_blocks.{n}' for n in range(4)))
SHUFFLED = {'shuffled': FurtherTest({'test_dataloader.dataset.shuffle_seed': 0})}
SENTENCE_KINDS = {  # by the part that singles out the object
    kind: FurtherTest(
        {'test_dataloader.dataset.data_root': 'data/toy/refcoco_kinds', 'test_dataloader.dataset.split': kind}
    )
    for kind in ('class', 'colour', 'superlative', 'relation')
}
IN_HALF_PRECISION = {
    'autoencoder-bfloat16': FurtherTest({'model.backbone.autoencoder_dtype': 'bfloat16'}),
    'bfloat16': FurtherTest({'default_hooks.half.type': 'HalfPrecisionHook', 'default_hooks.half.dtype': 'bfloat16'}),
}
POSES_IN_DOMAINS = {
    f'domain-{name}': FurtherTest({'test_dataloader.dataset.data_root': f'data/toy/coco_{name}'}) for name in 'bcd'
}
TASKS = {
    'segmentation': Task(
        {
            'pre-trained': Run(f'{VPD}-fpn_1xb4-1400_toy-ade-192x192.py', tests={'multi-scale': FurtherTest(tta=True)}),
            'random': Run(f'{VPD}-random-fpn_1xb4-1400_toy-ade-192x192.py'),
            'tiny-autoencoder': Run(f'{VPD}-taesd-fpn_1xb4-1400_toy-ade-192x192.py'),
            'pre-trained-3600': Run(f'{VPD}-fpn_1xb4-1400_toy-ade-192x192.py', seeds=(0,), options=longer(3600)),
        },
        {'mIoU': '.1f'},
    ),
    'depth': Task(
        {
            'pre-trained': Run(DEPTH_CONFIG, tests={'mirrored': FurtherTest(tta=True)} | IN_HALF_PRECISION),
            'random': Run(f'{VPD}-random_1xb4-1800_toy-nyu-128x128.py'),
            'mean-depth': Run(DEPTH_CONFIG, tool=('tools/constant_depth.py', DEPTH_CONFIG)),
        },
        DEPTH,
    ),
    # The model that several tables compare with.
    'segmentation-128': Task({'pre-trained': Run(TOY_ADE, tests=IN_HALF_PRECISION)}, {'mIoU': '.1f'}),
    # What TADP says about captions: exact ones, and names of classes with a share that is right or there.
    'captions': Task(
        {
            'captions': Run(TADP_ADE, tests=IN_STYLES),
            'all-names': Run(ORACLE, options=of_all_splits(3, present_only=False)),
            'empty-text': Run(TADP_ADE, options=captioned(ann_file=None, caption='')),
            'unscaled': Run(TADP_ADE, options={'model.backbone.scale_latents': False}),
            'with-adapter': Run(TADP_ADE, options={'model.backbone.prompts.adapter.type': 'TextAdapter'}),
            'with-meta-prompts': Run('configs/tadp/tadp-meta_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'),
            **{
                f'names-p{precision}-r{recall}': Run(
                    ORACLE, options=of_all_splits(3, precision=precision / 100, recall=recall / 100)
                )
                for precision in (50, 75, 100)
                for recall in (50, 75, 100)
            },
        },
        {'mIoU': '.1f'},
    ),
    'conditions': Task(
        {
            'scenes': Run(DEPTH_CONFIG),
            'image-captions': Run(f'{TADP}_1xb4-1800_toy-nyu-128x128.py'),
            'image-classes': Run(f'{ECODEPTH}_tiny-sd_1xb4-1800_toy-nyu-128x128.py'),
            'image-token': Run(f'{ECODEPTH}-v2_tiny-sd_1xb4-1800_toy-nyu-128x128.py'),
            'nothing': Run(DEPTH_CONFIG, options={'model.backbone.prompts': None}),
            'evp': Run(EVP),
            'evp-frozen-encoders': Run(EVP, options={'model.backbone.frozen': False}),
            'metric-bins': Run(DEPTH_CONFIG, options={'model.decode_head.type': 'MetricBinsDepthHead'}),
            'image-classes-metric-bins': Run(
                f'{ECODEPTH}_tiny-sd_1xb4-1800_toy-nyu-128x128.py',
                options={'model.decode_head.type': 'MetricBinsDepthHead'},
            ),
        },
        DEPTH,
    ),
    'referring': Task(
        {
            'pre-trained': Run(f'{VPD}-refer_1xb4-1800_toy-refcoco-128x128.py', tests=SHUFFLED | SENTENCE_KINDS),
            'random': Run(f'{VPD}-refer-random_1xb4-1800_toy-refcoco-128x128.py', tests=SHUFFLED | SENTENCE_KINDS),
        },
        {'oIoU': '.1f', 'mIoU': '.1f', 'precision@0.5': '.1f'},
    ),
    'metaprompts': Task(
        {
            'three-passes': Run(f'{META_PROMPTS}-upernet_1xb4-1800_toy-ade-128x128.py'),
            'two-passes': Run(f'{META_PROMPTS}-upernet-2pass_1xb4-1800_toy-ade-128x128.py'),
            'one-pass': Run(f'{META_PROMPTS}-upernet-1pass_1xb4-1800_toy-ade-128x128.py'),
            'class-names': Run(f'{META_PROMPTS}-upernet-classes_1xb4-1800_toy-ade-128x128.py'),
            'random': Run(f'{META_PROMPTS}-random-upernet_1xb4-1800_toy-ade-128x128.py'),
        },
        {'mIoU': '.1f'},
    ),
    'metaprompts-depth': Task(
        {
            'pre-trained': Run(f'{META_PROMPTS}_1xb4-1800_toy-nyu-128x128.py'),
            'random': Run(f'{META_PROMPTS}-random_1xb4-1800_toy-nyu-128x128.py'),
        },
        DEPTH,
    ),
    'pose': Task(
        {
            'pre-trained': Run(f'{POSE}_1xb4-1800_toy-coco-128x96.py'),
            'random': Run(f'{POSE}-random_1xb4-1800_toy-coco-128x96.py'),
            'pre-trained-7200': Run(f'{POSE}_1xb4-1800_toy-coco-128x96.py', seeds=(0,), options=longer(7200)),
        },
        {'coco/AP': '.3f', 'coco/AP .5': '.3f'},
        host='mmpose',
    ),
    # The ablation of SDPose, in domain and out of it.
    'reconstruction': Task(
        {
            'reconstruction': Run(f'{SDPOSE}_1xb4-1800_toy-coco-128x96.py', tests=POSES_IN_DOMAINS),
            'no-reconstruction': Run(
                f'{SDPOSE}-no-reconstruction_1xb4-1800_toy-coco-128x96.py', tests=POSES_IN_DOMAINS
            ),
            'random': Run(f'{SDPOSE}-random_1xb4-1800_toy-coco-128x96.py', tests=POSES_IN_DOMAINS),
            'refinement-passes': Run(f'{SDPOSE}-2pass_1xb4-1800_toy-coco-128x96.py', tests=POSES_IN_DOMAINS),
        },
        {'coco/AP': '.3f', 'coco/AP .5': '.3f'},
        host='mmpose',
    ),
    'dmp-normals': with_one_step(dmp('normals', {'mean': '.1f', '11.25': '.3f'}, IN_ALL_DOMAINS), 'normals'),
    'dmp-depth': with_one_step(
        dmp('depth', {'rmse': '.3f', 'abs_rel': '.3f', 'aligned/abs_rel': '.3f'}, IN_ALL_DOMAINS), 'depth'
    ),
    'dmp-albedo': dmp('albedo', {'mse': '.4f', 'psnr': '.1f'}),
    'dmp-shading': dmp('shading', {'mse': '.4f', 'psnr': '.1f'}),
    'dmp-segmentation': dmp('segmentation', {'mIoU': '.1f'}),
    'taps': Task(
        {'probe': probe('--timesteps', *PROBED_TIMESTEPS)},
        {probed(block, timestep): '.1f' for block in PROBED_BLOCKS for timestep in PROBED_TIMESTEPS},
    ),
    'tap-kinds': Task(
        {'probe': probe('--timesteps', '100', '--taps', *KIND_NAMES)},
        {probed(name, '100'): '.1f' for name in KIND_NAMES},
    ),
    'tap-recipes': Task(
        {
            'two-blocks': Run(f'{VPD}-taps-fpn_1xb4-1800_toy-ade-128x128.py'),
            'timestep-100': Run(TOY_ADE, options={'model.backbone.timestep': 100, 'model.backbone.noise': 'fixed'}),
        },
        {'mIoU': '.1f'},
    ),
    'detection': Task(
        {
            'pre-trained': Run(f'{DETECTION}/retinanet_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py'),
            'random': Run(f'{DETECTION}/retinanet_tiny-sd-random-fpn_1xb4-1800_toy-coco-128x128.py'),
            'mask-rcnn': Run(f'{DETECTION}/mask-rcnn_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py'),
        },
        {'coco/bbox_mAP': '.3f', 'coco/bbox_mAP_50': '.3f', 'coco/segm_mAP': '.3f'},
        host='mmdet',
    ),
}
