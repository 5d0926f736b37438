"""A text-to-image diffusion model as a backbone."""

from functools import partial
from typing import Literal

import torch
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.half_precision import DataType, HalfType, in_own_precision
from mmdiffperc.models.checkpointing import checkpoint_autoencoder, enable_checkpointing, refuse_reentrant_checkpointing
from mmdiffperc.models.compilation import compile_blocks
from mmdiffperc.models.config_checks import (
    Arch,
    ExtraLatents,
    Frozen,
    InitCfg,
    InputScale,
    Levels,
    Lora,
    Passes,
    Prompts,
    Taps,
    TaskEmbedding,
    TimeIds,
    Timesteps,
    check_extra_latents,
    check_out_strides,
    check_reconstruction,
    check_refine_steps,
    check_text_encoder,
    frozen_parts,
)
from mmdiffperc.models.layers.feature_resize import resize_features, resize_skip_connections
from mmdiffperc.models.layers.feature_taps import Tap, feature_table, find_taps
from mmdiffperc.models.layers.given_time_embedding import GivenTimeEmbedding
from mmdiffperc.models.layers.latent_autoencoder import TILING, LatentAutoencoder
from mmdiffperc.models.layers.latent_noise import LatentNoise, NoiseKind
from mmdiffperc.models.layers.memory_format import best_format
from mmdiffperc.models.layers.on_device import timestep_on
from mmdiffperc.models.layers.reconstruction import Reconstruction
from mmdiffperc.models.layers.recorder import Recorder
from mmdiffperc.models.layers.sentence_encoder import SentenceEncoder
from mmdiffperc.models.layers.unet_inputs import UNetInputs
from mmdiffperc.models.layers.untapped import remove_untapped
from mmdiffperc.models.prompts.base_prompts import CATEGORY, build_prompts, split_inputs
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Strides, validated
from mmdiffperc.weights.architectures import TOKENIZERS, build_unet, text_parts
from mmdiffperc.weights.completeness import Completeness
from mmdiffperc.weights.eight_bits import restore_eight_bits
from mmdiffperc.weights.extended_inputs import plain_task
from mmdiffperc.weights.loading import initialise
from mmdiffperc.weights.lora import add_lora, train_dropout
from mmdiffperc.weights.network_inputs import pooled_width
from mmdiffperc.weights.recipes import warn_of_other_settings
from mmdiffperc.weights.shipped_autoencoder import complete_autoencoder

EMPTY_PROMPT = dict(type='ClassPrompts', classes=[''], templates=['{}'])
COMPLETENESS = Completeness(
    'Check that its config has the same arch, prompts, lora, out_indices and taps as this one; Stable Diffusion '
    'weights are loaded by init_cfg',
    whole=True,
)


