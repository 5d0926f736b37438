import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData
from tiny_targets import CAPTIONS, TINY_SD, Scenes, make_samples

from mmdiffperc.generative import DeterministicDiffusion

# One step, and it begins where the U-Net has the most to say.
ONE_STEP = dict(num_steps=1, scheduler=dict(timestep_spacing='trailing'))
ONE_PASS = dict(sampler='one_pass', prediction_type='sample', use_prompts=False)


def make_model(**options):
    model = DeterministicDiffusion('tiny-sd', init_cfg=TINY_SD, **options)
    model.init_weights()
    return model.eval()


@pytest.fixture(scope='module')
def guided():
    return make_model(guidance_scale=2.0, num_steps=2)


@pytest.fixture
def images():
    return torch.rand(2, 3, 40, 56) * 2 - 1


def test_estimate(guided, images):
    maps = guided(images, make_samples(3, (40, 56)))
    assert maps.shape == (2, 3, 40, 56) and 0 <= maps.min() < maps.max() <= 1
    *_, latents = guided.trace(images, CAPTIONS)
    torch.testing.assert_close(guided.decode(latents, (40, 56)), maps)
    torch.testing.assert_close(guided.estimate(images[1:], CAPTIONS[1:]), maps[1:], rtol=1e-3, atol=1e-3)


def test_trace_has_as_many_steps_as_asked_for(guided, images):
    steps = list(guided.trace(images, CAPTIONS, num_steps=3))
    assert [tuple(latents.shape) for latents in steps] == [(2, 8, 5, 7)] * 3
    with pytest.raises(ValueError, match='num_steps=0'):
        guided.estimate(images, CAPTIONS, num_steps=0)


def test_guidance(images):
    """One step: with guidance g it is u + g (c - u) of those without caption and with it, by linearity of DDIM."""
    model = make_model(**ONE_STEP)
    (told,) = model.trace(images, CAPTIONS)
    model.guidance_scale = 3.0
    (guided,) = model.trace(images, CAPTIONS)
    model.use_prompts, model.guidance_scale = False, 1.0
    (untold,) = model.trace(images)
    assert not torch.allclose(told, untold, atol=1e-3)
    torch.testing.assert_close(guided, untold + 3 * (told - untold), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ('channels', 'options'),
    [
        (3, dict()),
        (1, dict(target_mode='F', target_scale=8.0)),
        (1, dict(target_mode='F', target_scale='per_image')),
    ],
)
def test_loss_trains_the_adapter_alone(images, channels, options):
    model = make_model(lora=dict(r=2), **options).train()
    losses = model(images, make_samples(channels, (40, 56)), mode='loss')
    assert list(losses) == ['loss_latents', 'skipped_images'] and losses['loss_latents'].ndim == 0
    losses['loss_latents'].backward()
    changed = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert changed == {name for name, _ in model.named_parameters() if '.lora_B.' in name}  # A follows when B moves
    assert not model.autoencoder.training and not model.text_encoder.training and model.unet.training


def test_loss_of_a_single_pass_is_that_of_its_estimate(images):
    model = make_model(**ONE_PASS)
    samples = make_samples(3, (40, 56))
    (estimated,) = model.trace(images)
    targets = model.autoencoder.encode(torch.stack([sample.gt_target.data for sample in samples]) * 2 - 1)
    loss = model.loss(images, samples)['loss_latents']
    assert loss.item() == pytest.approx((estimated - targets).square().mean().item(), rel=1e-4)


def test_invalid_pixels_are_not_learned(images):
    """What they hold does not matter; the second image has a single valid pixel, and so no valid latent."""
    model = make_model(target_mode='F', target_scale='per_image', use_prompts=False)
    valid = torch.rand(2, 1, 40, 56) > 0.01
    valid[0, :, :8, :8], valid[1] = True, False
    valid[1, 0, 3, 3] = True
    targets = torch.rand(2, 1, 40, 56)

    def losses_of(targets, valid):
        samples = [
            BaseDataElement(gt_target=PixelData(data=target), gt_valid=PixelData(data=mask))
            for target, mask in zip(targets, valid, strict=True)
        ]
        torch.manual_seed(0)  # the same timesteps
        return model.loss(images, samples)

    expected = losses_of(targets, valid)
    found = losses_of(targets.where(valid, torch.nan), torch.ones_like(valid))
    assert found['loss_latents'] == expected['loss_latents'] > 0 and found['skipped_images'] == 1
    nothing = losses_of(targets, torch.zeros_like(valid))
    assert nothing['loss_latents'] == 0 and nothing['skipped_images'] == 2


def test_prediction_has_the_size_of_the_loaded_image(guided, images):
    samples = make_samples(3, (50, 90), ori_shape=(50, 90), img_shape=(40, 53))
    samples[1].set_metainfo(dict(ori_shape=(30, 56), img_shape=(30, 56)))
    first, second = (sample.pred_target.data for sample in guided(images, samples, mode='predict'))
    assert first.shape == (3, 50, 90)
    torch.testing.assert_close(
        first.mean(), guided.estimate(images[:1, :, :, :53], CAPTIONS[:1]).mean(), rtol=0.01, atol=0
    )
    torch.testing.assert_close(second, guided.estimate(images[1:, :, :30], CAPTIONS[1:])[0])  # without the padding


