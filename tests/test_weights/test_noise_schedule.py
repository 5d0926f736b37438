import pytest

from mmdiffperc.weights.noise_schedule import load_schedule


def test_schedule_of_stable_diffusion():
    schedule = load_schedule('sd1-5', timestep_spacing='trailing')
    assert schedule.config.num_train_timesteps == 1000 and schedule.config.timestep_spacing == 'trailing'
    assert schedule.alphas_cumprod[0].item() == pytest.approx(1 - 0.00085)
    assert schedule.alphas_cumprod[-1].item() == pytest.approx(0.00466, abs=1e-5)


def test_folder_without_schedule(arch):
    with pytest.raises(ValueError, match='scheduler/scheduler_config.json'):
        load_schedule(arch)
