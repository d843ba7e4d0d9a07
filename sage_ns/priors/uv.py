"""The prior that paints people into a map with convolutions, still and moving parts apart: SEGA's architecture.

What is known of SEGA (arXiv 2504.14373), and what is our reconstruction, stands in docs/priors.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.atlas_surfels import bound_to_rig
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.priors.code_fit import CodeFitSettings, fit_code
from sage_ns.priors.coded import CodedPrior
from sage_ns.priors.contract import FittedPerson
from sage_ns.priors.displacement import ExpressionCode, face_motion, probes
from sage_ns.priors.expression_correctives import bound_correctives
from sage_ns.priors.sitter import reference_atlas, reference_head, shown, sit
from sage_ns.priors.uv_decoder import CachedPerson, UvDecoders, UvSize, moving_places
from sage_ns.priors.uv_layout import place_uv
from sage_ns.priors.uv_personal import PersonalSettings, personalised
from sage_ns.rig import FlameParams
from sage_ns.system.array_fields import ArrayFields

_WEIGHT = "weight."
"""Names of the decoders' weights in a file start with this."""
_LARGEST_WEIGHT = 1e4
_MOST_LEVELS, _MOST_CHANNELS, _LONGEST_CODE = 8, 1024, 1024
"""Largest sizes of the decoders of a file: 512 x 512 texels."""


