"""Read the checkpoints of research repositories: recognise their layout and rename their weights."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.files import brief

from .compvis import unet_key_map, vae_key_map

UNET = 'unet.unet.diffusion_model.'
VAE = 'encoder_vq.'


@dataclass(frozen=True)
class Layout:
    """How one research repository lays out its checkpoints.

    A checkpoint has this layout if some of its keys belong to the U-Net, some to the autoencoder, and some match each
    of ``marks``.

    Args:
        name (str): Name of the method and its task, for messages.
        marks (tuple[str]): Patterns of keys that tell the layout from the others.
        config (str): The shipped config of the same model, below ``configs/``.
        prefix (str): Prefix of ``unet`` and ``vae``, after which the weights have CompVis names by default.
        renamed (Mapping[str, str]): Prefixes of our names to prefixes of theirs; other names are the same.
        unused (str): Pattern of keys that do not affect predictions.
        absent (str, optional): Prefix of our names that have no counterpart. Default: all names have one.
        unet (str): Prefix of the U-Net. Defaults to ``UNET``.
        vae (tuple[str]): Possible prefixes of the autoencoder. Defaults to ``VAE`` alone.
        respelled (Mapping[str, str]): Patterns in their names, after ``renamed``, to what replaces them.
        aliases (Mapping[str, str]): Patterns of the beginning of keys of a checkpoint, and what they are read as.
        of_diffusers (bool): Whether the U-Net and the autoencoder have the names of diffusers. Defaults to False.
        edit (Callable, optional): From one of our names and its weight to the weight in our order. Default: unchanged.
    """

    name: str
    marks: tuple[str, ...]
    config: str
    prefix: str
    renamed: Mapping[str, str]
    unused: str
    absent: str | None = None
    unet: str = UNET
    vae: tuple[str, ...] = (VAE,)
    respelled: Mapping[str, str] = field(default_factory=dict)
    edit: Callable[[str, torch.Tensor], torch.Tensor] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    of_diffusers: bool = False

    def read(self, key: str) -> str:
        """Return a key of a checkpoint as this layout reads it."""
        for pattern, replacement in self.aliases.items():
            key = re.sub(f'^{pattern}', replacement, key)
        return key


# LAVT numbers its fusions 4, 3, 2, by their input level, and the two convolutions of each fusion 1 and 2.
SIMPLE_DECODING = {
    f'decode_head.fusions.{4 - level}.{number - 1}.{layer}.': f'classifier.{layer}{number}_{level}.'
    for level in (4, 3, 2)
    for number in (1, 2)
    for layer in ('conv', 'bn')
}
DEPTH_DECODER = {'decode_head.decoder.': 'decoder.', 'decode_head.depth_pred_layer.': 'last_layer_depth.'}
# The noise schedule, an input layer of the autoencoder's decoder, and the U-Net's output layer.
UNUSED = r'sd_model\.|encoder_vq\.post_quant_conv\.|unet\.unet\.diffusion_model\.out\.'
COUNTER = 'num_batches_tracked'  # of batch normalisation, which some checkpoints lack and prediction does not need
MAX_NUMBERED = 9  # more passes or levels than any official model has
DEPTH_NECK = {
    'decode_head.conv1.': 'encoder.layer1.',
    'decode_head.conv2.': 'encoder.layer2.0.',
    'decode_head.conv_aggregation.': 'encoder.out_layer.',
    **DEPTH_DECODER,
}
# Names of transformers 5 to those of older versions, in which ECoDepth's checkpoints hold their ViT.
OLD_VIT = {
    r'\.vit\.layers\.': '.vit.encoder.layer.',
    r'\.attention\.q_proj\.': '.attention.attention.query.',
    r'\.attention\.k_proj\.': '.attention.attention.key.',
    r'\.attention\.v_proj\.': '.attention.attention.value.',
    r'\.attention\.o_proj\.': '.attention.output.dense.',
    r'(vit_model\..*)\.mlp\.fc1\.': r'\1.intermediate.dense.',
    r'(vit_model\..*)\.mlp\.fc2\.': r'\1.output.dense.',
}
CIDE = {
    'backbone.prompts.adapter.gamma': 'encoder.cide_module.gamma',
    'backbone.prompts.adapter.mlp.': 'encoder.cide_module.embedding_adapter.fc.',
    'backbone.prompts.embeddings': 'encoder.cide_module.embeddings',
    'backbone.prompts.mlp.': 'encoder.cide_module.fc.',
    'backbone.prompts.classifier.vit.': 'encoder.cide_module.vit_model.',
}
NOT_FOR_DEPTH = r'encoder\.encoder_vq\.(decoder|post_quant_conv)\.|encoder\.(unet\.)+(diffusion_model\.)?out\.'
# TADP keeps the whole of Stable Diffusion, of which a model uses the encoder of its autoencoder.
LATENT_DIFFUSION = 'sd_model.first_stage_model.'
NOT_THE_ENCODER = r'sd_model\.(?!first_stage_model\.(encoder|quant_conv)\.)'
NOT_FOR_TADP = (
    rf'(encoder\.|model\.)?({NOT_THE_ENCODER}|encoder_vq\.(decoder|post_quant_conv)\.|{re.escape(UNET)}out\.)'
)
TEXT_ENCODER = 'backbone.prompts.text_encoder.'
# torchvision's Faster R-CNN to mmdetection's.
TORCHVISION_DETECTOR = {
    **{f'neck.lateral_convs.{level}.conv.': f'fpn.inner_blocks.{level}.0.' for level in range(4)},
    **{f'neck.fpn_convs.{level}.conv.': f'fpn.layer_blocks.{level}.0.' for level in range(4)},
    'rpn_head.rpn_conv.': 'decode_head.rpn.head.conv.0.0.',
    'rpn_head.rpn_cls.': 'decode_head.rpn.head.cls_logits.',
    'rpn_head.rpn_reg.': 'decode_head.rpn.head.bbox_pred.',
    'roi_head.bbox_head.shared_fcs.0.': 'decode_head.roi_heads.box_head.fc6.',
    'roi_head.bbox_head.shared_fcs.1.': 'decode_head.roi_heads.box_head.fc7.',
    'roi_head.bbox_head.fc_cls.': 'decode_head.roi_heads.box_predictor.cls_score.',
    'roi_head.bbox_head.fc_reg.': 'decode_head.roi_heads.box_predictor.bbox_pred.',
}


def background_last(name: str, weight: torch.Tensor) -> torch.Tensor:
    """Move the background, torchvision's first class, behind the others, and leave out its box."""
    if '.fc_cls.' in name:
        return weight.roll(-1, dims=0)
    return weight[4:] if '.fc_reg.' in name else weight


