"""The record of a capture: what it holds together, what it refuses, and its way through a file's arrays."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from sage_ns.capture.record import CaptureRecord
from sage_ns.errors import CaptureError, FlameParamsError
from tests.tiny import tiny_head_model
from tests.tiny_capture import tiny_motion


@pytest.fixture
def record() -> CaptureRecord:
    head = tiny_head_model()
    return CaptureRecord(
        head_model=head,
        flame_params=tiny_motion(head, 4),
        timesteps=torch.tensor([0, 3, 4, 9]),
        canonical_row=1,
        train_timesteps=torch.tensor([0, 3, 4]),
        test_timesteps=torch.tensor([9]),
        train_camera_centers=torch.rand(6, 3),
        background=torch.tensor([1.0, 0.5, 0.0]),
        downscale_factor=2,
    )


def test_canonical_timestep_is_the_id_of_its_row(record: CaptureRecord) -> None:
    assert record.canonical_timestep == 3


def test_it_goes_through_nerfstudios_metadata(record: CaptureRecord) -> None:
    copied = CaptureRecord.of(deepcopy(record.metadata()))  # nerfstudio's datasets copy it
    assert torch.equal(copied.timesteps, record.timesteps)
    with pytest.raises(CaptureError, match=r"no 'record'.*\['depth_filenames'\].*flame-capture"):
        CaptureRecord.of({"depth_filenames": []})


@pytest.mark.parametrize("offset", [True, False])
def test_its_arrays_give_it_back(record: CaptureRecord, offset: bool) -> None:
    if not offset:
        record = replace(record, flame_params=replace(record.flame_params, static_offset=None))
    arrays = record.arrays()
    assert ("static_offset" in arrays) == offset
    again = CaptureRecord.from_arrays(arrays, record.head_model, "test", {})
    assert again.arrays().keys() == arrays.keys()
    for name, array in arrays.items():
        assert (again.arrays()[name] == array).all(), name
    assert (again.split_source, again.mask_filenames, again.thumbnails) == ("test", (), {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timesteps", torch.tensor([0, 3, 4])),
        ("timesteps", torch.tensor([0, 4, 3, 9])),
        ("canonical_row", 4),
        ("canonical_row", -1),
        ("train_timesteps", torch.tensor([0, 1])),
        ("test_timesteps", torch.tensor([10])),
        ("train_camera_centers", torch.zeros(3)),
        ("train_camera_centers", torch.full((2, 3), torch.nan)),
        ("background", torch.ones(4)),
        ("background", torch.tensor([0.0, 0.0, 255.0])),
        ("downscale_factor", 0),
        ("split_source", "validation"),
    ],
)
def test_fields_that_do_not_fit_are_refused_by_name(record: CaptureRecord, name: str, value: Any) -> None:
    with pytest.raises(CaptureError, match=f"'{name}': found .*, expected"):
        replace(record, **{name: value})


def test_parameters_of_another_head_model_are_refused(record: CaptureRecord) -> None:
    other = replace(record.flame_params, static_offset=torch.zeros(7, 3))
    with pytest.raises(FlameParamsError, match="static_offset"):
        replace(record, flame_params=other)
