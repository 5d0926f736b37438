"""Parts of the backbone."""

from .cross_attention import CrossAttentionMaps
from .feature_taps import Tap, feature_table, find_taps, list_taps
from .latent_autoencoder import LatentAutoencoder
from .latent_noise import LatentNoise
from .recorder import Recorder
from .sentence_encoder import SentenceEncoder
from .text_adapter import TextAdapter

__all__ = [
    'CrossAttentionMaps',
    'LatentAutoencoder',
    'LatentNoise',
    'Recorder',
    'SentenceEncoder',
    'Tap',
    'TextAdapter',
    'feature_table',
    'find_taps',
    'list_taps',
]
