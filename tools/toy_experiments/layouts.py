"""The tables and numbers of toy results by name. Pages hold them between comments.

A text holds a table or a number between ``<!-- measured: NAME -->`` and ``<!-- /measured -->``. To add one, put these
comments where it belongs and its layout under this name into ``LAYOUTS``.
"""

from collections.abc import Iterator

from marked_blocks import blocks, pages, with_blocks

from mmdiffperc.files import read_json, write_whole

from .claims import Claim, Claims, Untested
from .tables import Difference, Picture, Table, Value
from .tasks import (
    CONTROLS,
    DMP_MODELS,
    LABELS,
    MAIN_CONTROLS,
    PROBED_BLOCKS,
    PROBED_KINDS,
    PROBED_TIMESTEPS,
    STYLES,
    VALIDATION,
    probed,
)

KIND = 'measured'
# These still hold the numbers of the first release, whose results were not stored. They stay until all of their results
# have been measured. Then run `python tools/measure_prior.py --write`, and remove them from the list.
FIRST_RELEASE = {
    'referring', 'metaprompts', 'metaprompts-depth', 'pose', 'pose-longer-ap', 'pose-longer-ap50', 'detection', 'dmp',
}  # fmt: skip


def target_rows(measures: dict[tuple[str, ...], dict], domains: str) -> dict[tuple[str, ...], dict]:
    """Return the rows of a table of generative models: each measure in each domain."""
    tests = dict(a=VALIDATION, b='domain-b', c='domain-c', d='domain-d')
    return {(*texts, domain): dict(row, test=tests[domain]) for texts, row in measures.items() for domain in domains}


SEEDS_AND_MEAN = {f'seed {seed}': dict(seed=seed) for seed in (0, 1, 2)} | {'mean': {}}
POSE_COLUMNS = {
    'AP: seed 0': dict(metric='coco/AP', seed=0),
    'seed 1': dict(metric='coco/AP', seed=1),
    'seed 2': dict(metric='coco/AP', seed=2),
    'mean': dict(metric='coco/AP'),
    'AP at OKS 0.5: mean': dict(metric='coco/AP .5'),
}
START = ('U-Net at the start',)
MEANS = ('U-Net at the start (means of three seeds)',)
PRE_TRAINED, RANDOM = 'pre-trained (tiny-sd)', 'random, everything else pre-trained'
STARTS = {(PRE_TRAINED,): dict(run='pre-trained'), (RANDOM,): dict(run='random')}
DMP_MEASURES = {
    ('normals', 'mean angle, degrees'): dict(task='dmp-normals', metric='mean', best=min),
    ('normals', 'within 11.25 degrees'): dict(task='dmp-normals', metric='11.25', best=max),
    ('depth', 'RMSE, m'): dict(task='dmp-depth', metric='rmse', best=min),
    ('depth', 'REL'): dict(task='dmp-depth', metric='abs_rel', best=min),
    ('albedo', 'MSE'): dict(task='dmp-albedo', metric='mse', best=min),
    ('shading', 'MSE'): dict(task='dmp-shading', metric='mse', best=min),
    ('segmentation', 'mIoU'): dict(task='dmp-segmentation', metric='mIoU', best=max),
}
NO_MODEL = {('no model: the mean depth of the training images',): dict(task='depth', run='mean-depth')}
PAPERS = {
    'VPD': '[VPD](https://arxiv.org/abs/2303.02153)',
    'MetaPrompts': '[MetaPrompts](https://arxiv.org/abs/2312.14733)',
    'DMP': '[DMP](https://arxiv.org/abs/2311.18832)',
    'TADP': '[TADP](https://arxiv.org/abs/2310.00031)',
    'ECoDepth': '[ECoDepth](https://arxiv.org/abs/2403.18807)',
    'EVP': '[EVP](https://arxiv.org/abs/2312.08548)',
    'SDPose': '[SDPose](https://arxiv.org/abs/2509.24980)',
}
DOMAIN_NAMES = {'a': 'rooms', 'b': 'other materials and light', 'c': 'outdoors', 'd': 'drawings', 'e': 'at night'}

COMPLETE = dict(task='segmentation-128', run='pre-trained')  # VPD at 128 pixels, which several tables share