def by_number(ours: str, theirs: str) -> dict[str, str]:
    """Pair names that are numbered from 0 here and from 1 in the research repositories."""
    return {ours.format(index): theirs.format(index + 1) for index in range(MAX_NUMBERED)}


def vpd_prompts(prefix: str) -> dict[str, str]:
    """Pair the names of the class embeddings and their adapter."""
    return {
        'backbone.prompts.embeddings': f'{prefix}class_embeddings',
        'backbone.prompts.adapter.gamma': f'{prefix}gamma',
        'backbone.prompts.adapter.mlp.': f'{prefix}text_adapter.fc.',
    }


CLIP = {r'(encoder\.)?clip_model\.(transformer\.)?(text_model\.)?': r'\1clip_model.'}


def evp_neck(prefix: str) -> dict[str, str]:
    """Pair the names of EVP's refinement: its layers are numbered from 1, reductions and joins in turn."""
    names = {'neck.first.': f'{prefix}aggregation.layer1.'}
    for index in range(MAX_NUMBERED):
        names[f'neck.downs.{index}.'] = f'{prefix}aggregation.layer{2 * index + 2}.'
        names[f'neck.joins.{index}.'] = f'{prefix}aggregation.layer{2 * index + 3}.conv1.'
    return names


def evp_prompts(prefix: str) -> dict[str, str]:
    """Pair the names of EVP's text encoder and adapter."""
    return {**vpd_prompts(prefix), 'backbone.prompts.text_encoder.clip.': f'{prefix}clip_model.'}


