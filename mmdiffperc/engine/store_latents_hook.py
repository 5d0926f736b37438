"""Encode each training image once."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdiffperc.models.layers.latent_autoencoder import LatentAutoencoder
from mmdiffperc.models.layers.latent_store import LatentStore
from mmdiffperc.registry import HOOKS
from mmdiffperc.validation import Location, PositiveFloat, validated


@HOOKS.register_module()
@validated
class StoreLatentsHook(Hook):
    """Store what the frozen autoencoder returns for each image in a folder, and read it in later epochs and runs.

    This pays off where the same images come again: with at most random flips, as in the toy configs, DMP and one-step
    models, and in validation. Random crops, sizes or colours make each image a new one. Crops are not cut out of stored
    latents, because an autoencoder looks far beyond the crop: latents of tiny-sd, cropped to half of the sides,
    differ from latents of the cropped image by 17 to 26 % (relative norm). If latents are sampled, their mean and
    variance are stored, so each sample is a new one as without the hook. The folder needs 32 kB for an image of 512 x
    512 pixels.

    A stored result is used only for the same pixels and the same weights, see :class:`.LatentStore`, so the folder
    never has to be emptied. Results equal those without the hook up to rounding, because an autoencoder rounds
    differently in batches of different sizes.

    Args:
        folder (str): The folder. Several runs may share it. Defaults to 'data/latents'.
        max_gigabytes (float): Stop writing after this size, for each process. Defaults to 20.
    """

    def __init__(self, folder: Location = 'data/latents', max_gigabytes: PositiveFloat = 20.0):
        self.folder = folder
        self.max_gigabytes = max_gigabytes
        self._stores = []

    def before_train(self, runner: Runner):
        """Give each autoencoder of the model, which has its weights by now, a store."""
        self._stores = []
        for module in runner.model.modules():
            if isinstance(module, LatentAutoencoder):
                if module.trained:
                    raise ValueError(
                        'StoreLatentsHook: the autoencoder is trained, so that its latents change: remove the hook, or '
                        "add 'autoencoder' to frozen"
                    )
                module.store = LatentStore(self.folder, module.vae, int(self.max_gigabytes * 1e9))
                self._stores.append(module.store)
        if not self._stores:
            raise ValueError(
                f'StoreLatentsHook: {type(runner.model).__name__} has no autoencoder of latents: expected a model with '
                'DiffusionUNet, DeterministicDiffusion or OneStepDiffusion; remove the hook'
            )

    def after_train(self, runner: Runner):
        """Log how many images were read."""
        for module in runner.model.modules():
            if isinstance(module, LatentAutoencoder):
                module.store = None
        read, encoded = (sum(getattr(store, name) for store in self._stores) for name in ('num_read', 'num_encoded'))
        runner.logger.info(f'StoreLatentsHook: {read} images were read from {self.folder}, and {encoded} were encoded')