def few_labels(start: str, count: int) -> Value:
    """Return the result of a start with this number of labelled images."""
    run = f'{start}-{count}'
    shared = COMPLETE if run == 'pre-trained-1000' else dict(task='few-labels', run=run)
    return Value(**shared, metric='mIoU', spread=True)


FEW_LABELS = Table(
    ('labelled images',),
    {(f'{count:,}',): dict(count=count) for count in LABELS},
    {PRE_TRAINED: dict(start='pre-trained'), RANDOM: dict(start='random')},
    value=few_labels,
)
VPD_TABLES = {
    'vpd-ablation': Table(
        ('prompts', 'adapter', 'attention maps', 'initial U-Net'),
        {
            ('class names', 'yes', 'yes', 'pre-trained'): COMPLETE,
            ('class names', 'no', 'yes', 'pre-trained'): dict(run='no-adapter'),
            ('class names', 'yes', 'no', 'pre-trained'): dict(run='no-maps'),
            ('class names', 'no', 'no', 'pre-trained'): dict(run='no-adapter-no-maps'),
            ('meaningless names', 'yes', 'yes', 'pre-trained'): dict(run='meaningless-names'),
            ('learned', 'no', 'yes', 'pre-trained'): dict(run='learned-prompts'),
            ('class names', 'yes', 'yes', 'random'): dict(task='few-labels', run='random-1000'),
        },
        SEEDS_AND_MEAN,
        dict(task='vpd-ablation', metric='mIoU'),
    ),
    'few-labels': FEW_LABELS,
    'few-labels-figure': Picture(
        FEW_LABELS, '../../resources/few_labels.png', 'mIoU over the number of labelled images, for both starts'
    ),
    'referring-kinds': Table(
        ('the object is singled out by', 'sentence'),
        {
            ('its class', '"the sphere"'): dict(test='class'),
            ('its colour', '"the red sphere"'): dict(test='colour'),
            ('a superlative', '"the largest sphere"'): dict(test='superlative'),
            ('a relation', '"the sphere left of the box"'): dict(test='relation'),
        },
        {
            'pre-trained: oIoU': dict(run='pre-trained', metric='oIoU'),
            'random: oIoU': dict(run='random', metric='oIoU'),
            'pre-trained: precision@0.5': dict(run='pre-trained', metric='precision@0.5'),
            'random: precision@0.5': dict(run='random', metric='precision@0.5'),
        },
        dict(task='referring'),
    ),
}
METAPROMPTS_TABLES = {
    'metaprompts-time': Table(
        ('passes', 'iterations'),
        {
            ('1', '3,300'): dict(run='one-pass-equal-time'),
            ('2', '2,400'): dict(run='two-passes-equal-time'),
            ('3', '1,800'): dict(run='three-passes'),
        },
        SEEDS_AND_MEAN,
        dict(task='metaprompts', metric='mIoU'),
    ),
    'pose-longer': Table(
        START,
        {(PRE_TRAINED,): dict(run='pre-trained-7200'), (RANDOM,): dict(run='random-7200')},
        POSE_COLUMNS,
        dict(task='pose'),
    ),
}


def control(run: str) -> tuple[str, ...]:
    """Return the texts of a run of the fair controls of DMP: model, trained weights, initial U-Net, iterations."""
    model, weights, start = CONTROLS[run.removesuffix('-short')]
    models, parts = dict(process='DMP', regression='regression'), dict(adapter='adapter, 4 %', all='all')
    return models[model], parts[weights], start, '600' if run.endswith('-short') else '2,400'