# Each perceptron of EVP's bins is wrapped in a module of its own.
BINS = {
    **{f'decode_head.{name}.': f'{name}._net.' for name in ('seed_bin_regressor', 'seed_projector')},
    **{
        f'decode_head.{name}.{index}.': f'{name}.{index}._net.'
        for name in ('projectors', 'attractors')
        for index in range(MAX_NUMBERED)
    },
    'decode_head.bottle_neck.': 'bottle_neck.',
    'decode_head.distribution.mlp.': 'conditional_log_binomial.mlp.',
}
# What EVP's checkpoints hold in addition; of a mean caption and a text encoder, a model uses one.
UNUSED_OF_EVP = (
    r'(encoder\.)?(class_embeddings$|clip_model\.|encoder_vq\.(decoder|post_quant_conv)\.)'
    r'|conditional_log_binomial\.log_binomial_transform\.'
)
SDPOSE_HEAD = ('deconv_layers', 'conv_layers', 'final_layer')

LAYOUTS = (
    Layout(
        name='EVP referring segmentation',
        marks=(r'aggregation\.', r'classifier\.conv1_4\.'),
        config='evp/evp_sd1-5-refer_2xb3-20e_refcoco-512x512.py',
        prefix='',
        renamed={
            **evp_prompts(''),
            **evp_neck(''),
            'decode_head.conv_seg.': 'classifier.conv1_1.',
            **SIMPLE_DECODING,
        },
        unused=rf'{UNUSED}|{UNUSED_OF_EVP}',
        aliases=CLIP,
    ),
    Layout(
        name='EVP depth',
        marks=(r'encoder\.aggregation\.', r'conditional_log_binomial\.'),
        config='evp/evp_sd1-5_2xb2-15e_nyu-480x480.py',
        prefix='encoder.',
        renamed={
            **evp_prompts('encoder.'),
            **evp_neck('encoder.'),
            **DEPTH_NECK,
            'decode_head.depth_pred_layer.': 'decoder.last_layer_depth.',
            **BINS,
        },
        unused=UNUSED_OF_EVP,
        aliases=CLIP,
    ),
    Layout(
        name='SDPose',
        marks=(r'decoder\.deconv_layers\.', r'decoder\.final_layer\.', r'unet\.class_embedding\.'),
        config='sdpose/td-hm_sdpose-sd2_8xb16-40e_coco-1024x768.py',
        prefix='',
        renamed={f'head.{name}.': f'decoder.{name}.' for name in SDPOSE_HEAD},
        unused=r'vae\.(decoder|post_quant_conv)\.',
        absent='backbone.prompts.',
        unet='unet.',
        vae=('vae.',),
        of_diffusers=True,
    ),
    Layout(
        name='SDPose for ComfyUI',
        marks=(r'heatmap_head\.deconv_layers\.', r'model\.diffusion_model\.label_emb\.'),
        config='sdpose/td-hm_sdpose-sd2_8xb16-42e_coco-wholebody-1024x768.py',
        prefix='',
        renamed={f'head.{name}.': f'heatmap_head.{name}.' for name in SDPOSE_HEAD},
        unused=r'first_stage_model\.(decoder|post_quant_conv)\.',
        absent='backbone.prompts.',
        unet='model.diffusion_model.',
        vae=('first_stage_model.',),
    ),
    Layout(
        name='VPD segmentation',
        marks=(r'class_embeddings$', r'decode_head\.scale_heads\.'),
        config='vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py',
        prefix='',
        renamed=vpd_prompts(''),
        unused=UNUSED,
    ),
    Layout(
        name='VPD referring segmentation',
        marks=(r'text_adapter\.', r'classifier\.conv1_4\.'),
        config='vpd/vpd_sd1-5-refer_8xb4-40e_refcoco-512x512.py',
        prefix='',
        renamed={
            **vpd_prompts(''),
            'decode_head.conv_seg.': 'classifier.conv1_1.',
            **SIMPLE_DECODING,
        },
        unused=UNUSED,
        absent='backbone.prompts.text_encoder.',
    ),
    Layout(
        name='MetaPrompts segmentation',
        marks=(r'meta_prompts$', r'upconv1\.'),
        config='metaprompts/metaprompts_sd1-5-upernet_8xb1-80k_ade20k-512x512.py',
        prefix='',
        renamed={
            'backbone.prompts.embeddings.0': 'meta_prompts',
            **by_number('backbone.learned_timesteps.{}', 't{}'),
            **by_number('neck.levels.{}.', 'upconv{}.'),
        },
        # Also a copy of the output layer for each pass, and the time embedding, which is not computed.
        unused=rf'{UNUSED}|cross_unet_conv\d\.|unet\.unet\.diffusion_model\.time_embed\.',
    ),
    Layout(
        name='VPD depth',
        marks=(r'encoder\.class_embeddings$', r'last_layer_depth\.'),
        config='vpd/vpd_sd1-5_8xb3-25e_nyu-480x480.py',
        prefix='encoder.',
        renamed={
            **vpd_prompts('encoder.'),
            **DEPTH_NECK,
        },
        unused=r'encoder\.encoder_vq\.post_quant_conv\.',
    ),
    Layout(
        name='MetaPrompts depth',
        marks=(r'encoder\.meta_prompts1$', r'last_layer_depth\.'),
        config='metaprompts/metaprompts_sd1-5_8xb3-25e_nyu-480x480.py',
        prefix='encoder.',
        renamed={
            **by_number('backbone.prompts.embeddings.{}', 'encoder.meta_prompts{}'),
            **by_number('backbone.prompts.adapters.{}.mlp.', 'encoder.text_adapter{}.fc.'),
            **by_number('backbone.learned_timesteps.{}', 'encoder.t{}'),
            **by_number('neck.levels.{}.', 'encoder.layer{}.'),
            'neck.join.': 'encoder.out_layer.',
            **DEPTH_DECODER,
        },
        unused=r'encoder\.(encoder_vq\.post_quant_conv|cross_unet_conv\d|unet\.unet\.diffusion_model\.out)\.',
    ),
    Layout(
        name='VPD depth of mmsegmentation',
        marks=(r'backbone\.class_embeddings$', r'decode_head\.depth_pred_layer\.'),
        config='vpd/vpd_sd1-5_4xb8-25k_nyu-480x480.py',
        prefix='backbone.',
        renamed=vpd_prompts('backbone.'),
        unused=r'backbone\.(encoder_vq\.(decoder|post_quant_conv)|unet\.unet\.diffusion_model\.out)\.',
    ),
    Layout(
        name='ECoDepth',
        marks=(r'encoder\.cide_module\.embeddings$', r'last_layer_depth\.'),
        config='ecodepth/ecodepth_sd1-5_8xb4-25e_nyu-480x640.py',
        prefix='encoder.',
        renamed={**CIDE, **DEPTH_NECK},
        unused=NOT_FOR_DEPTH,
        respelled=OLD_VIT,
    ),
    Layout(
        name='ECoDepth of 2025',
        marks=(r'encoder\.cide_module\.embeddings$', r'last_layer_depth\.'),
        config='ecodepth/ecodepth_sd1-5_8xb4-25e_nyu-480x640.py',
        prefix='encoder.',
        renamed={**CIDE, **DEPTH_NECK},
        unused=NOT_FOR_DEPTH,
        unet='unet.',
        respelled=OLD_VIT,
    ),
    Layout(
        name='ECoDepth v2',
        marks=(r'encoder\.cide_module\.vit_model\.', r'last_layer_depth\.'),
        config='ecodepth/ecodepth-v2_sd1-5_8xb4-25e_nyu-480x640.py',
        prefix='encoder.',
        renamed={'backbone.prompts.classifier.vit.': 'encoder.cide_module.vit_model.vit.', **DEPTH_NECK},
        # No gradient reaches its final norm and its classification layer.
        unused=rf'{NOT_FOR_DEPTH}|encoder\.cide_module\.vit_model\.(vit\.layernorm|classifier)\.',
        unet='unet.',
        respelled=OLD_VIT,
    ),
    Layout(
        name='TADP segmentation',
        marks=(r'decode_head\.scale_heads\.', r'neck\.lateral_convs\.'),
        config='tadp/tadp_sd1-5-fpn_2xb8-80k_ade20k-512x512.py',
        prefix='',
        renamed={},
        unused=NOT_FOR_TADP,
        absent=TEXT_ENCODER,
        vae=(LATENT_DIFFUSION, VAE),
    ),
    Layout(
        name='TADP depth',
        marks=(r'encoder\.out_layer\.', r'last_layer_depth\.'),
        config='tadp/tadp_sd1-5_8xb3-25e_nyu-480x480.py',
        prefix='encoder.',
        renamed=DEPTH_NECK,
        unused=NOT_FOR_TADP,
        absent=TEXT_ENCODER,
        vae=(LATENT_DIFFUSION, VAE),
    ),
    Layout(
        name='TADP detection',
        marks=(r'fpn\.inner_blocks\.', r'decode_head\.roi_heads\.'),
        config='tadp/faster-rcnn_tadp-sd1-5-fpn_1xb2-100e_voc0712-watercolor-512x512.py',
        prefix='model.',
        renamed=TORCHVISION_DETECTOR,
        unused=NOT_FOR_TADP,
        absent=TEXT_ENCODER,
        vae=(LATENT_DIFFUSION, VAE),
        edit=background_last,
    ),
)