def test_without_data_samples(images):
    model = make_model(use_prompts=False, num_steps=1)
    (first, second) = model(images, mode='predict')
    assert first.pred_target.data.shape == (3, 40, 56)


def test_half_precision(images):
    model = make_model(use_prompts=False, num_steps=2)
    expected = model.estimate(images)
    found = model.bfloat16().estimate(images)
    assert found.dtype == torch.float and (found - expected).abs().mean() < 0.02


def test_weights_of_parts(images):
    model = DeterministicDiffusion('tiny-sd', init_cfg=dict(TINY_SD, components=('vae', 'text_encoder')))
    model.init_weights()
    whole = make_model()
    assert not torch.equal(model.unet.conv_in.weight, whole.unet.conv_in.weight)
    torch.testing.assert_close(model.autoencoder.state_dict(), whole.autoencoder.state_dict())


def test_whole_unet(images):
    model = make_model(lora=None, use_prompts=False, with_cp=True).train()
    model.loss(images, make_samples(3, (40, 56)))['loss_latents'].backward()
    assert all(weight.grad is not None for weight in model.unet.parameters())


def test_adapter_is_exchanged(tmp_path, images):
    model, other = (make_model(use_prompts=False, **ONE_STEP) for _ in range(2))
    for name, weight in model.unet.named_parameters():
        if '.lora_B.' in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_lora(tmp_path)
    assert not torch.allclose(other.estimate(images), model.estimate(images), atol=1e-2)
    other.load_lora(tmp_path)
    torch.testing.assert_close(other.estimate(images), model.estimate(images))


def test_networks_are_shared(images):
    """Two kinds of target by the same weights."""
    model = make_model(lora=dict(r=2), **ONE_STEP)
    other = DeterministicDiffusion(
        'tiny-sd', 'F', 8.0, use_prompts=False, lora=None, networks=model.networks, **ONE_STEP
    )
    assert [id(weight) for weight in other.parameters()] == [id(weight) for weight in model.parameters()]
    (latents,) = model.trace(images, CAPTIONS)
    model.use_prompts = False
    (untold,) = model.trace(images)
    assert not torch.allclose(latents, untold, atol=1e-3)
    torch.testing.assert_close(other.estimate(images), model.decode(untold, (40, 56)).mean(1, keepdim=True) * 8)


@pytest.mark.parametrize('options', [dict(lora=dict(r=5)), dict(lora=None, with_cp=True), dict()])
def test_shared_networks_bring_their_adapter(guided, options):
    with pytest.raises(ValueError, match='networks.*lora=.*with_cp='):
        DeterministicDiffusion('tiny-sd', networks=guided.networks, **options)


def test_missing_captions(guided, images):
    with pytest.raises(ValueError, match=r'use_prompts=True.*caption.*\b2\b.*\b0\b'):
        guided.estimate(images)
    with pytest.raises(ValueError, match='a.png.*`text`'):
        guided(images, [BaseDataElement(metainfo=dict(img_path='a.png'))] * 2, mode='predict')
    with pytest.raises(ValueError, match=r'\b2\b.*string'):
        guided.estimate(images, 'a red sphere')
    with pytest.raises(ValueError, match='empty'):
        guided.estimate(images, ['a red sphere', ' '])


def test_bad_targets(guided, images):
    with pytest.raises(ValueError, match=r"target_mode='RGB'.*\b3\b"):
        guided.loss(images, make_samples(1, (40, 56)))
    with pytest.raises(ValueError, match=r'a.png.*\(41, 56\).*\(40, 56\)'):
        guided.loss(images, make_samples(3, (41, 56), img_path='a.png'))
    with pytest.raises(ValueError, match='a.png.*gt_target'):
        guided.loss(images, [BaseDataElement(metainfo=dict(img_path='a.png', text='a box'))] * 2)
    for number, samples in ((0, None), (1, make_samples(3, (40, 56), CAPTIONS[:1]))):
        with pytest.raises(ValueError, match=rf'\b2\b.*{number}'):
            guided.loss(images, samples)