CONTROL_RUNS = (*(f'{name}-short' for name in MAIN_CONTROLS), *CONTROLS)
CONTROL_HEADINGS = ('model', 'trained weights', 'initial U-Net', 'iterations')
CONTROL_COMMON = dict(task='normals-controls', metric='mean')
DMP_CONTROLS = Table(
    CONTROL_HEADINGS,
    {control(run): dict(run=run) for run in CONTROL_RUNS},
    {f'{name} ({looks})': dict(test=f'domain-{name}') for name, looks in DOMAIN_NAMES.items()},
    dict(CONTROL_COMMON, spread=True),
)
COMPARISONS = {
    ('DMP minus regression (adapter)',): ('process-adapter-pre-trained', 'regression-adapter-pre-trained'),
    ('DMP minus regression (adapter, 600 iterations)',): (
        'process-adapter-pre-trained-short',
        'regression-adapter-pre-trained-short',
    ),
    ('DMP minus regression (all weights)',): ('process-all-pre-trained', 'regression-all-pre-trained'),
    ('DMP, pre-trained minus random (all weights)',): ('process-all-pre-trained', 'process-all-random'),
    ('regression, pre-trained minus random (all weights)',): ('regression-all-pre-trained', 'regression-all-random'),
    ('DMP, adapter minus all weights',): ('process-adapter-pre-trained', 'process-all-pre-trained'),
}
DIFFERENCES = {texts: dict(run=run, baseline=baseline) for texts, (run, baseline) in COMPARISONS.items()}
DMP_TABLES = {
    'dmp-controls': DMP_CONTROLS,
    'dmp-controls-figure': Picture(
        DMP_CONTROLS, '../../resources/dmp_controls.png', 'Mean error of the normals of eight models in five domains'
    ),
    'dmp-losses-figure': Picture(
        DMP_CONTROLS, '../../resources/dmp_losses.png', 'Training loss of the eight models over the iterations'
    ),
    'dmp-controls-gaps': Table(
        CONTROL_HEADINGS,
        {control(run): dict(run=run) for run in CONTROL_RUNS},
        {f'from a to {name}': dict(test=f'domain-{name}') for name in 'bcde'},
        dict(CONTROL_COMMON, beyond='domain-a', spread=True),
    ),
    'dmp-differences': Table(
        ('comparison',),
        DIFFERENCES,
        {f'domain {name}': dict(test=f'domain-{name}') for name in DOMAIN_NAMES},
        CONTROL_COMMON,
        Difference,
    ),
    'dmp-gaps': Table(
        ('comparison',),
        DIFFERENCES,
        {f'from a to {name}': dict(test=f'domain-{name}', beyond='domain-a') for name in 'bcde'},
        CONTROL_COMMON,
        Difference,
    ),
}


def named_classes(precision: int, recall: int) -> Value:
    """Return the result with prompts that name classes with this precision and recall, in per cent."""
    return Value('captions', f'names-p{precision}-r{recall}', 'mIoU')


NAMED_CLASSES = Table(
    ('recall of the named classes',),
    {(f'{recall} %',): dict(recall=recall) for recall in (50, 75, 100)},
    {f'precision {precision} %': dict(precision=precision) for precision in (50, 75, 100)},
    value=named_classes,
)
DEPTH_COLUMNS = {'RMSE (m)': dict(metric='rmse', spread=True), 'REL': dict(metric='abs_rel'), 'd1': dict(metric='d1')}
RELATIVES_TABLES = {
    'captions': Table(
        ('prompts',),
        {
            ('captions',): dict(run='captions'),
            ('class names, each with its mean embedding (VPD)',): COMPLETE,
            ('all class names in one sentence',): dict(run='all-names'),
            ('the empty sentence',): dict(run='empty-text'),
            ('captions; latents that are not scaled',): dict(run='unscaled'),
            ("captions, with VPD's adapter",): dict(run='with-adapter'),
            ('captions and 20 learned prompts',): dict(run='with-meta-prompts'),
        },
        SEEDS_AND_MEAN,
        dict(task='captions', metric='mIoU'),
    ),
    'named-classes': NAMED_CLASSES,
    'named-classes-figure': Picture(
        NAMED_CLASSES,
        '../../resources/named_classes.png',
        'mIoU over the recall of the named classes, a line for each precision',
    ),
    'styles': Table(
        ('test domain',),
        {(f'{name} ({DOMAIN_NAMES[name]})',): dict(domain=name) for name in 'bcd'},
        {f'`{template.replace(":", ": ")}`': dict(style=style) for style, template in STYLES.items()},
        value=lambda domain, style: Value(
            'captions', 'captions', 'mIoU', f'domain-{domain}-{style}', spread=True, best=max
        ),
    ),
    'conditions': Table(
        ('prompts', 'head', 'method'),
        {
            ('name of the scene', 'sigmoid', 'VPD'): dict(run='scenes'),
            ('caption', 'sigmoid', 'TADP'): dict(run='image-captions'),
            ('classifier of the image', 'sigmoid', 'ECoDepth'): dict(run='image-classes'),
            ('classifier of the image, second version', 'sigmoid', 'ECoDepth'): dict(run='image-token'),
            ('none', 'sigmoid', ''): dict(run='nothing'),
            ('caption', 'metric bins', 'EVP'): dict(run='evp'),
            ('caption', 'metric bins', 'EVP, text encoder and autoencoder frozen'): dict(run='evp-frozen-encoders'),
            ('name of the scene', 'metric bins', ''): dict(run='metric-bins'),
            ('classifier of the image', 'metric bins', ''): dict(run='image-classes-metric-bins'),
        },
        DEPTH_COLUMNS,
        dict(task='conditions'),
    ),
    'reconstruction': Table(
        ('initial U-Net', 'second task', 'passes'),
        {
            ('pre-trained', 'reconstruction', '1'): dict(run='reconstruction'),
            ('pre-trained', 'none', '1'): dict(run='no-reconstruction'),
            ('random', 'reconstruction', '1'): dict(run='random'),
            ('pre-trained', 'none', '2'): dict(run='refinement-passes'),
        },
        {
            f'AP: domain {name}': dict(test=VALIDATION if name == 'a' else f'domain-{name}', spread=True)
            for name in 'abcd'
        },
        dict(task='reconstruction', metric='coco/AP'),
    ),
    'mixing': Table(
        ('first part', 'second part', 'measure'),
        {
            ('captions (TADP)', 'learned prompts (MetaPrompts)', 'mIoU'): dict(
                metric='mIoU',
                runs=(('captions', 'captions'), ('vpd-ablation', 'learned-prompts'), ('captions', 'with-meta-prompts')),
            ),
            ('classifier of the image (ECoDepth)', 'metric bins (EVP)', 'RMSE (m)'): dict(
                metric='rmse',
                runs=[('conditions', run) for run in ('image-classes', 'metric-bins', 'image-classes-metric-bins')],
            ),
            ('head (SDPose)', 'refinement passes (MetaPrompts)', 'AP'): dict(
                metric='coco/AP',
                runs=(
                    ('reconstruction', 'no-reconstruction'),
                    ('pose', 'pre-trained'),
                    ('reconstruction', 'refinement-passes'),
                ),
            ),
        },
        {'first alone': dict(place=0), 'second alone': dict(place=1), 'both': dict(place=2)},
        value=lambda metric, runs, place: Value(*runs[place], metric, spread=True),
    ),
}