FOLDERS = ('unet', 'vae', 'decoder')  # of SDPose, with the weights of the U-Net, the autoencoder and the head


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the weights of a research checkpoint: a file of PyTorch or safetensors, or the folder of SDPose.

    In a folder, ``unet``, ``vae`` and ``decoder`` hold one file each. Their names become the beginning of the keys.

    Args:
        path (str | Path): The file or folder.

    Raises:
        FileNotFoundError: It does not exist, or a folder lacks a part.
        ValueError: The file is damaged, or does not map names to weights.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return {f'{part}.{key}': weight for part in FOLDERS for key, weight in _read_part(path, part).items()}
    if path.suffix == '.safetensors':
        try:
            return unwrap(safetensors.torch.load_file(path))
        except SafetensorError as error:
            raise ValueError(f'{path}: damaged, or not a file of safetensors ({error}): get it again') from error
    return unwrap(load_file(path))


def _read_part(folder: Path, part: str) -> dict[str, torch.Tensor]:
    files = [file for suffix in ('safetensors', 'bin') for file in sorted((folder / part).glob(f'*.{suffix}'))]
    if not files:
        raise FileNotFoundError(
            f'{folder / part} holds no weights: expected a .safetensors file there. A folder of SDPose has the parts '
            f'{", ".join(FOLDERS)}'
        )
    return read_checkpoint(files[0])


