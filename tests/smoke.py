"""Check in a minute that an environment works: import everything, train on toy scenes with every host, predict.

``python tests/smoke.py`` runs in any environment that has mmdiffperc and its hosts, and needs neither pytest nor the
internet. The exit status is 1, and the last line names what failed, unless everything works.
"""

import argparse
import os
import platform
import sys
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault('HF_HUB_OFFLINE', '1')  # read when the client of the hub is imported

CONFIGS = Path(__file__).parents[1] / 'configs'
PACKAGES = ('mmdiffperc', 'mmdiffperc.seg', 'mmdiffperc.pose', 'mmseg.apis', 'mmdet.apis', 'mmpose.apis', 'mim')
SEGMENTATION = 'vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
# A config for each host, and the folder of the toy scenes that it reads.
TRAININGS = {
    'mmseg': (SEGMENTATION, 'ade'),
    'mmdet': ('detection/retinanet_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py', 'coco'),
    'mmpose': ('metaprompts/td-hm_metaprompts-tiny-sd_1xb4-1800_toy-coco-128x96.py', 'coco'),
}
ITERATIONS = 20
NAMED = (
    'mmdiffperc torch torchvision numpy opencv-python diffusers transformers peft mmengine mmcv mmcv-lite '
    'mmsegmentation mmdet mmpose xtcocotools pycocotools setuptools'
)  # in the summary


def import_all():
    """Import the package, its parts for the hosts, and the hosts; ``mmdiffperc`` has to come first."""
    for name in PACKAGES:
        import_module(name)


def make_scenes(folder: Path):
    """Render a few toy scenes in the formats of the three hosts."""
    from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

    write_dataset(folder / 'scenes', DatasetSpec(num_train=8, num_val=4, formats=('ade', 'coco')))


def small_config(host: str, folder: Path):
    """Return the config of a host, for a short training on the few scenes that is validated at its end."""
    from mmengine.config import Config

    name, data = TRAININGS[host]
    data_root = f'{folder / "scenes" / data}/'
    config = Config.fromfile(CONFIGS / name)
    options = {f'{part}_dataloader.dataset.data_root': data_root for part in ('train', 'val', 'test')}
    options.update({'train_dataloader.batch_size': 2, 'val_dataloader.batch_size': 2, 'work_dir': str(folder / host)})
    options.update({'train_cfg.max_iters': ITERATIONS, 'train_cfg.val_interval': ITERATIONS})
    config.merge_from_dict(options)
    if 'ann_file' in config.val_evaluator:
        annotations = f'{data_root}{config.val_dataloader.dataset.ann_file}'
        config.merge_from_dict({'val_evaluator.ann_file': annotations, 'test_evaluator.ann_file': annotations})
    return config


def train(host: str, folder: Path):
    """Train for some iterations, validate, and save a checkpoint."""
    from mmengine.runner import Runner

    Runner.from_cfg(small_config(host, folder)).train()


def predict(folder: Path):
    """Segment one image with the checkpoint that the training of mmseg has left.

    Raises:
        ValueError: The result is not one of the classes at each pixel of the image.
    """
    from mmseg.apis import inference_model, init_model

    checkpoint = folder / 'mmseg' / f'iter_{ITERATIONS}.pth'
    model = init_model(small_config('mmseg', folder), str(checkpoint), device='cpu')
    result = inference_model(model, str(next((folder / 'scenes' / 'ade' / 'images' / 'validation').iterdir())))
    labels = result.pred_sem_seg.data
    if labels.shape != (1, 128, 128) or not 0 <= labels.min() <= labels.max() < model.decode_head.num_classes:
        raise ValueError(f'expected a class at each of 128 x 128 pixels, got {labels.shape}: {labels.unique()}')


def versions() -> str:
    """Return the versions of what is installed, in one line."""
    found = [f'Python {platform.python_version()}']
    for name in NAMED.split():
        try:
            found.append(f'{name} {version(name)}')
        except PackageNotFoundError:  # mmcv or mmcv-lite, for instance
            continue
    return ', '.join(found)


def main():
    """Do one step after the other; the first that fails ends the check."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with TemporaryDirectory(prefix='mmdiffperc-smoke-') as name:
        folder = Path(name)
        steps = {'importing': import_all, 'making toy scenes': lambda: make_scenes(folder)}
        steps.update({f'training with {host}': lambda host=host: train(host, folder) for host in TRAININGS})
        steps['predicting'] = lambda: predict(folder)
        for step, work in steps.items():
            print(f'smoke: {step}', flush=True)
            try:
                work()
            except Exception:  # whatever it is, it is what this script looks for
                traceback.print_exc()
                sys.exit(f'smoke: FAILED while {step}; {versions()}')
    print(f'smoke: everything works; {versions()}')


if __name__ == '__main__':
    main()