def claim(
    paper: str, text: str, ours: tuple, other: tuple, metric: str, unit: str, better=max, test=VALIDATION
) -> Claim:
    """Return a claim that a run, ``(task, name)``, is better than another one."""
    return Claim(text, PAPERS[paper], Value(*ours, metric, test), Value(*other, metric, test), unit, better)


def claims_within(paper: str, task: str, measure: dict, pairs: dict[str, tuple[str, str]]) -> Iterator[Claim]:
    """Yield claims about the runs of a task: by the text of each, the better run and the worse one."""
    for text, (ours, other) in pairs.items():
        yield claim(paper, text, (task, ours), (task, other), **measure)


def control_claim(text: str, ours: str, other: str, test: str, **settings) -> Claim:
    """Return a claim of DMP about the error of its normals in a test."""
    values = (Value(run=run, test=test, **CONTROL_COMMON, **settings) for run in (ours, other))
    return Claim(text, PAPERS['DMP'], *values, 'degrees', min)


MIOU = dict(metric='mIoU', unit='mIoU')
RMSE = dict(metric='rmse', unit='m RMSE', better=min)
AP = dict(metric='coco/AP', unit='AP')
SHIFTS = {name: f'domain {name} ({looks})' for name, looks in DOMAIN_NAMES.items() if name != 'a'}
EVIDENCE = {
    'evidence-vpd': Claims(
        (
            claim(
                'VPD', 'Pre-training as a generator helps segmentation.',
                ('segmentation', 'pre-trained'), ('segmentation', 'random'), **MIOU,
            ),
            claim('VPD', 'It helps depth.', ('depth', 'pre-trained'), ('depth', 'random'), **RMSE),
            claim(
                'VPD', 'It helps referring segmentation.',
                ('referring', 'pre-trained'), ('referring', 'random'), 'oIoU', 'oIoU',
            ),
            claim(
                'VPD', 'It helps referring segmentation with sentences that need a relation.',
                ('referring', 'pre-trained'), ('referring', 'random'), 'oIoU', 'oIoU', test='relation',
            ),
            claim(
                'VPD', 'The adapter of the text embeddings helps.',
                ('segmentation-128', 'pre-trained'), ('vpd-ablation', 'no-adapter'), **MIOU,
            ),
            claim(
                'VPD', 'The cross-attention maps help.',
                ('segmentation-128', 'pre-trained'), ('vpd-ablation', 'no-maps'), **MIOU,
            ),
            claim(
                'VPD', 'The meaning of the class names helps.',
                ('segmentation-128', 'pre-trained'), ('vpd-ablation', 'meaningless-names'), **MIOU,
            ),
            *(
                claim(
                    'VPD', f'A pre-trained U-Net needs less: with {count} labelled images.',
                    ('few-labels', f'pre-trained-{count}'), ('few-labels', f'random-{count}'), **MIOU,
                )
                for count in LABELS[:-1]
            ),
            Untested(
                'VPD surpasses backbones that were pre-trained on labels or on pairs of images and texts.',
                PAPERS['VPD'],
                'no other backbone has been pre-trained on toy scenes',
            ),
        )
    ),
    'evidence-metaprompts': Claims(
        (
            *claims_within('MetaPrompts', 'metaprompts', MIOU, {
                'Learned prompts are better than class names.': ('three-passes', 'class-names'),
                'A second pass helps.': ('two-passes', 'one-pass'),
                'A third pass helps.': ('three-passes', 'two-passes'),
                'Three passes are better than one in the same time.': ('three-passes', 'one-pass-equal-time'),
                'Pre-training helps segmentation.': ('three-passes', 'random'),
            }),
            claim(
                'MetaPrompts', 'It helps depth.',
                ('metaprompts-depth', 'pre-trained'), ('metaprompts-depth', 'random'), **RMSE,
            ),
            *claims_within('MetaPrompts', 'pose', AP, {
                'It helps pose estimation.': ('pre-trained', 'random'),
                'It helps pose estimation after 7,200 iterations.': ('pre-trained-7200', 'random-7200'),
            }),
        )
    ),
    'evidence-dmp': Claims(
        (
            *(
                control_claim(
                    f'The deterministic process is better than regression in {shift}.',
                    *MAIN_CONTROLS, f'domain-{name}',
                )
                for name, shift in SHIFTS.items()
            ),
            *(
                control_claim(
                    f'It loses less than regression from domain a to {shift}.',
                    *MAIN_CONTROLS, f'domain-{name}', beyond='domain-a',
                )
                for name, shift in SHIFTS.items()
            ),
            *(
                control_claim(
                    f'The prior helps the process in {shift}.',
                    'process-all-pre-trained', 'process-all-random', f'domain-{name}',
                )
                for name, shift in SHIFTS.items()
            ),
            *(
                control_claim(
                    f'An adapter is better than training all weights in {shift}.',
                    'process-adapter-pre-trained', 'process-all-pre-trained', f'domain-{name}',
                )
                for name, shift in SHIFTS.items()
            ),
            Untested(
                'Training on generated images of bedrooms generalises to any photo.',
                PAPERS['DMP'],
                'needs Stable Diffusion and photos',
            ),
        )
    ),
    'evidence-relatives': Claims(
        (
            claim(
                'TADP', 'Captions are better prompts than the mean embeddings of all class names.',
                ('captions', 'captions'), ('segmentation-128', 'pre-trained'), **MIOU,
            ),
            *claims_within('TADP', 'captions', MIOU, {
                'Captions are better than the empty sentence.': ('captions', 'empty-text'),
                'Scaled latents help.': ('captions', 'unscaled'),
                'With captions, the adapter does not help.': ('captions', 'with-adapter'),
                'Precision of the named classes helps, at full recall.': ('names-p100-r100', 'names-p50-r100'),
                'Recall of the named classes helps, at full precision.': ('names-p100-r100', 'names-p100-r50'),
            }),
            *(
                Claim(
                    f'A caption that names the style helps in domain {domain} ({DOMAIN_NAMES[domain]}).',
                    PAPERS['TADP'],
                    *(Value('captions', 'captions', 'mIoU', f'domain-{domain}-{one}') for one in (style, 'plain')),
                    'mIoU',
                )
                for domain, style in (('b', 'warm'), ('c', 'outdoors'), ('d', 'drawing'))
            ),
            *claims_within('ECoDepth', 'conditions', RMSE, {
                'Embeddings of the image are better prompts than the name of the scene.': ('image-classes', 'scenes'),
            }),
            *claims_within('EVP', 'conditions', RMSE, {
                'EVP is better than VPD for depth.': ('evp', 'scenes'),
                'Training the text encoder and the autoencoder helps.': ('evp', 'evp-frozen-encoders'),
                'Metric bins are better than a sigmoid.': ('metric-bins', 'scenes'),
            }),
            *(
                claim(
                    'SDPose', f'Reconstruction helps {where}.',
                    ('reconstruction', 'reconstruction'), ('reconstruction', 'no-reconstruction'), **AP, test=test,
                )
                for where, test in {
                    'in the domain of the training': VALIDATION,
                    **{f'in domain {name} ({DOMAIN_NAMES[name]})': f'domain-{name}' for name in 'bcd'},
                }.items()
            ),
            claim(
                'SDPose', 'Pre-training helps pose estimation.',
                ('reconstruction', 'reconstruction'), ('reconstruction', 'random'), **AP,
            ),
        )
    ),
}  # fmt: skip