def unwrap(checkpoint: Mapping) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint file: under ``state_dict`` or ``model`` if wrapped, without ``module.``.

    Raises:
        ValueError: The checkpoint does not map names to weights.
    """
    for wrapper in ('state_dict', 'model'):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(wrapper), Mapping):
            checkpoint = checkpoint[wrapper]
    if not isinstance(checkpoint, Mapping) or not all(isinstance(key, str) for key in checkpoint):
        raise ValueError(f'Unknown checkpoint: expected weights by their names, got {brief(checkpoint)}')
    return {key.removeprefix('module.'): value for key, value in checkpoint.items()}


def recognise(keys: Iterable[str]) -> Layout:
    """Find the layout of a checkpoint by its keys.

    Raises:
        ValueError: No known layout has such keys.
    """
    keys = list(keys)
    for layout in LAYOUTS:
        vae = '|'.join(re.escape(layout.prefix + vae) for vae in layout.vae)
        marks = re.escape(layout.prefix + layout.unet), vae, *layout.marks
        if all(any(re.match(mark, key) for key in keys) for mark in marks):
            return layout
    known = ', '.join(layout.name for layout in LAYOUTS)
    raise ValueError(f'Unknown checkpoint: expected one of {known}; got {len(keys)} keys, first {keys[:3]}')


def convert(weights: Mapping[str, torch.Tensor], layout: Layout, model: nn.Module) -> dict[str, torch.Tensor]:
    """Rename the weights of a research checkpoint to those of a model, and check every name and shape.

    Args:
        weights (Mapping[str, Tensor]): The result of :func:`unwrap`.
        layout (Layout): The result of :func:`recognise`.
        model (nn.Module): The model. Only names and shapes are read, so it may be on the meta device.

    Raises:
        ValueError: A weight is missing, unexpected, or has another shape.
    """
    weights = {layout.read(key): weight for key, weight in weights.items()}
    sources = _source_names(layout, model, weights)
    faults = [
        f'missing {source} (our {name})'
        for name, source in sources.items()
        if source not in weights and not name.endswith(COUNTER)
    ]
    left = set(weights) - set(sources.values())
    faults += [f'unexpected {key}' for key in sorted(left) if not re.match(layout.unused, key)]
    targets = model.state_dict()
    edit = layout.edit or (lambda name, weight: weight)
    converted = {
        name: _reshape(edit(name, weights[key]), targets[name]) for name, key in sources.items() if key in weights
    }
    faults += [
        f'{sources[name]} is {tuple(value.shape)}, expected {tuple(targets[name].shape)} (our {name})'
        for name, value in converted.items()
        if value.shape != targets[name].shape
    ]
    if faults:
        shown = '\n  '.join(faults[:10])
        raise ValueError(f'{layout.name}: {len(faults)} weights do not fit the config:\n  {shown}')
    return converted


def _reshape(value: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if value.shape == (1, *target.shape) and target.dim() == 2:  # the mean caption of EVP
        return value[0]
    if value.shape == (*target.shape, 1, 1):  # the autoencoder's attention: 1x1 convolutions there, linear here
        return value[..., 0, 0]
    return without_mean(value, len(target)) if target.dim() == 2 else value


def without_mean(embeddings: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return embeddings without their last row if it is the mean of the others, which mmseg's VPD adds."""
    if embeddings.dim() == 2 and len(embeddings) == num_classes + 1:
        scenes, mean = embeddings[:-1], embeddings[-1]
        if torch.allclose(scenes.mean(0), mean, rtol=1e-3, atol=1e-5):
            return scenes
    return embeddings