@MODELS.register_module()
@validated
class DiffusionUNet(BaseModule):
    """The U-Net of a text-to-image diffusion model as a backbone: an image in, a pyramid of features out.

    An autoencoder turns the image into latents. The U-Net processes them, guided by prompts, and its up blocks provide
    the features, to which cross-attention maps may be appended. This follows `VPD
    <https://arxiv.org/abs/2303.02153>`_. The U-Net may run several times, each time on its previous output; the
    features come from the last pass. This follows `MetaPrompts <https://arxiv.org/abs/2312.14733>`_.

    ``arch`` builds the networks and ``init_cfg`` loads their weights. A fine-tuned checkpoint holds everything that
    testing needs.

    Args:
        arch (str | dict): ``'sd1-4'``, ``'sd1-5'``, ``'sd2-1'``, ``'sdxl'``, ``'sdxl-turbo'``, ``'tiny-sd'``, or a
            folder that holds ``unet/config.json`` and ``vae/config.json``; or one of these for each part, such as
            ``dict(unet='sd1-5', vae='taesd')``, see :func:`.arch_folder`. Defaults to ``'sd1-5'``.
        out_indices (Sequence[int], optional): Levels of the pyramid to return, 0 the finest. A level may be listed more
            than once. Default: all levels, which have strides 8, 16, 32 and 64 with Stable Diffusion, and 8, 16 and 32
            with SDXL.
        taps (Sequence[str | dict], optional): Features to return instead of the pyramid, by the names of
            :func:`.list_taps`, in any order: ``'mid_block'``, or ``dict(module='mid_block')``. A list of modules with
            one stride, ``dict(module=['up_blocks.2.attentions.0', 'up_blocks.2.attentions.1'])``, becomes one feature
            by concatenation. With ``tensor='input'``, a norm of a transformer block gives the hidden states before it.
            Cannot be combined with ``out_indices``. Default: the pyramid.
        out_strides (Sequence[int], optional): Resize the features to these strides, one for each feature:
            ``(4, 8, 16, 32)`` for a neck or head made for a ResNet. Default: the features keep their strides.
        prompts (dict, optional): Config of the prompts, such as ``dict(type='ClassPrompts', classes='ade')``.
            Default: the empty prompt.
        cross_attention (dict, optional): Config of :class:`CrossAttentionMaps`. Each of its strides gets one map per
            prompt, appended to the feature's channels. Default: no maps.
        timestep (int | Sequence[int]): Diffusion timestep, the second input of the U-Net. With several timesteps, the
            U-Net runs at each of them. Defaults to 1.
        timestep_fusion (str): How to combine the features of several timesteps: ``'mean'``, or ``'concat'`` along the
            channels. Defaults to ``'mean'``.
        noise (str): Noise to add to the latents, with the strength of the timestep: ``'none'``; ``'fixed'``, the same
            for all images of one size; or ``'random'``, from PyTorch's generator. Set ``scale_latents=True`` as well,
            see :class:`.LatentNoise`. Defaults to ``'none'``.
        noise_seed (int): Seed of fixed noise. Defaults to 0.
        num_refine_steps (int): Number of passes of the U-Net, which share its weights. Several passes need level 0 in
            ``out_indices``, or the last up block in ``taps``. Defaults to 1.
        learned_timesteps (bool): Learn the time embedding itself, one vector per pass, instead of computing it from
            ``timestep``. Cannot be combined with several timesteps. Defaults to False.
        resize_skips (bool): Handle latents whose sides cannot be halved evenly as in the official code of MetaPrompts,
            see :func:`.resize_skip_connections`. The features then have the size of an image padded to a multiple of
            the largest stride, which is larger than ``out_strides`` implies. Cannot be combined with
            ``cross_attention`` or ``out_strides``. Defaults to False.
        scale_latents (bool): Multiply latents by the autoencoder's scaling factor. Defaults to False.
        latent_std (float, optional): Divide latents by this number, the standard deviation of the latents of a data
            set, as `EVP <https://arxiv.org/abs/2312.08548>`_ does. Cannot be combined with ``scale_latents`` or
            ``extra_latents``.
        sample_latents (bool): Train with samples of the latents' distribution instead of its mode, as in `TADP
            <https://arxiv.org/abs/2310.00031>`_ and SDPose. Tests use the mode, so that they can be repeated. Defaults
            to False.
        lora (dict, optional): Train a low-rank adapter instead of the U-Net: arguments of ``peft.LoraConfig``, of which
            ``target_modules`` defaults to all attention projections.
        frozen (bool | Sequence[str]): True freezes the U-Net, except for its adapter. The autoencoder and the text
            encoder are frozen in any case; to train them too, list the frozen parts, some of ``'unet'``,
            ``'autoencoder'`` and ``'text_encoder'``. Their learning rates are set by ``paramwise_cfg``. Defaults to
            False.
        with_cp (bool): Save memory in training by gradient checkpointing of the U-Net, and of the autoencoder if it is
            trained. Defaults to False.
        out_prompts (bool): Append the prompt embeddings ``(B, K, C)`` to the returned tuple. Defaults to False.
        extra_latents (str | Sequence[str], optional): What a U-Net with more input channels reads: ``'marigold'``,
            ``'e2e-ft'``, ``'instruct-pix2pix'``, ``'inpainting'``, or a list, see :class:`.UNetInputs`. It also says
            which latents are scaled, and allows one pass only.
        guidance_scale (float, optional): Guidance scale that a latent consistency model embeds.
        task_embedding (Sequence[float], optional): Two numbers for the task of a U-Net that embeds it: with Lotus,
            ``(1, 0)`` is depth or normals, with SDPose poses. A U-Net without such an input gets one, which changes
            nothing at first.
        reconstruction_weight (float): Weight of a second loss in training: with the task (0, 1), the U-Net should
            return the latents of the image, as in `SDPose <https://arxiv.org/abs/2509.24980>`_. It takes a second pass
            of the U-Net, and needs ``task_embedding``. See :class:`.KeepCleanImage` for images that are disturbed on
            purpose. Defaults to 0, no second task.
        time_ids (Sequence[int], optional): Sizes that SDXL embeds, such as ``(1024, 1024, 0, 0, 1024, 1024)``, see
            :class:`.UNetInputs`. Default: the size of each batch of images after ``input_scale``, without a crop.
        input_scale (float): Enlarge the images by this factor before the autoencoder encodes them. All strides shrink
            by the same factor: with 2, they are 4, 8, ... SDXL was trained on images of 1024 pixels. Defaults to 1.
        autoencoder_dtype (str, optional): Type of the frozen autoencoder in a model of any other precision:
            ``'bfloat16'``, ``'float16'`` or ``'float32'``. Checkpoints then hold its weights in this type. Cannot be
            combined with FSDP. Default: that of the model, or of autocast.
        autoencoder_tiling (int): Largest number of pixels that the autoencoder encodes at a time, see
            :class:`.LatentAutoencoder`. A smaller number needs less memory. Defaults to 2**18.
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=...)`` with a hub id, a folder or a file, or
            one for each part, ``dict(unet=..., vae=..., text_encoder=...)``, with ``text_encoder_2`` for SDXL; and
            optionally ``variant``, ``use_ema``, ``lora`` and ``components`` of :func:`.load_weights`. The components
            are ``'unet'`` and ``'vae'``, by default both. With a ``prefix``, it is an OpenMMLab checkpoint, which is
            loaded as in any other backbone.

    Attributes:
        out_channels (tuple[int]): Channels of each returned feature.
        out_strides (tuple[int]): Pixels per cell of each returned feature.
        half_type (torch.dtype | None): Type of the weights after :meth:`halve`.

    Raises:
        ValueError: ``arch`` is unknown, the U-Net lacks a level, place or stride, several passes lack the last up
            block, or an argument has an invalid value.
    """

    def __init__(
        self,
        arch: Arch = 'sd1-5',
        out_indices: Levels | None = None,
        taps: Taps | None = None,
        out_strides: Strides | None = None,
        prompts: Prompts | None = None,
        cross_attention: dict | None = None,
        timestep: Timesteps = 1,
        timestep_fusion: Literal['mean', 'concat'] = 'mean',
        noise: NoiseKind = 'none',
        noise_seed: NonNegativeInt = 0,
        num_refine_steps: Passes = 1,
        learned_timesteps: bool = False,
        resize_skips: bool = False,
        scale_latents: bool = False,
        latent_std: PositiveFloat | None = None,
        sample_latents: bool = False,
        lora: Lora | None = None,
        frozen: Frozen = False,
        with_cp: bool = False,
        out_prompts: bool = False,
        extra_latents: ExtraLatents | None = None,
        guidance_scale: PositiveFloat | None = None,
        task_embedding: TaskEmbedding | None = None,
        reconstruction_weight: NonNegativeFloat = 0.0,
        time_ids: TimeIds | None = None,
        input_scale: InputScale = 1.0,
        autoencoder_dtype: DataType | None = None,
        autoencoder_tiling: PositiveInt = TILING,
        init_cfg: InitCfg | None = None,
    ):
        super().__init__(init_cfg)
        check_extra_latents(extra_latents, scale_latents or latent_std is not None, noise, num_refine_steps)
        check_reconstruction(
            reconstruction_weight,
            task_embedding,
            extra_latents=(extra_latents, None),
            noise=(noise, 'none'),
            num_refine_steps=(num_refine_steps, 1),
            timestep=(timestep, timestep if isinstance(timestep, int) else timestep[0]),
        )
        self.arch = arch
        self.timestep = timestep
        self.timestep_fusion = timestep_fusion
        self.out_prompts = out_prompts
        self.sample_latents = sample_latents
        self.half_type = None
        self.frozen = frozen_parts(frozen)
        self.autoencoder = LatentAutoencoder(
            arch,
            scale_latents,
            input_scale=input_scale,
            dtype=autoencoder_dtype,
            tiling=autoencoder_tiling,
            latent_std=latent_std,
            trained='autoencoder' not in self.frozen,
        )
        self.noise = LatentNoise(arch, noise, noise_seed, scale_latents or latent_std is not None)
        self.unet = build_unet(arch, task_input=task_embedding is not None)
        self.reconstruction = Reconstruction(reconstruction_weight) if reconstruction_weight else None
        refuse_reentrant_checkpointing(self.unet)
        self.inputs = UNetInputs(
            self.unet.config,
            self.autoencoder,
            extra_latents,
            guidance_scale,
            task_embedding,
            time_ids,
            learned_timesteps,
        )

        self.taps = self._select_taps(out_indices, taps)
        different = dict.fromkeys(tap for group in self.taps for tap in group)
        last = f'up_blocks.{len(self.unet.up_blocks) - 1}'
        self.num_refine_steps = check_refine_steps(num_refine_steps, last, [tap.name for tap in different])
        prompts = prompts or EMPTY_PROMPT
        check_text_encoder(prompts, init_cfg)
        self.prompts = build_prompts(
            prompts,
            arch=arch,
            embed_dims=self.unet.config.cross_attention_dim,
            num_refine_steps=num_refine_steps,
            pooled_dims=pooled_width(self.unet.config),
        )
        if num_refine_steps == 1 and not self.reconstruction:
            remove_untapped(self.unet, different)
        if resize_skips:
            if cross_attention or out_strides:  # maps of the down and of the up blocks would differ in size
                raise ValueError('resize_skips=True cannot be combined with cross_attention or out_strides')
            resize_skip_connections(self.unet)
        self.learned_timesteps = self._learn_timesteps() if learned_timesteps else nn.ParameterList()
        self.recorder = Recorder()
        self.cross_attention = self._build_cross_attention(cross_attention)
        self.resized = out_strides is not None
        self.out_strides = check_out_strides(out_strides, self._own_strides)
        self.out_channels = tuple(self._num_channels(group) for group in self.taps)

        if 'unet' in self.frozen:
            self.unet.requires_grad_(False)
        if 'text_encoder' not in self.frozen:
            self._train_text_encoder()
        if lora is not None:
            add_lora(self.unet, **lora)
        if with_cp:
            enable_checkpointing(self.unet)
            checkpoint_autoencoder(self.autoencoder)
        if not out_prompts and not any('.attn2.' in name for name in self.unet.attn_processors):
            for name, weight in self.prompts.named_parameters():  # no tap depends on the prompts
                weight.requires_grad_('pooled_embeddings' in name)  # all taps depend on these
        for tap in different:  # now, because an adapter replaces layers
            tap.attach(self.unet, self.recorder)
        self.register_load_state_dict_pre_hook(complete_autoencoder)
        self.register_load_state_dict_pre_hook(restore_eight_bits)
        COMPLETENESS.attach(self)

    def _select_taps(self, out_indices, taps) -> tuple[tuple[Tap, ...], ...]:
        """Return the taps of each feature, which are concatenated."""
        if taps is not None:
            if out_indices is not None:
                raise ValueError(f'out_indices={tuple(out_indices)} cannot be combined with taps: set one to None')
            return find_taps(taps, self.unet, self.autoencoder.stride)
        table = feature_table(self.unet.config, self.autoencoder.stride)
        strides = {index: tap.stride for index, tap in enumerate(table)}
        if not set(out_indices or ()) <= set(strides):
            raise ValueError(f'out_indices={out_indices}: expected some of {list(strides)}, with strides {strides}')
        return tuple((table[index],) for index in out_indices or strides)

    @property
    def _own_strides(self) -> list[int]:
        return [group[0].stride for group in self.taps]

    def _num_channels(self, group) -> int:
        channels = sum(tap.channels for tap in group) + self._num_maps(group[0].stride)
        return channels * (len(self.timesteps) if self.timestep_fusion == 'concat' else 1)

    @property
    def timesteps(self) -> tuple[int, ...]:
        """The timesteps at which the U-Net runs."""
        return (self.timestep,) if isinstance(self.timestep, int) else tuple(self.timestep)

    def _learn_timesteps(self) -> nn.ParameterList:
        if len(self.timesteps) > 1:
            raise ValueError(
                f'learned_timesteps=True replaces the timestep: expected one, got timestep={self.timestep}'
            )
        width = self.unet.time_embedding.linear_2.out_features
        self.unet.time_embedding = GivenTimeEmbedding()
        return nn.ParameterList(torch.randn(1, width) for _ in range(self.num_refine_steps))

    def _train_text_encoder(self):
        encoder = getattr(self.prompts, 'text_encoder', None)
        if not isinstance(encoder, SentenceEncoder):
            raise ValueError(
                f'frozen={list(self.frozen)}: {type(self.prompts).__name__} has no text encoder to train: '
                "add 'text_encoder' to frozen, or choose prompts such as TextPrompts"
            )
        encoder.unfreeze()

    def _build_cross_attention(self, config):
        if config is None:
            return None
        cross_attention = MODELS.build(config, default_args=dict(type='CrossAttentionMaps'))
        if missing := set(cross_attention.strides) - set(self._own_strides):
            raise ValueError(
                f'cross_attention: strides {sorted(missing)} are not among the strides of the features, '
                f'{self._own_strides}; choose from these, or add the level to out_indices or a tap'
            )
        cross_attention.attach(self.unet, self.autoencoder.stride, self.recorder)
        return cross_attention

    def _num_maps(self, stride: int) -> int:
        return self.prompts.num_prompts if self.cross_attention and stride in self.cross_attention.strides else 0

    def init_weights(self):
        """Load the pre-trained weights that ``init_cfg`` names, and initialise the prompts from the same source.

        Prompts with a file are read from it, unless ``init_cfg`` names an OpenMMLab checkpoint, which contains them.
        """
        parts = text_parts(self.arch) if self.prompts.needs_text_encoder else ()
        text_side = [*parts, *(TOKENIZERS[part] for part in parts)]
        networks = dict(unet=self.unet, vae=self.autoencoder.vae)
        source = initialise(self, networks, extra=text_side, while_filling=partial(plain_task, self.unet))
        if source and 'unet' in source.files:
            self._warn_of_other_settings(source.files['unet'][0])
        if 'prefix' not in (self.init_cfg or {}):
            self.prompts.init_embeddings(self.arch, source)

    def _warn_of_other_settings(self, path):
        settings = {}
        if len(self.timesteps) == 1 and not self.learned_timesteps:
            settings['timestep'] = self.timesteps[0]
        if not self.inputs.entries:  # these say which latents are scaled
            settings['scale_latents'] = self.autoencoder.scale_latents
        warn_of_other_settings(path, settings)

    def train(self, mode: bool = True):
        """Set the training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        if 'unet' in self.frozen:
            self.unet.eval()
            train_dropout(self.unet, mode)
        return self

    def compile_blocks(self, **options) -> int:
        """Compile the blocks of the U-Net and of the autoencoder, see :func:`.compile_blocks`."""
        return compile_blocks(self, **options)

    def halve(self, dtype: HalfType = 'bfloat16'):
        """Freeze the backbone and store its weights in half precision, for inference.

        It then computes in this type, inside autocast too, which would keep norms and softmax in single precision. The
        images keep their type, and the features are returned in it. The attention maps are the softmax in single
        precision. If ``autoencoder_dtype`` is set, the autoencoder keeps it.

        Args:
            dtype (str): ``'bfloat16'`` or ``'float16'``. Defaults to ``'bfloat16'``.

        Returns:
            DiffusionUNet: The backbone itself.
        """
        self.half_type = getattr(torch, dtype)
        self.requires_grad_(False).eval()
        for part in self.children():
            if part is not self.autoencoder or not part.has_own_type:
                nn.Module.to(part, self.half_type)  # that of diffusers would log a warning
        self.autoencoder.has_own_type = True
        self.unet.to(memory_format=best_format('unet', self.unet.conv_in.weight))
        return self

    @property
    def class_embed_select(self) -> bool:
        """Whether the prompts depend on category ids; mmseg's ``DepthEstimator`` reads this attribute."""
        return self.prompts.condition == CATEGORY

    @in_own_precision
    def forward(self, inputs: torch.Tensor | tuple) -> tuple[torch.Tensor, ...]:
        """Compute features.

        Args:
            inputs (Tensor | tuple): Images ``(B, 3, H, W)``, RGB in [-1, 1] (a host's ``mean = std = 127.5``), of any
                size; or a tuple of images and a condition for the prompts with one entry per image, such as category
                ids ``(B,)`` or sentences.

        Returns:
            tuple[Tensor]: One feature ``(B, C_i, ceil(H / stride_i), ceil(W / stride_i))`` per level in
            ``out_indices``; then the prompt embeddings, if ``out_prompts``.

        Raises:
            TypeError: The images are not a tensor of the weights' type, or, after :meth:`halve`, of any floating type.
            ValueError: The images have another shape, or the first batch has values that are not in [-1, 1].
        """
        images, condition = split_inputs(inputs, self.prompts)
        encoded = self.autoencoder.encode(images, self.sample_latents and self.training)
        clean = self._to_own_type(encoded)  # (B, 4, h, w)
        steps = range(self.num_refine_steps)
        conditions = [self._conditions(images, condition, step) for step in steps]
        collected = []
        for index, timestep in enumerate(self.timesteps):
            latents = self.inputs(self.noise(clean, timestep, index))  # (B, 4 or more, h, w)
            for step in steps:
                with self.recorder.recording() as record:
                    output = self.unet(latents, timestep_on(latents.device, timestep), **conditions[step])
                latents = output.sample  # (B, 4, h, w), the input of the next pass
            collected.append(self._collect_features(record))
        if self.reconstruction and self.training:
            self.reconstruction.run(self.unet, clean, self.timesteps[0], conditions[0])
        features = self._fuse(collected, images.shape[-2:])
        return (*features, conditions[-1]['encoder_hidden_states']) if self.out_prompts else features

    def _to_own_type(self, latents: torch.Tensor) -> torch.Tensor:
        if self.half_type is None:
            return latents
        latents = latents.to(self.half_type)
        return latents.contiguous(memory_format=best_format('unet', latents))

    def _conditions(self, images, condition, step: int) -> dict:
        """Return the conditions of a pass, as arguments of the U-Net."""
        batch_size = images.shape[0]  # len(images) would fix it in an exported graph
        pooled = self.prompts.embed_pooled(batch_size, condition, step)  # (B, P) with SDXL
        size = self.autoencoder.encoded_size(images.shape[-2:])
        conditions = self.inputs.conditions(batch_size, pooled, size)
        if self.learned_timesteps:
            conditions['timestep_cond'] = self.learned_timesteps[step].expand(batch_size, -1)
        return dict(conditions, encoder_hidden_states=self.prompts(batch_size, condition, step))  # (B, K, C)

    def _collect_features(self, record: dict) -> tuple[torch.Tensor, ...]:
        collected = {group: self._with_maps(group, record) for group in dict.fromkeys(self.taps)}
        return tuple(collected[group] for group in self.taps)

    def _with_maps(self, group, record: dict) -> torch.Tensor:
        parts = [tap.read(record) for tap in group]
        if self._num_maps(group[0].stride):
            maps = self.cross_attention.average(record, group[0].stride, parts[0].shape[-2:])
            parts.append(maps.to(parts[0]))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]  # (B, C_i, h_i, w_i)

    def _fuse(self, collected: list[tuple[torch.Tensor, ...]], image_size) -> tuple[torch.Tensor, ...]:
        """Return the features of all timesteps as one pyramid, and resize them."""
        features = collected[0]
        if len(collected) > 1:
            fuse = dict(mean=lambda each: torch.stack(each).mean(0), concat=lambda each: torch.cat(each, dim=1))
            features = tuple(map(fuse[self.timestep_fusion], zip(*collected, strict=True)))
        return resize_features(features, self.out_strides, image_size) if self.resized else features