LAYOUTS = {
    'segmentation': Table(
        ('initial U-Net',),
        {('pre-trained',): dict(run='pre-trained'), ('random; all other parts pre-trained',): dict(run='random')},
        SEEDS_AND_MEAN,
        dict(task='segmentation', metric='mIoU'),
    ),
    'segmentation-pre-trained': Value('segmentation', 'pre-trained', 'mIoU'),
    'segmentation-random': Value('segmentation', 'random', 'mIoU'),
    'demo-multi-scale': Value('segmentation', 'pre-trained', 'mIoU', 'multi-scale', seed=0),
    'demo-checkpoint': Value('segmentation', 'pre-trained-3600', 'mIoU'),
    'depth': Table(
        MEANS,
        {text: dict(task='depth', **row) for text, row in STARTS.items()} | NO_MODEL,
        {'RMSE (m)': dict(metric='rmse'), 'REL': dict(metric='abs_rel'), 'd1': dict(metric='d1')},
    ),
    'depth-mirrored-rmse': Value('depth', 'pre-trained', 'rmse', 'mirrored'),
    'depth-mirrored-rel': Value('depth', 'pre-trained', 'abs_rel', 'mirrored'),
    'referring': Table(
        (*MEANS, 'sentence'),
        {
            (PRE_TRAINED, 'of the object'): dict(run='pre-trained'),
            (PRE_TRAINED, 'of another image'): dict(run='pre-trained', test='shuffled'),
            (RANDOM, 'of the object'): dict(run='random'),
            (RANDOM, 'of another image'): dict(run='random', test='shuffled'),
        },
        {name: dict(metric=name) for name in ('oIoU', 'mIoU', 'precision@0.5')},
        dict(task='referring'),
    ),
    'metaprompts': Table(
        ('passes', 'prompts', *START),
        {
            ('1', 'learned', PRE_TRAINED): dict(run='one-pass'),
            ('2', 'learned', 'pre-trained'): dict(run='two-passes'),
            ('3', 'learned', 'pre-trained'): dict(run='three-passes'),
            ('3', 'class names', 'pre-trained'): dict(run='class-names'),
            ('3', 'learned', RANDOM): dict(run='random'),
        },
        SEEDS_AND_MEAN,
        dict(task='metaprompts', metric='mIoU'),
    ),
    'metaprompts-depth': Table(
        START,
        {text: dict(task='metaprompts-depth', **row) for text, row in STARTS.items()} | NO_MODEL,
        {
            'RMSE (m): seed 0': dict(metric='rmse', seed=0),
            'seed 1': dict(metric='rmse', seed=1),
            'seed 2': dict(metric='rmse', seed=2),
            'mean': dict(metric='rmse'),
            'mean REL': dict(metric='abs_rel'),
            'mean d1': dict(metric='d1'),
        },
    ),
    'pose': Table(
        START,
        STARTS,
        POSE_COLUMNS,
        dict(task='pose'),
    ),
    'pose-longer-ap': Value('pose', 'pre-trained-7200', 'coco/AP'),
    'pose-longer-ap50': Value('pose', 'pre-trained-7200', 'coco/AP .5'),
    'detection': Table(
        ('detector', *MEANS),
        {
            ('RetinaNet', PRE_TRAINED): dict(run='pre-trained'),
            ('RetinaNet', RANDOM): dict(run='random'),
            ('Mask R-CNN', PRE_TRAINED): dict(run='mask-rcnn'),
        },
        {
            'box mAP': dict(metric='coco/bbox_mAP'),
            'mAP at 0.5': dict(metric='coco/bbox_mAP_50'),
            'mask mAP': dict(metric='coco/segm_mAP'),
        },
        dict(task='detection'),
    ),
    'dmp': Table(
        ('target', 'measure', 'domain'),
        target_rows(DMP_MEASURES, 'ab'),
        {title: dict(run=run, spread=True) for run, title in DMP_MODELS.items()},
    ),
    'taps': Table(
        ('features',),
        {(f'`{block}`',): dict(block=block) for block in PROBED_BLOCKS},
        {f'timestep {timestep}': dict(timestep=timestep) for timestep in PROBED_TIMESTEPS},
        value=lambda block, timestep: Value('taps', 'probe', probed(block, timestep)),
    ),
    'tap-kinds': Table(
        ('features in `up_blocks.3` at timestep 100',),
        {(f'`{name.removeprefix("up_blocks.3.").format("N")}`',): dict(name=name) for name in PROBED_KINDS},
        {'N = 0': dict(layer=0), 'N = 1': dict(layer=1)},
        value=lambda name, layer: Value('tap-kinds', 'probe', probed(name.format(layer), '100')),
    ),
    'tap-recipes': Table(
        ('model',),
        {
            ('default pyramid',): COMPLETE,
            ('finest level from `up_blocks.2` and `up_blocks.3`',): dict(task='tap-recipes', run='two-blocks'),
            ('default pyramid at timestep 100, with fixed noise',): dict(task='tap-recipes', run='timestep-100'),
        },
        SEEDS_AND_MEAN,
        dict(metric='mIoU'),
    ),
    'tiny-autoencoder': Table(
        ('autoencoder',),
        {
            ('of tiny-sd',): dict(run='pre-trained'),
            ("`'tiny-taesd'`",): dict(run='tiny-autoencoder'),
        },
        SEEDS_AND_MEAN,
        dict(task='segmentation', metric='mIoU'),
    ),
    'half-precision': Table(
        ('precision',),
        {
            ('float32',): {},
            ("`autoencoder_dtype='bfloat16'`",): dict(test='autoencoder-bfloat16'),
            ('`HalfPrecisionHook` with bfloat16',): dict(test='bfloat16'),
        },
        {
            'segmentation, mIoU': dict(task='segmentation-128', metric='mIoU', spread=True),
            'depth, RMSE (m)': dict(task='depth', metric='rmse', spread=True),
        },
        dict(run='pre-trained'),
    ),
    **VPD_TABLES,
    **METAPROMPTS_TABLES,
    **DMP_TABLES,
    **RELATIVES_TABLES,
    **EVIDENCE,
}


