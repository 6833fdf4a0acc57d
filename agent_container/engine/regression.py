"""Softmax regression on sentence vectors: one linear model, trained the same way every time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_STEPS = 300
_RATE = 6.0
_MOMENTUM = 0.9
_DECAY = 1e-4


@dataclass(frozen=True, slots=True)
class Regression:
    """Weights for each label; `weights` is (vector size, labels), `bias` (labels,)."""

    labels: tuple[str, ...]
    weights: Vectors
    bias: Vectors

    def probabilities(self, vectors: Vectors) -> Vectors:
        """Return one row of label probabilities for each vector."""
        return _softmax(vectors @ self.weights + self.bias)


def fit(vectors: Vectors, labels: Sequence[str]) -> Regression:
    """Train on unit vectors by full-batch gradient descent from zero: no seed, no shuffling.

    Labels count alike however many examples each one has.
    """
    names = tuple(sorted(set(labels)))
    index = np.array([names.index(label) for label in labels])
    wanted = np.eye(len(names), dtype=np.float32)[index]
    share = (1.0 / np.bincount(index))[index].astype(np.float32)
    share = (share / share.sum())[:, None]
    weights = np.zeros((vectors.shape[1], len(names)), dtype=np.float32)
    bias = np.zeros(len(names), dtype=np.float32)
    speed, bias_speed = np.zeros_like(weights), np.zeros_like(bias)
    for _ in range(_STEPS):
        error = (_softmax(vectors @ weights + bias) - wanted) * share
        speed = _MOMENTUM * speed - _RATE * (vectors.T @ error + _DECAY * weights)
        bias_speed = _MOMENTUM * bias_speed - _RATE * error.sum(axis=0)
        weights += speed
        bias += bias_speed
    return Regression(names, weights, bias)


def _softmax(scores: Vectors) -> Vectors:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
