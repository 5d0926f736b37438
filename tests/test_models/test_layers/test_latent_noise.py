import pytest
import torch
from diffusers import DDPMScheduler
from logs import heard
from tiny_arch import write_arch

from mmdiffperc.models.layers import LatentNoise
from mmdiffperc.weights.architectures import arch_folder


@pytest.fixture
def latents():
    return torch.randn(3, 4, 5, 7)


@pytest.mark.parametrize(('arch', 'timestep'), [('sd1-5', 0), ('sd1-5', 261), ('sd2-1', 999), ('tiny-sd', 500)])
def test_equals_the_scheduler_of_diffusers(latents, arch, timestep):
    scheduler = DDPMScheduler.from_pretrained(arch_folder(arch) / 'scheduler')
    noise = torch.randn(1, 4, 5, 7, generator=torch.Generator().manual_seed(3))
    expected = scheduler.add_noise(latents, noise.expand(3, -1, -1, -1), torch.tensor([timestep] * 3))
    torch.testing.assert_close(LatentNoise(arch, 'fixed', seed=3)(latents, timestep), expected)
    torch.manual_seed(5)
    expected = scheduler.add_noise(latents, torch.randn(3, 4, 5, 7), torch.tensor([timestep] * 3))
    torch.manual_seed(5)
    torch.testing.assert_close(LatentNoise(arch, 'random')(latents, timestep), expected)


def test_no_noise_needs_no_schedule(arch, latents):
    assert LatentNoise(arch)(latents, 500) is latents


def test_fixed_noise_is_that_of_each_image_alone(latents):
    noise = LatentNoise('sd1-5', 'fixed')
    torch.testing.assert_close(noise(latents, 400)[1:2], noise(latents[1:2], 400), rtol=0, atol=0)


def test_fixed_noise_differs_with_seed_and_index(latents):
    noisy = [LatentNoise('sd1-5', 'fixed', seed)(latents, 400, index) for seed in (0, 5) for index in (0, 1)]
    for number, one in enumerate(noisy):
        assert not any(torch.allclose(one, other) for other in noisy[:number])


def test_half_precision_stays(latents):
    noise = LatentNoise('sd1-5', 'fixed')
    noisy = noise(latents.bfloat16(), 1)
    assert noisy.dtype == torch.bfloat16
    assert torch.equal(noisy, noise(latents.bfloat16().float(), 1).bfloat16())


def test_unscaled_latents(caplog):
    with heard(caplog):
        LatentNoise('sd1-5', 'none', scaled=False)
        LatentNoise('sd1-5', 'fixed', scaled=True)
        assert not caplog.messages
        LatentNoise('sd1-5', 'fixed', scaled=False)
    (message,) = caplog.messages
    assert "noise='fixed'" in message and 'scale_latents=True' in message


def test_noise_needs_a_schedule(arch):
    with pytest.raises(ValueError, match='scheduler/scheduler_config.json'):
        LatentNoise(arch, 'fixed')


def test_a_schedule_that_lacks_timesteps(tmp_path):
    write_arch(tmp_path / 'arch')
    DDPMScheduler(num_train_timesteps=100).save_config(tmp_path / 'arch/scheduler')
    with pytest.raises(ValueError, match='num_train_timesteps=100.*1000'):
        LatentNoise(str(tmp_path / 'arch'), 'fixed')
