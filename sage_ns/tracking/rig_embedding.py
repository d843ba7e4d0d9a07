"""The embedding of landmarks on any head model: shipped for the built-in head, learned once for every other one.

Carrying the built-in head's places over by registration would be quicker and is not good enough: heads differ in where
lids, lips and nose end, and fits on carried places turn by degrees (docs/lab_notebook.md).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from sage_ns.errors import TrackingError, WriteError
from sage_ns.rig import HeadModel, load_head_model
from sage_ns.rig.head_model import HEAD_MODEL_VARIABLE
from sage_ns.synthetic.head import builtin_head
from sage_ns.system.cache import cache_dir
from sage_ns.system.progress import progress_bar
from sage_ns.tracking.embedding import Embedding, builtin_embedding, load_embedding
from sage_ns.tracking.face import FaceDetector
from sage_ns.tracking.learn_embedding import NUM_DRAWN_SHAPE, learn_embedding, sightings

NUM_PICTURES = 40
"""People drawn to learn an embedding."""
_VERSION = 1
"""Part of the cache's key: raise it when the result for the same head changes."""


def embedding_on(model: HeadModel, detector: FaceDetector) -> Embedding:
    """Return the embedding of any head model in FLAME's format.

    For a head model that is not the built-in one, people of it are drawn and looked at, which takes a minute or two and
    shows a progress bar; the result is cached by the content of the model.

    Args:
        model: mean head of the model (not a personal one: people of one rig share their places).
        detector: the package's own; the cache knows no others.

    Raises:
        RegistrationError: the model is no head that the built-in head can be registered to, for where to paint it.
        TrackingError: the detector finds no faces on the drawn people.
    """
    reference = builtin_head()
    model = model.to("cpu")
    if model.v_template.shape == reference.v_template.shape and torch.equal(model.v_template, reference.v_template):
        return builtin_embedding()
    path = cache_dir() / f"embedding-{_content_key(model)}.npz"
    with suppress(TrackingError):
        return load_embedding(path, model)
    with progress_bar(f"learning where landmarks lie on {model.name} (once)") as bar:
        learned = learn_embedding(model, sightings(model, detector, NUM_PICTURES, bar))
    with suppress(WriteError):
        learned.save(path)
    return learned


def embedding_of_actor(model: HeadModel, detector: Callable[[], FaceDetector]) -> tuple[HeadModel, Embedding]:
    """Return the head model to fit to an actor who drives an avatar, and its embedding.

    Actor and avatar differ in identity, and an avatar's rig has lost its identity directions. Where the built-in head,
    or the head model that SAGE_HEAD_MODEL names, moves as the avatar's rig does, that is fitted; else the avatar's own
    head is.

    Args:
        model: the avatar's rig.
        detector: returns what finds faces; only called for a rig whose embedding is neither shipped nor cached.

    Raises:
        HeadModelError: SAGE_HEAD_MODEL names a file that cannot be read.
        RegistrationError, TrackingError: as for `embedding_on`.
    """
    model = model.to("cpu")
    known = (each() for each in (builtin_head, _named_model))
    whole = next((each for each in known if each is not None and _moves_like(each, model)), model)
    return whole, embedding_on(whole, lambda picture: detector()(picture))


def _named_model() -> HeadModel | None:
    named = os.environ.get(HEAD_MODEL_VARIABLE)
    return load_head_model(Path(named).expanduser()) if named else None


def _moves_like(whole: HeadModel, model: HeadModel) -> bool:
    same = torch.equal(whole.triangles, model.triangles)
    return same and torch.equal(whole.expression_basis, model.expression_basis)


def _content_key(model: HeadModel) -> str:
    digest = hashlib.sha256(repr((_VERSION, NUM_PICTURES)).encode())
    drawn = model.shape_basis[..., :NUM_DRAWN_SHAPE], model.expression_basis[..., :NUM_DRAWN_SHAPE]
    for tensor in (model.v_template, model.triangles, model.skinning_weights, *drawn):
        digest.update(repr(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