@pytest.mark.parametrize(
    'images', [None, 'a.png', torch.zeros(3, 40, 56), torch.zeros(1, 3, 40, 56).byte()], ids=range(4)
)
def test_bad_images(guided, images):
    with pytest.raises((TypeError, ValueError), match='images'):
        guided.estimate(images, ['a box'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(guidance_scale=2.0, use_prompts=False), 'guidance_scale=2.0'),
        (dict(guidance_scale=2.0, sampler='one_pass', prediction_type='sample'), 'guidance'),
        (dict(num_steps=0), r'num_steps=0.*\b1\b'),
        (dict(num_steps=1001), r'num_steps=1001.*\b1\b.*1000'),
        (dict(num_steps=True), r'num_steps=True.*\b1\b'),
        (dict(target_scale=float('inf')), "target_scale=inf.*'per_image'"),
        (dict(guidance_scale=float('nan')), r'guidance_scale=nan.*\b0\b'),
        (dict(use_prompts='no'), "use_prompts='no'"),
        (dict(scheduler=dict(foo=1)), "'foo'"),
        (dict(lora=dict(r=0)), 'lora.r=0'),
        (dict(init_cfg='x'), "init_cfg='x'"),
        (dict(init_cfg=dict(type='Pretrained')), "'checkpoint'"),
        (dict(networks=5), 'networks=5.*DiffusionNetworks'),
        (dict(target_mode='L'), "target_mode='L'"),
        (dict(lora=dict(attention='cross')), "attention='cross'"),
        (dict(arch='sd9'), "'sd9'"),
    ],
)
def test_bad_configuration_fails_while_building(options, message):
    with pytest.raises(ValueError, match=message):
        DeterministicDiffusion(**dict(dict(arch='tiny-sd'), **options))


def test_checkpoint_without_all_weights(guided):
    fresh = DeterministicDiffusion('tiny-sd')
    weights = guided.state_dict()
    fresh.load_state_dict(weights)
    torch.testing.assert_close(fresh.text_encoder(CAPTIONS), guided.text_encoder(CAPTIONS))
    weights.pop('unet.conv_in.weight')
    with pytest.raises(RuntimeError, match=r'\b1\b.*DeterministicDiffusion.*unet.conv_in.weight'):
        DeterministicDiffusion('tiny-sd').load_state_dict(weights)


def test_ordinary_runner(tmp_path):
    """Trains and tests under the scope of a host; a checkpoint is tested without the pre-trained weights."""
    init_default_scope('mmseg')
    loader = dict(batch_size=2, num_workers=0, dataset=Scenes(), collate_fn=dict(type='pseudo_collate'))
    config = dict(
        model=dict(type='DeterministicDiffusion', arch='tiny-sd', num_steps=1, init_cfg=TINY_SD),
        work_dir=str(tmp_path),
        default_scope='mmseg',
        experiment_name='scenes',
        test_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        test_cfg=dict(),
        test_evaluator=dict(type='ImageErrorMetric', measures=['mse', 'psnr']),
    )
    training = dict(
        train_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
    )
    runner = Runner(**config, **training)
    before = {name: weight.clone() for name, weight in runner.model.named_parameters()}
    runner.train()
    # Loading the pre-trained weights changed the others.
    assert any(not torch.equal(weight, before[name]) for name, weight in runner.model.named_parameters())
    measured = runner.test()

    config['model'] = ConfigDict(config['model'], init_cfg=None)
    other = Runner(**dict(config, experiment_name='again'), load_from=str(tmp_path / 'epoch_1.pth'))
    torch.manual_seed(0)
    assert set(other.test()) == set(measured) == {'mse', 'psnr'}
    weights = zip(other.model.state_dict().items(), runner.model.state_dict().items(), strict=True)
    assert all(name == same and torch.equal(weight, other) for (name, weight), (same, other) in weights)


def test_found_by_hosts_and_by_scope():
    init_default_scope('mmseg')
    for name in ('DeterministicDiffusion', 'mmdiffperc.DeterministicDiffusion'):
        assert isinstance(MODELS.build(dict(type=name, arch='tiny-sd')), DeterministicDiffusion)


@pytest.mark.parametrize('lora', [dict(r=3), None], ids=['filled', 'fused'])
def test_init_cfg_with_an_adapter(images, adapters, lora):
    """The adapter of the model starts from the file; without one, the file becomes part of the weights that train."""
    expected, model = (
        DeterministicDiffusion('tiny-sd', num_steps=1, lora=own, use_prompts=False, init_cfg=init_cfg)
        for own, init_cfg in ((dict(r=3), TINY_SD), (lora, TINY_SD | dict(lora=str(adapters[0]))))
    )
    expected.init_weights()
    expected.load_lora(adapters[0])
    model.init_weights()
    torch.testing.assert_close(model.estimate(images), expected.estimate(images), rtol=1e-3, atol=1e-4)
    trained = {name for name, weight in model.unet.named_parameters() if weight.requires_grad}
    assert trained == {name for name, _ in model.unet.named_parameters() if lora is None or '.lora_' in name}
    if lora is None:
        assert not any('.lora_' in name for name, _ in model.unet.named_parameters())


def test_init_cfg_with_another_adapter(adapters):
    init_cfg = TINY_SD | dict(lora=str(adapters[0]))  # of rank 3
    with pytest.raises(ValueError, match=r'\(3, 1\.0\).*\(2, 1\.0\)'):
        DeterministicDiffusion('tiny-sd', lora=dict(r=2), init_cfg=init_cfg).init_weights()
