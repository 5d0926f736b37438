import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData
from tiny_targets import TINY_SD, Scenes, make_samples

from mmdiffperc.generative import OneStepDiffusion, PixelRegression
from mmdiffperc.generative.processing_size import to_processed
from mmdiffperc.registry import MODELS

TRAILING = dict(scheduler=dict(timestep_spacing='trailing'))
ZERO_SNR = dict(rescale_betas_zero_snr=True, timestep_spacing='trailing')
SIZE = (37, 52)  # no multiples of 8


def make_model(kind=OneStepDiffusion, **options):
    model = kind(arch='tiny-sd', init_cfg=TINY_SD, **dict(TRAILING, **options))
    model.init_weights()
    return model.eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, *SIZE) * 2 - 1


def samples_of(targets, valid=None):
    samples = [BaseDataElement(gt_target=PixelData(data=target)) for target in targets]
    for sample in samples if valid is not None else ():
        sample.gt_valid = PixelData(data=valid)
    return samples


@pytest.mark.parametrize(
    ('channels', 'options'),
    [
        (1, dict(target_input='zeros', target_scale=5.0)),
        (1, dict(target_input='noise', target_scale='quantiles')),
        (3, dict(target_mode='normals', losses=[dict(type='AngularLoss')])),
        (3, dict(target_mode='RGB', task_embedding=(1, 0), losses=[dict(type='LatentLoss')])),
    ],
)
def test_estimate_and_loss(images, channels, options):
    model = make_model(**options)
    maps = model.estimate(images)
    assert maps.shape == (2, channels, *SIZE) and torch.equal(model.estimate(images), maps)  # noise has a seed
    assert model.timesteps() == [999]
    losses = model(images, make_samples(channels, SIZE), mode='loss')
    assert losses.pop('skipped_images') == 0
    assert all(loss.ndim == 0 and loss > 0 for loss in losses.values())


@pytest.mark.parametrize(('mode', 'scale'), [('RGB', 1.0), ('F', 8.0)])
def test_pixel_regression(images, mode, scale):
    """Targets that differ by a constant from the decoded prediction, or from its mean over the channels."""
    model = make_model(PixelRegression, target_mode=mode, target_scale=scale, use_prompts=False)
    (latents,) = model.trace(images)
    prompts = model.networks.embed(['']).expand(2, -1, -1)
    torch.testing.assert_close(
        latents, model.networks.denoise(model.networks.encode(to_processed(images, 0, 8)), 1, prompts)
    )
    with torch.no_grad():
        decoded = model.networks.decode(latents, SIZE)
    seen = decoded if mode == 'RGB' else decoded.mean(1, keepdim=True)
    losses = model.loss(images, samples_of((seen / 2 + 0.5) * scale + 0.1 * scale))
    expected = 0.2**2 + (decoded - seen).square().mean()
    assert losses['loss_pixels'].item() == pytest.approx(expected.item(), rel=1e-4)
    assert model.unet.peft_config and model.timesteps() == [1]


def test_losses_compare_what_they_should(images):
    """On latents those of the encoded target, on maps the decoded ones; another loss adds and changes nothing."""
    losses = [dict(type='LatentLoss'), dict(type='ImageLoss', norm='l1'), dict(type='AngularLoss', loss_weight=2.0)]
    model = make_model(target_mode='normals', losses=losses, target_input='zeros', prediction_type='sample')
    targets = torch.nn.functional.normalize(torch.randn(2, 3, *SIZE), dim=1)
    found = model.loss(images, samples_of(targets))
    with torch.no_grad():
        (latents,) = model.trace(images)
        decoded = model.networks.decode(latents, SIZE)
        expected = (latents - model.networks.encode(targets)).square().mean()
    assert found['loss_latents'].item() == pytest.approx(expected.item(), rel=1e-4)
    assert found['loss_pixels'].item() == pytest.approx((decoded - targets).abs().mean().item(), rel=1e-4)
    cosine = torch.cosine_similarity(decoded, targets, dim=1).clamp(-1, 1)
    assert found['loss_normals'].item() == pytest.approx(2 * cosine.acos().mean().item(), rel=1e-3)


@pytest.mark.parametrize('loss', ['LatentLoss', 'ImageLoss', 'ScaleShiftInvariantLoss', 'GradientMatchingLoss'])
def test_invalid_pixels_have_no_influence(images, loss):
    model = make_model(target_scale='quantiles', losses=[dict(type=loss)], target_input='zeros')
    valid = torch.zeros(1, *SIZE, dtype=torch.bool)
    valid[:, :24] = True
    targets = torch.rand(2, 1, *SIZE)
    found = []
    for filling in (0.0, 1e6, torch.nan, -torch.inf):
        model.zero_grad()
        value, _ = model.loss(images, samples_of(torch.where(valid, targets, filling), valid)).values()
        value.backward()
        found.append((value.item(), model.unet.conv_out.weight.grad.clone()))
    assert all(value == found[0][0] and torch.equal(gradient, found[0][1]) for value, gradient in found)
    assert found[0][0] > 0


