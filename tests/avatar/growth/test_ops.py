"""Edits of rows of surfels during a training; it continues as if these rows had existed from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.growth.held import hold_rows
from sage_ns.avatar.growth.ops import SurfelRows, append, keep, overwrite, remove, reorder, reset_moments
from sage_ns.avatar.prediction import SurfelNetworks
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.field.sdf import FieldConfig
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

NUM, LATE = 40, 30
"""Number of surfels, and the first of those that are added late."""
HEAD = tiny_head_model()
CONFIG = FieldConfig(num_levels=3, log2_table_size=10, coarsest=4, finest=21, hidden=16, num_features=4)
CENTER = torch.tensor([0.0, 0.0, 1.0])
ALL = list(range(NUM))


class Training:
    """Some of the surfels of one head, each pulled to values of its own: rows do not influence each other.

    Args:
        ids: which surfels, in the order of their rows.
        networks: learn details of networks instead of the surfels' own attributes.
        one_optimizer: for all parameters, instead of one for each.
        fused: Adam in one kernel.
    """

    def __init__(
        self, ids: Sequence[int], networks: bool = False, one_optimizer: bool = False, fused: bool = False
    ) -> None:
        whole = tiny_avatar(HEAD, NUM)
        frames = whole.poses.at(whole.motion.canonical()).frames
        centers = whole.surfels.centers(frames).detach()
        own = {name: getattr(whole.surfels, name).detach() for name in ("triangle", *BoundSurfels.PARAMETERS)}
        surfels = BoundSurfels(**{name: value[list(ids)].clone() for name, value in own.items()})
        self.avatar = Avatar(whole.rig, surfels, whole.motion, whole.interior, None, whole.background, whole.look)
        self.avatar.settled = centers[list(ids)].clone()
        self.ids, self.held = torch.tensor(ids), torch.zeros(len(ids), dtype=torch.bool)
        torch.manual_seed(0)
        self.canonical = Canonical(CONFIG, torch.zeros(3), 0.2, sh_degree=1, num_coarse=8, num_fine=8)
        self.networks = SurfelNetworks(self.canonical, len(ids), sh_degree=1, hidden=16) if networks else None
        learned: dict[str, nn.Parameter] = {"means": surfels.means}
        if self.networks is None:
            learned = {name: getattr(surfels, name) for name in surfels.PARAMETERS}
        else:
            learned |= {name: getattr(self.networks, name) for name in self.networks.DETAILS}
        self.learned = learned
        groups = [list(learned.values())] if one_optimizer else [[each] for each in learned.values()]
        self.optimizers = [torch.optim.Adam(group, lr=1e-2, fused=fused) for group in groups]
        self.stops = 0
        """Rows from this id on get no gradients; 0 = all do."""

    @property
    def rows(self) -> SurfelRows:
        rows = SurfelRows.of_avatar(self.avatar, self.networks, self.held, self.optimizers)
        return replace(rows, buffers={**rows.buffers, "ids": self.ids})

    def losses(self) -> Tensor:
        """Squared distances of placed and corrected surfels to targets that hang on their ids."""
        avatar = self.avatar
        attributes = None
        if self.networks is not None:
            frames = avatar.poses.at(avatar.motion.canonical()).frames
            attributes = self.networks(self.canonical, avatar.surfels, frames).attributes
        placed = avatar.place(CENTER, avatar.motion.motion[3], attributes=attributes)
        total = torch.zeros(len(self.ids))
        for weight, name in (
            (100.0, "means"),
            (1.0, "quaternions"),
            (100.0, "scales"),
            (1.0, "opacities"),
            (1.0, "colors"),
        ):
            value = getattr(placed, name).reshape(len(self.ids), -1)
            target = (0.1 * (self.ids[:, None] + 1) * torch.arange(1, value.shape[1] + 1)).cos()
            total = total + weight * (value - target).square().sum(-1)
        return total if self.stops == 0 else total * (self.ids < self.stops)

    def train(self, steps: int) -> Training:
        for _ in range(steps):
            # Kept, as a training loop keeps its last loss: the old graph is alive when the rows have been edited.
            self.loss = self.losses().sum()
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            self.loss.backward()
            for optimizer in self.optimizers:
                optimizer.step()
        return self

    def start_values(self, chosen: slice) -> dict[str, Tensor]:
        """Of rows to add: all but what is optional."""
        rows = self.rows
        tensors = {**rows.parameters, **rows.buffers}
        return {name: value.detach()[chosen].clone() for name, value in tensors.items() if name not in rows.optional}


def assert_alike(found: Training, expected: Training) -> None:
    """Row by row: values, moments, and what comes of a step more.

    But for the last digits: kernels that take several rows at once may round the rows that are left over otherwise.
    """
    assert torch.equal(found.ids, expected.ids) and torch.equal(found.held, expected.held)
    for _ in range(2):
        for name, value in expected.rows.parameters.items():
            torch.testing.assert_close(found.rows.parameters[name], value, rtol=1e-5, atol=1e-6, msg=name)
        for name in ("triangle", "settled"):
            assert torch.equal(found.rows.buffers[name], expected.rows.buffers[name])
        for name, parameter in expected.learned.items():
            (theirs,) = [o.state[parameter] for o in expected.optimizers if parameter in o.state]
            own = found.learned[name]
            (ours,) = [o.state[own] for o in found.optimizers if own in o.state]
            assert set(ours) == {"step", "exp_avg", "exp_avg_sq"}
            for key, value in theirs.items():
                torch.testing.assert_close(ours[key], value, rtol=1e-5, atol=1e-6, msg=f"{name} {key}")
        found.train(1)
        expected.train(1)


@pytest.mark.parametrize("networks", [False, True])
def test_an_edit_moves_rows_and_changes_no_digit(networks: bool) -> None:
    training, order = Training(ALL, networks).train(3), torch.randperm(NUM, generator=torch.Generator().manual_seed(2))

    def everything() -> dict[str, Tensor]:
        found = {**training.rows.parameters, **training.rows.buffers}
        for name, parameter in training.learned.items():
            for optimizer in training.optimizers:
                found |= {f"{name} {key}": value for key, value in optimizer.state.get(parameter, {}).items()}
        return {name: value.detach().clone() for name, value in found.items()}

    before = everything()
    reorder(training.rows, order)
    remove(training.rows, training.ids < 7)
    kept = order[order >= 7]
    for name, value in everything().items():
        assert torch.equal(value, before[name] if name.endswith(" step") else before[name][kept]), name


KINDS = [
    pytest.param({}, id="surfels"),
    pytest.param({"networks": True}, id="networks"),
    pytest.param({"one_optimizer": True}, id="one optimiser"),
    pytest.param({"fused": True}, id="fused"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_training_after_removal_equals_one_without_the_removed_rows(kind: dict[str, bool]) -> None:
    found = Training(ALL, **kind).train(5)
    remove(found.rows, found.ids % 3 == 1)
    assert_alike(found.train(5), Training([i for i in ALL if i % 3 != 1], **kind).train(10))


@pytest.mark.parametrize("kind", KINDS)
def test_training_after_reordering_equals_one_in_that_order(kind: dict[str, bool]) -> None:
    order = torch.randperm(NUM, generator=torch.Generator().manual_seed(1))
    found = Training(ALL, **kind).train(5)
    reorder(found.rows, order)
    assert_alike(found.train(5), Training(order.tolist(), **kind).train(10))


@pytest.mark.parametrize("kind", KINDS)
def test_added_rows_learn_like_rows_that_had_no_gradients_until_then(kind: dict[str, bool]) -> None:
    found, expected = Training(ALL[:LATE], **kind).train(5), Training(ALL, **kind)
    new = expected.start_values(slice(LATE, NUM))
    expected.stops = LATE
    expected.train(5)
    expected.stops = 0
    append(found.rows, new)
    assert_alike(found.train(5), expected.train(5))


def test_several_edits_one_after_the_other() -> None:
    found, expected = Training(ALL[:LATE]).train(3), Training(ALL)
    new = expected.start_values(slice(LATE, NUM))
    expected.stops = LATE
    expected.train(3)
    expected.stops = 0
    append(found.rows, new)
    found.train(2)
    expected.train(2)
    order = torch.arange(NUM).flip(0)
    reorder(found.rows, order)
    keep(found.rows, torch.arange(5, 25))
    keep(expected.rows, order[5:25])
    assert found.ids.tolist() == list(range(34, 14, -1))
    assert_alike(found.train(3), expected.train(3))


def test_the_tensors_stay_the_same_objects() -> None:
    training = Training(ALL, networks=True).train(2)
    before, rows = {**training.rows.parameters, **training.rows.buffers}, training.rows
    correction = training.avatar.correction
    append(rows, training.start_values(slice(0, 4)))
    remove(rows, torch.arange(NUM + 4) < 2)
    after = {**training.rows.parameters, **training.rows.buffers}
    assert all(after[name] is value and len(value) == NUM + 2 for name, value in before.items())
    assert training.avatar.surfels.num_surfels == training.rows.num_rows == NUM + 2
    assert training.avatar.correction is not correction, "derived from rows that are no more"
    for optimizer in training.optimizers:
        assert all(parameter in optimizer.state for group in optimizer.param_groups for parameter in group["params"])
    assert (training.rows.parameters["detail_dc"][-4:] == 0).all() and not training.held.any()


def test_edits_move_gradients_that_wait_for_a_step() -> None:
    training = Training(ALL)
    training.losses().sum().backward()
    before = training.avatar.surfels.means.grad
    assert before is not None
    remove(training.rows, torch.arange(NUM) < 5)
    append(training.rows, training.start_values(slice(0, 2)))
    after = training.avatar.surfels.means.grad
    assert after is not None and torch.equal(after[:-2], before[5:]) and (after[-2:] == 0).all()


def test_held_rows_stay_held_after_an_edit() -> None:
    training = Training(ALL)
    training.held[::4] = True
    start = {name: value.detach().clone() for name, value in training.rows.parameters.items()}
    hooks = hold_rows(training.held, training.avatar.surfels.parameters())
    training.train(2)
    new = training.start_values(slice(0, 3)) | {"ids": torch.tensor([40, 41, 42])}
    reorder(training.rows, torch.arange(NUM).flip(0))
    remove(training.rows, training.ids % 5 == 0)
    append(training.rows, new)
    training.train(3)
    assert set(training.ids[training.held].tolist()) == {i for i in range(0, NUM, 4) if i % 5}
    moved = training.ids[(training.avatar.surfels.means.detach() != 0).any(-1) & ~training.held]
    assert {40, 41, 42} <= set(moved.tolist())
    for name, value in training.rows.parameters.items():
        held, learning = training.ids[training.held], training.ids[~training.held]
        assert torch.equal(value[training.held], start[name][held])
        old = learning < NUM
        assert (value[~training.held][old] != start[name][learning[old]]).flatten(1).any() if value.ndim > 1 else True
    for hook in hooks:
        hook.remove()
    before = training.avatar.surfels.means.detach()[training.held].clone()
    training.train(1)
    assert (training.avatar.surfels.means[training.held] != before).any(-1).all()


def test_overwriting_resets_the_moments_of_fresh_parameters() -> None:
    training = Training(ALL).train(3)
    chosen, surfels = torch.arange(NUM) % 2 == 0, training.avatar.surfels
    (means,) = training.optimizers[0].param_groups[0]["params"]
    state = {key: value.clone() for key, value in training.optimizers[0].state[means].items()}
    log_scales = next(o for o in training.optimizers if surfels.log_scales in o.state).state[surfels.log_scales]
    scales = log_scales["exp_avg"].clone()
    overwrite(training.rows, chosen, {"means": torch.ones(20, 3), "triangle": torch.full((20,), 7)}, fresh=["means"])
    assert (surfels.means[chosen] == 1).all() and (surfels.triangle[chosen] == 7).all()
    after = training.optimizers[0].state[means]
    for key in ("exp_avg", "exp_avg_sq"):
        assert (after[key][chosen] == 0).all() and torch.equal(after[key][~chosen], state[key][~chosen])
    assert torch.equal(after["step"], state["step"])
    assert torch.equal(log_scales["exp_avg"], scales)
    reset_moments(training.rows, chosen, ["log_scales"])
    assert (log_scales["exp_avg"][chosen] == 0).all() and torch.equal(log_scales["exp_avg"][~chosen], scales[~chosen])


def test_before_the_first_step_there_are_no_moments_to_edit() -> None:
    training = Training(ALL)
    reset_moments(training.rows, torch.ones(NUM, dtype=torch.bool), ["means"])
    remove(training.rows, torch.arange(NUM) > 9)
    assert not any(optimizer.state for optimizer in training.optimizers)
    assert_alike(training.train(4), Training(ALL[:10]).train(4))


def test_settled_centres_are_rows_only_after_settling() -> None:
    avatar = tiny_avatar(HEAD, 12)
    remove(SurfelRows.of_avatar(avatar), torch.arange(12) < 2)
    assert avatar.surfels.num_surfels == 10 and not avatar.is_settled


@pytest.mark.parametrize("order", [[0, 1, 1], [0, 1], [0, 1, 3]])
def test_an_order_that_is_no_permutation_is_refused(order: list[int]) -> None:
    training = Training([0, 1, 2])
    with pytest.raises(ValueError, match="each of 3 surfels once"):
        reorder(training.rows, torch.tensor(order))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"means": None}, r"missing \['means'\]"),
        ({"strange": torch.zeros(2)}, r"unknown \['strange'\]"),
        ({"means": torch.zeros(3, 3)}, r"found \[2, 3\] rows"),
        ({"means": torch.zeros(2, 4)}, r"'means': found shape \[2, 4\], expected \[2, 3\]"),
        ({"settled": None}, r"missing \['settled'\]"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_edited(spoil: dict[str, Tensor | None], message: str) -> None:
    training = Training(ALL)
    new = {**training.start_values(slice(0, 2)), **spoil}
    with pytest.raises(ValueError, match=message):
        append(training.rows, {name: value for name, value in new.items() if value is not None})
    assert all(len(value) == NUM for value in (*training.rows.parameters.values(), *training.rows.buffers.values()))