@dataclass(frozen=True, eq=False)
class UvPrior(CodedPrior):
    """What people look like at the places of the atlas, as maps that decoders paint from an identity code.

    The identity code that the decoders see is ``z = center + w B``; w is the code of `CodedPrior`, about normally
    distributed over the people of the training. It ends where their number does.
    """

    model = "uv"

    mean: Float[Tensor, "num_places 9"]
    """The base of the decoders: the mean of the people's fits. The person of the code 0 differs a little from it."""
    decoders: UvDecoders
    center: Float[Tensor, "num_identity"]
    basis: Float[Tensor, "num_codes num_identity"]
    expressions: ExpressionCode
    num_people: int

    @property
    def num_codes(self) -> int:
        """Number of entries of a code: one less than people, at most those that the decoders see."""
        return len(self.basis)

    def to(self, device: torch.device | str) -> UvPrior:
        """Return the same prior on another device."""
        return replace(
            self,
            decoders=deepcopy(self.decoders).to(device),
            expressions=self.expressions.to(device),
            **{name: getattr(self, name).to(device) for name in ("mean", "center", "basis")},
        )

    def identity(self, code: Float[Tensor, "num_codes"]) -> Float[Tensor, "num_identity"]:
        """Return what the decoders see."""
        return self.center + code @ self.basis

    def attributes(
        self, code: Float[Tensor, "num_codes"], expression: Float[Tensor, "num_expression"] | None = None
    ) -> Float[Tensor, "num_places 9"]:
        """Return the attributes of the person with this code, with an expression or without; differentiable."""
        identity = self.identity(code)[None]
        if expression is None:
            return self.decoders.still(identity)[0]
        return self.decoders(identity, expression[None])[0]

    def fit(
        self,
        record: CaptureRecord,
        views: Sequence[Shot],
        sh_degree: int,
        generator: torch.Generator,
        settings: CodeFitSettings | None = None,
        personal: PersonalSettings | None = None,
    ) -> FittedPerson:
        """Return the person whom the pictures show; see `sage_ns.priors.contract.Prior.fit`.

        The code and a gain are found first. Then the decoders are fine-tuned on the pictures.

        Args:
            record, views, sh_degree, generator, settings: as for `CodedPrior.fit`.
            personal: how the decoders are fine-tuned; None = `PersonalSettings`.

        Raises:
            SageError: there are no pictures with masks, or the rig is no head.
        """
        sitter = sit(record, views, self.num_places, self.mean.device)
        canonical = record.flame_params.motion_vector()[record.canonical_row]
        rows = probes(reference_atlas(self.num_places))

        def expression(motion: Tensor) -> Tensor:
            params = FlameParams.from_motion_vector(motion[None]).with_identity(record.flame_params)
            moved = face_motion(record.head_model, params, sitter.posed.places.to("cpu"), rows)
            return self.expressions.to("cpu").code(moved)[0]

        now = expression(canonical).to(self.mean.device)
        found = fit_code(
            lambda code: self.attributes(code, now), self.num_codes, sitter, settings or CodeFitSettings(), generator
        )
        decoders, identity = personalised(
            self.decoders, self.identity(found.code), now, sitter, found.gain, personal or PersonalSettings(), generator
        )
        person = CachedPerson(decoders, identity)
        surfels = replace(found, attributes=person.attributes(now).detach()).surfels(sh_degree)
        slope = torch.autograd.functional.jacobian(expression, canonical)
        assert isinstance(slope, Tensor)
        changes = person.changes(now)
        correctives = bound_correctives(
            *(changes, decoders.moving, sitter.posed, found.gain),
            *(canonical.to(self.mean.device), slope.to(self.mean.device)),
        )
        return FittedPerson(
            bound_to_rig(surfels, sitter.posed).to("cpu"), shown(sitter, surfels).cpu(), correctives.to("cpu")
        )

    def describe(self) -> str:
        """Return size and codes: "32 x 32 texels, 7 codes, expression code of 8 ..."."""
        size = self.decoders.size
        known = f" that foretells {self.expressions.explained:.0%} of the displacement"
        return (
            f"{size.resolution} x {size.resolution} texels, {self.num_codes} codes, expression code of "
            f"{size.expression}{known if self.expressions.explained else ''}"
        )

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return sizes, weights in half precision, and the maps of the codes."""
        size = self.decoders.size
        weights = {_WEIGHT + name: value for name, value in self.decoders.state_dict().items()}
        halves = {**weights, "center": self.center, "basis": self.basis, "directions": self.expressions.directions}
        return {
            "channels": np.array(size.channels, dtype=np.int64),
            "explained": np.array(self.expressions.explained, dtype=np.float32),
            **{name: value.detach().cpu().numpy().astype(np.float16) for name, value in halves.items()},
        }

    def advice(self, share: float) -> str:
        """Return how to learn a smaller prior."""
        return f"Learn it with --uv.size toy, or with {share:.0%} of the places"


def make_decoders(mean: Float[Tensor, "num_places 9"], size: UvSize) -> UvDecoders:
    """Return untrained decoders on the atlas with as many places as the mean person has."""
    atlas = reference_atlas(len(mean))
    return UvDecoders(mean, place_uv(atlas, reference_head()), moving_places(atlas), size)


def read_uv(read: ArrayFields, mean: Float[Tensor, "num_places 9"], num_people: int) -> UvPrior:
    """Return the prior of a file; see `sage_ns.priors.models.PeopleModel.read`.

    Raises:
        PriorError: a field is missing or broken, or a size is too large; names the field.
    """
    channels = tuple(read.indices("channels", "num_maps").tolist())
    if not 1 <= len(channels) <= _MOST_LEVELS or not all(1 <= count <= _MOST_CHANNELS for count in channels):
        raise read.fail("channels", str(list(channels)), f"up to {_MOST_LEVELS} numbers in 1..{_MOST_CHANNELS}")
    center = read.floats("center", "num_identity")
    basis = read.floats("basis", "num_codes num_identity")
    count = len(probes(reference_atlas(len(mean))))
    directions = read.floats("directions", f"num_expression {count} 3")
    for name, values in (("center", center), ("basis", basis), ("directions", directions)):
        if not 1 <= len(values) <= _LONGEST_CODE:
            raise read.fail(name, f"{len(values)} entries", f"1 to {_LONGEST_CODE}")
        read.check_magnitude(name, values, _LARGEST_WEIGHT)
    explained = float(read.floats("explained", ""))
    if not 0 <= explained <= 1:
        raise read.fail("explained", str(explained), "a share in 0..1")
    size = UvSize(channels, len(center), len(directions))
    with torch.device("meta"):  # shapes only: a file must not ask for more memory than its arrays have
        known = UvDecoders(mean, mean[:, :2], torch.zeros(0), size).state_dict()
    surplus = sorted(name for name in read.fields if name.startswith(_WEIGHT) and name[len(_WEIGHT) :] not in known)
    if surplus:
        raise read.fail(surplus[0], "an array", f"none: decoders of channels {list(channels)} lack it")
    weights = {}
    for name, value in known.items():
        weights[name] = read.floats(_WEIGHT + name, " ".join(map(str, value.shape)))
        read.check_magnitude(_WEIGHT + name, weights[name], _LARGEST_WEIGHT)
    decoders = make_decoders(mean, size).requires_grad_(False)
    decoders.load_state_dict(weights)
    return UvPrior(mean, decoders, center, basis, ExpressionCode(directions, explained), num_people)
