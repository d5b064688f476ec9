"""Architectures by name, and the wrapper that puts input normalisation inside the model."""

from invmask.models.classifier import Classifier
from invmask.models.registry import architectures, build, is_transformer, suited_precision

__all__ = ["Classifier", "architectures", "build", "is_transformer", "suited_precision"]