def missing(name: str) -> str:
    """Return how many results of a block are missing, or an empty string."""
    needed = [(value, job) for value in LAYOUTS[name].values for job in value.jobs]
    absent = {job.name for value, job in needed if not value.is_measured(job)}
    return f'{len(absent)} of {len({job.name for _, job in needed})} results are missing' if absent else ''


def obstacle(name: str) -> str:
    """Return why a block must stay as it is, or an empty string."""
    if name in FIRST_RELEASE and (reason := missing(name)):
        return reason
    files = {job.file for value in LAYOUTS[name].values for job in value.jobs if value.is_measured(job)}
    if len({(record['tiny_sd'], record['toy_scenes']) for record in map(read_json, files)}) > 1:
        return 'the results were measured with different versions of tiny-sd or of the toy scenes'
    return ''


def with_results(text: str) -> str:
    """Return the text of a page with the present results in all blocks that may change."""
    return with_blocks(KIND, text, lambda name, content: content if obstacle(name) else LAYOUTS[name].render())


def write_pages() -> dict[str, str]:
    """Write the results into all pages, and return the obstacle of each block that was left unchanged."""
    left = {}
    for page in pages():
        text = page.read_text(encoding='utf-8')
        left |= {name: obstacle(name) for name, _ in blocks(KIND, text) if obstacle(name)}
        if (new := with_results(text)) != text:
            write_whole(page, new)
    return left