def _source_names(layout: Layout, model: nn.Module, keys: Iterable[str]) -> dict[str, str]:
    unet, vae = model.backbone.unet.config, model.backbone.autoencoder.vae.config
    unet, vae = ({}, {}) if layout.of_diffusers else (unet_key_map(unet), vae_key_map(vae))
    names = [name for name in model.state_dict() if not (layout.absent and name.startswith(layout.absent))]
    keys = list(keys)
    starts = (layout.prefix + start for start in layout.vae)
    vae_start = next((start for start in starts if any(key.startswith(start) for key in keys)), layout.prefix + VAE)

    def source_of(name: str) -> str:
        if name.startswith('backbone.unet.'):
            own = name.removeprefix('backbone.unet.')
            return layout.prefix + layout.unet + unet.get(own, own)
        if name.startswith('backbone.autoencoder.vae.'):
            own = name.removeprefix('backbone.autoencoder.vae.')
            return vae_start + vae.get(own, own)
        for ours, theirs in layout.renamed.items():
            if name.startswith(ours):
                return _respell(theirs + name.removeprefix(ours), layout.respelled)
        return name

    return {name: source_of(name) for name in names}


def _respell(name: str, respelled: Mapping[str, str]) -> str:
    for pattern, replacement in respelled.items():
        name = re.sub(pattern, replacement, name)
    return name
