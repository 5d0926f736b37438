import pytest
import torch
from diffusers import DDIMScheduler
from logs import heard

from mmdiffperc.generative import OneStepProcess

SHAPE = (2, 4, 5, 7)


def make(spacing='trailing', prediction_type='v_prediction', **options):
    schedule = dict(beta_start=0.00085, beta_end=0.012, beta_schedule='scaled_linear', clip_sample=False)
    keys = ('rescale_betas_zero_snr', 'set_alpha_to_one')
    schedule.update({key: options.pop(key) for key in keys if key in options})
    scheduler = DDIMScheduler(**schedule, steps_offset=1, timestep_spacing=spacing)
    return OneStepProcess(scheduler, prediction_type, **options)


@pytest.fixture
def latents():
    return torch.randn(3, *SHAPE).unbind()  # image, target, prediction


@pytest.mark.parametrize(('spacing', 'timestep'), [('trailing', 999), ('leading', 1)])
def test_spacing_determines_the_only_step(spacing, timestep, caplog):
    with heard(caplog):
        process = make(spacing)
    assert process.timestep == timestep and process.timesteps(1) == [timestep]
    assert caplog.text.count('timestep 1,') == (spacing == 'leading')


def test_a_given_timestep_needs_no_warning(caplog):
    with heard(caplog):
        assert make('leading', timestep=3).timesteps(1) == [3]
    assert not caplog.text


@pytest.mark.parametrize('timestep', [1, 400, 999])
def test_clean_latents(latents, timestep):
    """Predictions of a target in each of the three forms amount to this target."""
    noise, target, _ = latents
    alpha = make().scheduler.alphas_cumprod[timestep]
    mixed = alpha.sqrt() * target + (1 - alpha).sqrt() * noise
    predictions = dict(sample=target, epsilon=noise, v_prediction=alpha.sqrt() * noise - (1 - alpha).sqrt() * target)
    for prediction_type, prediction in predictions.items():
        found = make(prediction_type=prediction_type, timestep=timestep).clean(prediction, mixed)
        torch.testing.assert_close(found, target, rtol=1e-3, atol=1e-4)


def test_start_and_inputs(latents):
    image, target, _ = latents
    assert make().start(image) is image and make().inputs(image, target) is image
    zeros = make(target_input='zeros')
    assert not zeros.start(image).any() and torch.equal(zeros.inputs(image, target), torch.cat([image, target], 1))
    first, second = (make(target_input='noise').start(image, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second) and abs(first.std() - 1) < 0.2 and first.shape == image.shape


def test_a_run_of_one_step_is_the_clean_prediction(latents):
    image, _, prediction = latents
    process, seen = make(target_input='zeros'), []

    def predict(inputs, timestep):
        seen.append((inputs.shape[1], timestep))
        return prediction

    start = process.start(image)
    (found,) = process.run(predict, image, start, 1)
    torch.testing.assert_close(found, process.clean(prediction, start))
    assert seen == [(8, 999)]


@pytest.mark.parametrize('last', ['clean', 'previous'])
def test_a_run_of_several_steps_is_that_of_ddim(latents, last):
    image, _, prediction = latents
    process = make(target_input='noise', last=last)
    start = process.start(image)
    found = list(process.run(lambda inputs, timestep: prediction * timestep / 999, image, start, 4))
    scheduler, expected = DDIMScheduler.from_config(process.scheduler.config), start
    scheduler.set_timesteps(4)
    for timestep in scheduler.timesteps:
        step = scheduler.step(prediction * timestep / 999, timestep, expected)
        expected = step.prev_sample
    torch.testing.assert_close(found[-1], step.pred_original_sample if last == 'clean' else expected)
    assert len(found) == 4 and process.timesteps(4) == [999, 749, 499, 249]


@pytest.mark.parametrize('to_one', [False, True])
def test_clean_and_previous_agree_if_the_last_alpha_is_one(latents, to_one):
    image, _, prediction = latents
    ends = []
    for last in ('clean', 'previous'):
        process = make(target_input='zeros', last=last, set_alpha_to_one=to_one)
        ends += process.run(lambda *_: prediction, image, process.start(image), 1)
    assert torch.allclose(*ends, atol=1e-5) == to_one


def test_epsilon_needs_a_signal():
    with pytest.raises(ValueError, match=r"'epsilon'.*999.*rescale_betas_zero_snr"):
        make(prediction_type='epsilon', rescale_betas_zero_snr=True)
    make(prediction_type='epsilon', rescale_betas_zero_snr=True, timestep=500)
    make(prediction_type='v_prediction', rescale_betas_zero_snr=True)


@pytest.mark.parametrize('num_steps', [0, 1000, 2.5, 2])
def test_steps_that_it_cannot_take(num_steps):
    with pytest.raises(ValueError, match=f'num_steps={num_steps}'):
        make().timesteps(num_steps)


def test_genpercept_s_schedule_predicts_the_negative(latents):
    """Its betas are 1, so that nothing of the image remains."""
    image, target, _ = latents
    ones = DDIMScheduler(beta_start=1.0, beta_end=1.0, timestep_spacing='leading', steps_offset=1, clip_sample=False)
    torch.testing.assert_close(OneStepProcess(ones, timestep=1).clean(-target, image), target)
