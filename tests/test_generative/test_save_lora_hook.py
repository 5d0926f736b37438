import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import Dataset

from mmdiffperc.generative import DeterministicDiffusion, SaveLoRAHook

TINY_SD = dict(type='Pretrained', checkpoint='tiny-sd')


class Negatives(Dataset):
    """Images whose target is their negative."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        image = torch.full((3, 16, 24), 80 * index, dtype=torch.uint8)
        return dict(inputs=image, data_samples=BaseDataElement(gt_target=PixelData(data=1 - image / 255)))


class KeepAdapters(Hook):
    """What the adapter is after each iteration."""

    def __init__(self):
        self.adapters = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.adapters[runner.iter + 1] = {
            name: weight.detach().clone() for name, weight in runner.model.named_parameters() if '.lora_B.' in name
        }


def make_runner(tmp_path, model, *hooks, **options):
    training = dict(
        train_dataloader=dict(
            batch_size=1,
            num_workers=0,
            dataset=Negatives(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=3),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2)),
    )
    return Runner(
        model, str(tmp_path), custom_hooks=list(hooks), experiment_name=tmp_path.name, **{**training, **options}
    )


def make_model(**options):
    return dict(type='DeterministicDiffusion', arch='tiny-sd', use_prompts=False, init_cfg=TINY_SD, **options)


@pytest.mark.parametrize('by_epoch', [False, True])
def test_adapter_of_each_checkpoint(tmp_path, by_epoch):
    kept = KeepAdapters()
    options = {}
    if by_epoch:
        checkpoint = dict(type='CheckpointHook', by_epoch=True, interval=1)
        options = dict(train_cfg=dict(by_epoch=True, max_epochs=2), default_hooks=dict(checkpoint=checkpoint))
    make_runner(tmp_path, make_model(lora=dict(r=2)), kept, dict(type='SaveLoRAHook'), **options).train()
    saved = [3, 6] if by_epoch else [2, 3]
    assert sorted(path.name for path in tmp_path.glob('lora_*')) == [f'lora_iter_{iteration}' for iteration in saved]
    for iteration in saved:
        other = DeterministicDiffusion('tiny-sd', use_prompts=False)
        other.load_lora(tmp_path / f'lora_iter_{iteration}')
        loaded = {name: weight for name, weight in other.named_parameters() if '.lora_B.' in name}
        torch.testing.assert_close(loaded, kept.adapters[iteration], rtol=0, atol=0, check_device=False)
        assert any(weight.any() for weight in loaded.values())
    assert not any(torch.equal(kept.adapters[saved[0]][name], loaded[name]) for name in loaded)


def test_file_holds_the_adapter_alone(tmp_path):
    make_runner(tmp_path, make_model(), dict(type='SaveLoRAHook')).train()
    names = load_file(tmp_path / 'lora_iter_2' / 'pytorch_lora_weights.safetensors')
    assert names and all(name.startswith('unet.') and '.lora_' in name for name in names)


@pytest.mark.parametrize(
    ('model', 'error', 'message'),
    [
        (nn.Linear(1, 1), TypeError, 'save_lora'),
        (DeterministicDiffusion('tiny-sd', lora=None), ValueError, 'LoRA.*`lora`'),
    ],
)
def test_model_without_adapter_fails_before_training(model, error, message):
    class Run:
        """All that the hook asks of a runner."""

    Run.model = model
    with pytest.raises(error, match=message):
        SaveLoRAHook().before_train(Run)