def test_a_batch_without_valid_pixels(images):
    losses = [dict(type='ScaleShiftInvariantLoss'), dict(type='LatentLoss'), dict(type='GradientMatchingLoss')]
    model = make_model(target_scale='quantiles', losses=losses)
    found = model.loss(images, samples_of(torch.full((2, 1, *SIZE), torch.nan)))
    assert found.pop('skipped_images') == 2
    sum(found.values()).backward()
    assert not any(found.values()) and not any(p.grad.any() for p in model.unet.parameters() if p.grad is not None)


def trained(model):
    return {name.partition('.')[0] for name, weight in model.named_parameters() if weight.requires_grad}


def test_what_trains(images):
    """The U-Net, an adapter, or the U-Net and the decoder; every weight that trains gets a gradient."""
    cases = [(dict(), {'unet'}), (dict(lora=dict(r=2)), {'unet'}), (dict(train_decoder=True), {'unet', 'autoencoder'})]
    for options, expected in cases:
        model = make_model(target_scale=5.0, **options).train()
        assert trained(model) == expected
        sum(model.loss(images, make_samples(1, SIZE)).values()).backward()
        names = [name for name, weight in model.named_parameters() if weight.requires_grad]
        assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)
        assert all('.lora_' in name for name in names) == ('lora' in options)
        assert not any(
            'encoder.' in name and 'text' not in name for name in names if name.startswith('autoencoder.vae.enc')
        )


def test_with_cp_gives_the_same_gradients(images):
    gradients = []
    for with_cp in (False, True):
        model = make_model(target_input='zeros', with_cp=with_cp).train()
        torch.manual_seed(0)
        sum(model.loss(images, make_samples(1, SIZE)).values()).backward()
        gradients.append(model.unet.conv_in.weight.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('in_bfloat16', [False, True])
def test_training_lowers_the_loss(images, in_bfloat16):
    model = make_model(target_input='zeros', target_scale=2.0, losses=[dict(type='ImageLoss', norm='l2')]).train()
    optim = OptimWrapper(optimizer=torch.optim.AdamW(model.unet.parameters(), lr=1e-3))
    data = dict(inputs=(images + 1) * 127.5, data_samples=make_samples(1, SIZE))
    losses = []
    for _ in range(4):
        with torch.autocast('cpu', torch.bfloat16, enabled=in_bfloat16):  # as AmpOptimWrapper does on a GPU
            losses.append(model.train_step(dict(data), optim)['loss'].item())
    assert losses[-1] < losses[0]


def test_lotus_reconstructs_the_image_as_second_task(images):
    model = make_model(
        prediction_type='sample',
        task_embedding=(1, 0),
        reconstruction_weight=0.5,
        losses=[dict(type='LatentLoss')],
        target_scale='quantiles',
    )
    torch.nn.init.normal_(model.unet.class_embedding.linear_2.weight)  # it starts at zero
    found = model.loss(images, make_samples(1, SIZE))
    latents = model.networks.encode(to_processed(images, 0, 8))
    prompts = model.networks.embed(['']).expand(2, -1, -1)
    angles = torch.tensor([0.0, 1.0])
    task = torch.cat([angles.sin(), angles.cos()]).expand(2, -1)
    with torch.no_grad():
        again = model.networks.denoise(latents, 999, prompts, task)
    assert found['loss_reconstruction'].item() == pytest.approx(
        0.5 * (again - latents).square().mean().item(), rel=1e-4
    )
    assert found['loss_latents'] != found['loss_reconstruction'] / 0.5


def test_samples_of_the_posterior(images):
    """They vary in training, and are the same each time in prediction."""
    model = make_model(sample_latents=True, losses=[dict(type='LatentLoss')], target_scale=2.0)
    samples = make_samples(1, SIZE)
    assert model.loss(images, samples)['loss_latents'] != model.loss(images, samples)['loss_latents']
    assert torch.equal(model.estimate(images), model.estimate(images))
    (first,) = model.trace(images)
    (second,) = model.trace(images, seed=5)
    assert not torch.equal(first, second)


def test_an_empty_prompt_of_two_tokens(images):
    """The text encoder is causal, so these are the first two of all tokens."""
    long, short = make_model(), make_model(num_tokens=2)
    prompts = [model._embed(None, 2) for model in (long, short)]
    assert [each.shape[1] for each in prompts] == [77, 2]
    torch.testing.assert_close(prompts[0][:, :2], prompts[1])
    assert not torch.allclose(long.estimate(images), short.estimate(images))


def test_several_steps(images):
    model = make_model(target_input='noise', num_steps=3)
    assert len(list(model.trace(images))) == 3 and len(model.timesteps(5)) == 5
    with pytest.raises(ValueError, match=r"num_steps=3.*target_input='noise'"):
        make_model(num_steps=3)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(reconstruction_weight=1.0), 'reconstruction_weight=1.0.*task_embedding'),
        (dict(train_decoder=True, losses=[dict(type='LatentLoss')]), 'train_decoder=True.*latents'),
        (dict(losses=[dict(type='ImageLoss'), dict(type='ImageLoss', norm='l2')]), "2.*'loss_pixels'"),
        (dict(losses=[dict(type='LatentLos')]), "'LatentLos"),
        (dict(target_input='ones'), "target_input='ones'"),
        (dict(num_tokens=5), 'num_tokens=5'),
        (dict(timestep=1000), 'timestep=1000'),
        (dict(target_mode='normals', target_scale=2.0), 'target_scale=2.0'),
        (
            dict(prediction_type='epsilon', scheduler=dict(rescale_betas_zero_snr=True, timestep_spacing='trailing')),
            '999',
        ),
    ],
)
def test_bad_configuration_fails_while_building(options, message):
    with pytest.raises((ValueError, KeyError), match=message):
        OneStepDiffusion(**dict(TRAILING, arch='tiny-sd', **options))


