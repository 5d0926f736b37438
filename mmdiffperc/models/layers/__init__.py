"""Parts of the backbone."""

from .cross_attention import CrossAttentionMaps
from .feature_taps import FeatureTaps, Tap, feature_table
from .latent_autoencoder import LatentAutoencoder
from .sentence_encoder import SentenceEncoder
from .text_adapter import TextAdapter

__all__ = [
    'CrossAttentionMaps',
    'FeatureTaps',
    'LatentAutoencoder',
    'SentenceEncoder',
    'Tap',
    'TextAdapter',
    'feature_table',
]
