import pytest
import torch

from mmdiffperc.generative import DeterministicProcess
from mmdiffperc.generative.deterministic_process import PREDICTION_TYPES
from mmdiffperc.weights.noise_schedule import load_schedule

SHAPE = 3, 4, 5, 6


def make_process(*arguments, schedule=None, **options):
    return DeterministicProcess(load_schedule('sd1-5', **schedule or {}), *arguments, **options)


@pytest.mark.parametrize('prediction_type', PREDICTION_TYPES)
@pytest.mark.parametrize('sampler', ['ddim', 'oracle'])
@pytest.mark.parametrize('spacing', ['leading', 'trailing'])
def test_a_perfect_network_arrives(prediction_type, sampler, spacing):
    """Whose every prediction, whatever its form, says that the target is behind the latents it is shown."""
    process = make_process(prediction_type, sampler, schedule=dict(timestep_spacing=spacing, set_alpha_to_one=True))
    images, targets = torch.randn(2, *SHAPE)

    def predict(latents, timestep):
        alpha = process.scheduler.alphas_cumprod[timestep]
        image = (latents - alpha.sqrt() * targets) / (1 - alpha).sqrt()
        velocity = (alpha.sqrt() * latents - targets) / (1 - alpha).sqrt()
        return dict(v_prediction=velocity, epsilon=image, sample=targets)[prediction_type]

    *on_the_way, latents = process.run(predict, images, 4)
    torch.testing.assert_close(latents, targets, rtol=1e-3, atol=1e-4)
    distances = [(step - targets).norm() for step in (images, *on_the_way, latents)]
    assert distances == sorted(distances, reverse=True)


def test_a_single_pass_is_trained_as_it_is_run():
    process = make_process('sample', 'one_pass')
    images, targets = torch.randn(2, *SHAPE)
    timesteps = process.draw_timesteps(3, 'cpu')
    seen = []
    (latents,) = process.run(lambda latents, timestep: seen.append((latents, timestep)) or targets, images, 5)
    assert timesteps.tolist() == [seen[0][1]] * 3 == [1, 1, 1]
    assert process.mix(images, targets, timesteps) is images is seen[0][0]
    assert process.expected(images, targets, timesteps) is targets is latents


def test_timesteps_in_training_are_of_the_whole_schedule():
    timesteps = make_process().draw_timesteps(20000, 'cpu')
    assert timesteps.min() == 0 and timesteps.max() == 999
    assert abs(timesteps.float().mean() - 499.5) < 10


def test_weights():
    """At the first timestep the ratio of target to image is 1175, at the last 0.0047."""
    timesteps = torch.tensor([0, 999])
    assert make_process().loss_weights(timesteps).tolist() == [1, 1]
    high, low = 0.99915 / 0.00085, 0.0046599 / 0.9953401
    for prediction_type, divisors in dict(sample=(1, 1), epsilon=(high, low), v_prediction=(high + 1, low + 1)).items():
        weights = make_process(prediction_type, snr_gamma=5, snr_trunc=1).loss_weights(timesteps)
        torch.testing.assert_close(weights, torch.tensor([5 / divisors[0], 1 / divisors[1]]), rtol=1e-3, atol=0)


def test_loss_is_weighted_by_image():
    process = make_process('sample', snr_gamma=5)
    expected = torch.zeros(2, 4, 3, 2)
    prediction = torch.stack([torch.full((4, 3, 2), 0.1), torch.full((4, 3, 2), 2.0)])
    low = 0.0046599 / 0.9953401
    valid = torch.ones(2, 1, 3, 2, dtype=torch.bool)
    loss = process.loss(prediction, expected, torch.tensor([0, 999]), valid)
    assert loss.item() == pytest.approx((5 * 0.01 + low * 4) / 2, rel=1e-3)


def test_loss_of_valid_latents():
    """All count: exactly the mean. Of the second image none do, so the first remains, without its spoilt latent."""
    process, timesteps = make_process('sample'), torch.tensor([0, 999])
    prediction, expected = torch.randn(2, 2, 4, 3, 5)
    valid = torch.ones(2, 1, 3, 5, dtype=torch.bool)
    assert (
        process.loss(prediction, expected, timesteps, valid) == (prediction - expected).square().mean((1, 2, 3)).mean()
    )
    expected[0] = prediction[0] + 0.5
    expected[0, :, 1, 2] = 1e6
    valid[0, :, 1, 2] = valid[1] = False
    assert process.loss(prediction, expected, timesteps, valid).item() == pytest.approx(0.25)
    assert process.loss(prediction, expected, timesteps, torch.zeros_like(valid)) == 0


@pytest.mark.parametrize('num_steps', [0, -1, 1000, 1001, 2.5, None])
def test_impossible_number_of_steps(num_steps):
    with pytest.raises(ValueError, match=rf'num_steps={num_steps}.*\b1\b.*1000'):
        make_process().timesteps(num_steps)


def test_nothing_changes_the_schedule():
    process = make_process(sampler='oracle')
    before = dict(vars(process.scheduler))
    images, targets = torch.randn(2, *SHAPE)
    process.timesteps(7)
    process.mix(images, targets, torch.tensor([1, 2, 3]))
    list(process.run(lambda latents, timestep: targets, images, 5))
    assert vars(process.scheduler).keys() == before.keys()
    assert all(vars(process.scheduler)[name] is value for name, value in before.items())


def test_longest_run():
    timesteps = make_process().timesteps(999)
    assert len(timesteps) == 999 and timesteps[0] == 999 and timesteps[-1] == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(prediction_type='v'), "prediction_type='v'.*'v_prediction', 'epsilon'.*'sample'"),
        (dict(sampler='ddpm'), "sampler='ddpm'.*'ddim', 'oracle'.*'one_pass'"),
        (dict(sampler='one_pass'), "sampler='one_pass'.*prediction_type='sample'.*'v_prediction'"),
        (dict(snr_gamma=0), 'snr_gamma=0'),
        (dict(snr_trunc=float('nan')), 'snr_trunc=nan'),
        (dict(snr_trunc=5.0, snr_gamma=1.0), 'snr_trunc=5.0.*snr_gamma=1.0'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_process(**arguments)
