"""The registry of models of people: what ``sage-prior learn --model`` offers, and what can stand in a prior's file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float

from sage_ns.errors import OptionError
from sage_ns.system.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sage_ns.capture.checked import CaptureOptions
    from sage_ns.priors.coded import CodedPrior
    from sage_ns.system.array_fields import ArrayFields


@dataclass(frozen=True)
class ModelSettings(ABC):
    """How a model is learned from people who were fitted already; each model has a subclass."""

    model: ClassVar[str]
    """Name of the model."""

    @abstractmethod
    def check(self) -> None:
        """Check all settings, before any long work.

        Raises:
            OptionError: a setting is out of range; see `expect`.
        """

    def expect(self, name: str, low: float, high: float) -> None:
        """Refuse a setting outside ``low..high``.

        Raises:
            OptionError: names the setting as the command does (``--linear.most-modes``), its value and the range.
        """
        found = getattr(self, name)
        if not low <= found <= high:
            raise OptionError(f"expected {low} to {high}", **{f"{self.model}.{name}": found})


class PeopleModel(ABC):
    """One model of people. ``sage-prior`` offers every subclass that is decorated with `register_model`."""

    name: ClassVar[str]
    """Value of ``--model``, and of the field 'model' of a prior's file."""
    summary: ClassVar[str]
    """Description for help texts, one line."""
    learns_motion: ClassVar[bool] = False
    """Whether it needs captures with masks at all training moments (`learn_from`), not the people's fits alone."""

    @abstractmethod
    def learn(
        self, people: Float[Tensor, "num_people num_places 9"], settings: Any, work: Path, device: torch.device | str
    ) -> CodedPrior:
        """Return the prior of a set of people, on the CPU.

        Args:
            people: attributes of each person (`sage_ns.priors.attributes`) at the places of the atlas of this size
                (`sage_ns.priors.sitter.reference_atlas`); at least two people; on the CPU.
            settings: of this model.
            work: folder in which long learning keeps its state, so that a stopped run goes on; it is there already.
            device: where to learn.
        """

    def learn_from(
        self,
        people: Float[Tensor, "num_people num_places 9"],
        captures: Sequence[CaptureOptions],
        settings: Any,
        work: Path,
        device: torch.device | str,
    ) -> CodedPrior:
        """Return the prior of a set of people and their captures. Most models need the fits alone (`learn`)."""
        return self.learn(people, settings, work, device)

    @abstractmethod
    def read(self, read: ArrayFields, mean: Float[Tensor, "num_places 9"], num_people: int) -> CodedPrior:
        """Return the prior of a file; `sage_ns.priors.coded.load_prior` has checked what all models share.

        Args:
            read: fields of the file; sizes of dimensions of the mean are known ("num_places").
            mean: the mean person.
            num_people: number of people that it was learned from.

        Raises:
            PriorError: a field is missing or broken; names it (`ArrayFields`).
        """


_REGISTRY: Registry[PeopleModel] = Registry("model of people")

register_model = _REGISTRY.register
"""Class decorator: add a model to ``sage-prior`` and to the files that can be read."""


def models() -> list[PeopleModel]:
    """Return all models, in the order of their names."""
    return _REGISTRY.entries()


def model_of(name: str) -> PeopleModel:
    """Return the model of a name.

    Raises:
        SageError: there is no model of that name; lists all names.
    """
    return _REGISTRY[name]


def describe_models() -> str:
    """Return the names and summaries of all models, for help texts: "decoder: a small network. linear: modes."."""
    return ". ".join(f"{model.name}: {model.summary}" for model in models())