def test_the_runner_trains_with_a_moving_average_and_a_checkpoint_holds_all(tmp_path):
    loader = dict(batch_size=2, num_workers=0, dataset=Scenes(), collate_fn=dict(type='pseudo_collate'))
    config = dict(
        model=dict(type='OneStepDiffusion', arch='tiny-sd', target_mode='RGB', target_input='zeros', init_cfg=TINY_SD),
        work_dir=str(tmp_path),
        default_scope='mmengine',
        experiment_name='one-step',
        custom_hooks=[dict(type='EMAHook', momentum=0.5)],
        train_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
    )
    runner = Runner(**config)
    runner.train()
    weights = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    assert not torch.equal(
        weights['state_dict']['unet.conv_in.weight'], weights['ema_state_dict']['module.unet.conv_in.weight']
    )
    fresh = MODELS.build(dict(config['model'], init_cfg=None))
    fresh.load_state_dict(weights['state_dict'])
    assert fresh.eval().estimate(torch.rand(1, 3, 16, 24)).isfinite().all()


def test_predictions_do_not_depend_on_the_batch(images):
    model = make_model(target_input='noise', sample_latents=True, ensemble_size=2)
    maps = model.estimate(images, seed=3)
    torch.testing.assert_close(model.estimate(images[1:], seed=3), maps[1:], atol=1e-4, rtol=0)


def test_tiles_of_metric_maps(images):
    """Where only one tile covers a pixel, the map equals the prediction for this tile."""
    model = make_model(target_scale=8.0, tile_size=32, tile_overlap=8)
    maps = model.estimate(images)
    assert maps.shape == (2, 1, *SIZE)
    model.tile_size = 0
    torch.testing.assert_close(maps[..., :4, :15], model.estimate(images[..., :32, :32])[..., :4, :15])


def test_tiles_of_relative_maps_are_aligned(images):
    """With the whole image at small size, up to scale and shift, so a tile keeps its own details."""
    model = make_model(target_scale='quantiles', tile_size=32, tile_overlap=8)
    maps = model.estimate(images)
    model.tile_size = 0
    tile = model.estimate(images[..., :32, :32])
    model.processing_res = 32
    whole = model.estimate(images)[..., :32, :32]
    for found, own, target in zip(maps[..., :4, :15], tile, whole, strict=True):
        ones = torch.ones(own.numel())
        design = torch.stack([own.flatten(), ones], dim=1)
        scale, shift = torch.linalg.lstsq(design, target.reshape(-1, 1)).solution.flatten()
        torch.testing.assert_close(found, scale * own[..., :4, :15] + shift, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(ensemble_size=3), "ensemble_size=3.*target_input='noise'"),
        (dict(tile_size=64), 'tile_overlap=128.*tile_size=64'),
        (dict(use_prompts=True, num_tokens=2), 'num_tokens=2.*use_prompts'),
        (dict(losses=[dict(type='AngularLoss')]), "AngularLoss.*channels=3.*'F'.*1"),
        (
            dict(target_mode='normals', losses=[dict(type='ImageLoss'), dict(type='GradientMatchingLoss')]),
            "GradientMatchingLoss.*channels=1.*'normals'.*3.*method=None",
        ),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        make_model(**options)
