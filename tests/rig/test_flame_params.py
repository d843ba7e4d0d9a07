from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.errors import FlameParamsError
from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.rig import FlameParams, concatenate, pose_vertices
from tests.tiny import blown_up, tiny_head_model, tiny_params

MODEL = tiny_head_model()


def assert_equal(a: FlameParams, b: FlameParams) -> None:
    for f in fields(FlameParams):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if x is None or y is None:
            assert x is y, f.name
        else:
            assert torch.equal(x, y) and x.dtype == y.dtype, f.name


def vhap_arrays(num_timesteps: int = 1, num_vertices: int = 54) -> dict[str, np.ndarray]:
    """What VHAP writes per frame, its mixture of dimensions and types included."""
    rng = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return {
        "translation": random(num_timesteps, 3),
        "rotation": random(num_timesteps, 3),
        "neck_pose": random(num_timesteps, 3),
        "jaw_pose": random(num_timesteps, 3).astype(np.float64),
        "eyes_pose": random(num_timesteps, 6),
        "shape": random(300),
        "expr": random(num_timesteps, 100),
        "static_offset": random(1, num_vertices, 3),
        "dynamic_offset": random(num_timesteps, num_vertices, 3),
    }


def write(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def load_without(tmp_path: Path, *names: str, **changes: Any) -> FlameParams:
    arrays = {**vhap_arrays(), **changes}
    return FlameParams.load(write(tmp_path / "00003.npz", {k: v for k, v in arrays.items() if k not in names}))


class TestLoading:
    def test_vhap_frame(self, tmp_path: Path) -> None:
        arrays = vhap_arrays()
        params = FlameParams.load(write(tmp_path / "00000.npz", arrays))
        assert params.num_timesteps == 1
        assert (
            params.shape.shape == (300,) and params.static_offset is not None and params.static_offset.shape == (54, 3)
        )
        assert params.jaw_pose.dtype == torch.float32
        for name in ("translation", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "expr"):
            np.testing.assert_array_equal(getattr(params, name).numpy(), arrays[name].astype(np.float32), err_msg=name)

    def test_static_offset_may_be_absent(self, tmp_path: Path) -> None:
        assert load_without(tmp_path, "static_offset", "dynamic_offset").static_offset is None

    def test_tracker_output_with_other_fields(self, tmp_path: Path) -> None:
        extra = {"timestep_id": np.array(["a", "b"]), "tex_extra": np.zeros((3, 4, 4)), "odd": np.array([None, {}])}
        params = FlameParams.load(write(tmp_path / "tracked_flame_params_30.npz", {**vhap_arrays(2), **extra}))
        assert params.num_timesteps == 2

    def test_dimensions_of_one_are_taken_as_they_come(self, tmp_path: Path) -> None:
        arrays = vhap_arrays()
        reference = FlameParams.load(write(tmp_path / "a.npz", arrays))
        arrays |= {"shape": arrays["shape"][None].repeat(3, 0), "static_offset": arrays["static_offset"][0]}
        arrays |= {name: arrays[name][0] for name in ("expr", "rotation", "eyes_pose")}
        assert_equal(FlameParams.load(write(tmp_path / "b.npz", arrays)), reference)

    @pytest.mark.parametrize("name", ["translation", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "shape", "expr"])
    def test_missing_and_non_finite_fields_are_named(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(FlameParamsError, match=rf"00003\.npz: '{name}': found nothing"):
            load_without(tmp_path, name)
        for bad in (np.nan, np.inf):
            spoiled = vhap_arrays()[name].copy()
            spoiled[..., 2] = bad
            with pytest.raises(FlameParamsError, match=rf"00003\.npz: '{name}': found 1 non-finite"):
                load_without(tmp_path, **{name: spoiled})

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"rotation": np.zeros((2, 3))}, r"'rotation': found shape \[2, 3\], expected shape \[1, 3\]"),
            ({"eyes_pose": np.zeros((1, 3))}, r"'eyes_pose': found shape \[1, 3\], expected shape \[1, 6\]"),
            ({"shape": np.arange(6.0).reshape(2, 3)}, r"'shape': found shape \[2, 3\]"),
            ({"static_offset": np.zeros((2, 54, 3))}, r"'static_offset': found shape \[2, 54, 3\]"),
            ({"expr": np.zeros((0, 100))}, r"'expr': found no timesteps"),
            ({"jaw_pose": np.array([["a", "b", "c"]])}, r"'jaw_pose': found type <U1, expected numbers"),
            ({"jaw_pose": np.array([[None, 1, 2]])}, r"'jaw_pose': found nothing"),
        ],
    )
    def test_wrong_fields_are_named(self, changes: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
        with pytest.raises(FlameParamsError, match=r"00003\.npz: " + message):
            load_without(tmp_path, **changes)

    def test_unreadable_files_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(FlameParamsError, match=r"absent\.npz: no such file"):
            FlameParams.load(tmp_path / "absent.npz")
        whole = write(tmp_path / "a.npz", vhap_arrays()).read_bytes()
        for cut in (0, 10, len(whole) // 2):
            (tmp_path / "cut.npz").write_bytes(whole[:cut])
            with pytest.raises(FlameParamsError, match=r"cut\.npz: not a readable npz"):
                FlameParams.load(tmp_path / "cut.npz")

    def test_folder_in_order_of_its_names(self, tmp_path: Path) -> None:
        for timestep in (10, 9, 100):
            expr = np.full((1, 100), timestep)
            write(tmp_path / f"{timestep}.npz", {**vhap_arrays(), "expr": expr})
        assert FlameParams.load(tmp_path).expr[:, 0].tolist() == [9, 10, 100]
        (tmp_path / "empty").mkdir()
        with pytest.raises(FlameParamsError, match=r"empty: found no npz files"):
            FlameParams.load_folder(tmp_path / "empty")

    @pytest.mark.parametrize(
        "name", ["canonical_flame_param.npz", "expressions.npz", "driver/sequence.npz", "flame_param"]
    )
    def test_capture_files(self, name: str, shared: Path) -> None:
        params = FlameParams.load(shared / "captures" / "fk01" / name)
        assert params.shape.shape == (300,) and params.expr.shape == (params.num_timesteps, 100)


class TestSaving:
    def test_vhap_file_and_folder_come_back(self, tmp_path: Path) -> None:
        params = tiny_params(MODEL, num_timesteps=12)
        for path in (tmp_path / "sequence.npz", tmp_path / "flame_param"):
            params.save_vhap(path)
            assert_equal(FlameParams.load(path), params)
        assert sorted(path.name for path in (tmp_path / "flame_param").iterdir())[::11] == ["00000.npz", "00011.npz"]
        with np.load(tmp_path / "flame_param" / "00000.npz") as file:
            assert {key: file[key].shape for key in file.files} == {
                **{name: (1, 3) for name in ("translation", "rotation", "neck_pose", "jaw_pose")},
                **{"eyes_pose": (1, 6), "expr": (1, 10), "shape": (300,), "static_offset": (1, 54, 3)},
            }

    def test_gaussian_avatars_file_has_both_offsets(self, tmp_path: Path) -> None:
        params = tiny_params(MODEL)
        params.save_gaussian_avatars(tmp_path / "flame_param.npz")
        with np.load(tmp_path / "flame_param.npz") as file:
            assert all(file[key].dtype == np.float32 for key in file.files)
            assert file["static_offset"].shape == (1, 54, 3)
            assert file["dynamic_offset"].shape == (3, 54, 3) and not file["dynamic_offset"].any()
        assert_equal(FlameParams.load(tmp_path / "flame_param.npz"), params)

        without = replace(params, static_offset=None)
        with pytest.raises(FlameParamsError, match="num_vertices"):
            without.save_gaussian_avatars(tmp_path / "other.npz")
        without.save_gaussian_avatars(tmp_path / "other.npz", num_vertices=54)
        with np.load(tmp_path / "other.npz") as file:
            assert file["static_offset"].shape == (1, 54, 3) and not file["static_offset"].any()


class TestSequences:
    def test_every_selection_keeps_the_timesteps_dimension(self) -> None:
        params = tiny_params(MODEL, num_timesteps=5)
        assert params[2].expr.shape == (1, 10)
        assert torch.equal(params[-1].expr, params.expr[4:]) and torch.equal(params[-2].expr, params.expr[3:4])
        assert torch.equal(params[1:4].rotation, params.rotation[1:4])
        assert torch.equal(params[torch.tensor([3, 0, 0])].eyes_pose, params.eyes_pose[[3, 0, 0]])
        assert params[torch.tensor([True, False, True, False, False])].num_timesteps == 2
        for outside in (5, -6):
            with pytest.raises(IndexError, match=f"timestep {outside} of 5"):
                params[outside]
        assert [p.num_timesteps for p in params] == [1] * 5

    def test_whole_positions_return_the_stored_rows(self) -> None:
        params = tiny_params(MODEL, num_timesteps=4, size=2.0)  # turns beyond pi, which slerp would rewrite
        assert_equal(params.interpolate(torch.tensor([0.0, 1, 2, 3])), params)

    def test_rotations_turn_evenly_and_the_rest_moves_linearly(self) -> None:
        params = tiny_params(MODEL, num_timesteps=2, size=0.5)
        middle = params.interpolate(torch.tensor([0.25]))
        torch.testing.assert_close(middle.expr[0], 0.75 * params.expr[0] + 0.25 * params.expr[1])
        torch.testing.assert_close(middle.translation[0], 0.75 * params.translation[0] + 0.25 * params.translation[1])
        for name in ("rotation", "neck_pose", "jaw_pose", "eyes_pose"):
            poses = getattr(params, name).unflatten(-1, (-1, 3))
            start, end = axis_angle_to_matrix(poses[0]), axis_angle_to_matrix(poses[1])
            found = axis_angle_to_matrix(getattr(middle, name).unflatten(-1, (-1, 3))[0])
            quarter = start.mT @ found
            torch.testing.assert_close(start @ torch.linalg.matrix_power(quarter, 4), end, rtol=0, atol=1e-5)

    def test_the_shorter_way_round_is_taken(self) -> None:
        turn = torch.tensor([[0.0, 3.0, 0], [0, -3.0, 0]])  # 6 rad apart one way, 0.28 rad the other
        params = replace(tiny_params(MODEL, num_timesteps=2), rotation=turn)
        middle = axis_angle_to_matrix(params.interpolate(torch.tensor([0.5])).rotation[0])
        torch.testing.assert_close(middle, torch.diag(torch.tensor([-1.0, 1, -1])), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("position", [-0.01, 3.01, float("nan")])
    def test_positions_outside_are_refused(self, position: float) -> None:
        with pytest.raises(FlameParamsError, match=r"expected all within 0\.\.3"):
            tiny_params(MODEL, num_timesteps=4).interpolate(torch.tensor([1.0, position]))

    def test_concatenation_keeps_the_first_identity(self) -> None:
        first, second = (
            tiny_params(MODEL, seed=1),
            tiny_params(tiny_head_model(num_expression=4), num_timesteps=2, seed=2),
        )
        joined = concatenate([first, second])
        assert joined.num_timesteps == 5 and torch.equal(joined.shape, first.shape)
        assert torch.equal(joined.expr[3:, :4], second.expr) and not joined.expr[3:, 4:].any()
        assert torch.equal(joined.jaw_pose, torch.cat([first.jaw_pose, second.jaw_pose]))
        with pytest.raises(FlameParamsError, match="no sequences"):
            concatenate([])

    def test_identity_of_another(self) -> None:
        mine, other = (
            tiny_params(MODEL, seed=1),
            replace(tiny_params(MODEL, num_timesteps=1, seed=2), static_offset=None),
        )
        both = mine.with_identity(other)
        assert torch.equal(both.shape, other.shape) and both.static_offset is None
        assert torch.equal(both.motion_vector(), mine.motion_vector())

    def test_motion_vector_order_and_return(self) -> None:
        params = tiny_params(MODEL)
        vector = params.motion_vector()
        parts = [params.translation, params.rotation, params.neck_pose, params.jaw_pose, params.eyes_pose, params.expr]
        assert torch.equal(vector, torch.cat(parts, dim=-1))
        assert_equal(FlameParams.from_motion_vector(vector, like=params[0]), params)
        mean_head = FlameParams.from_motion_vector(vector).check_fits(MODEL)
        assert torch.equal(mean_head.motion_vector(), vector) and not mean_head.shape.any()
        with pytest.raises(FlameParamsError, match=r"expected \[num_timesteps, 28\]"):
            FlameParams.from_motion_vector(vector[:, :-1], like=params)
        with pytest.raises(FlameParamsError, match=r"expected \[num_timesteps, 18\]"):
            FlameParams.from_motion_vector(vector[:, :17])

    def test_slices_name_the_parts_of_a_motion_vector(self) -> None:
        params = tiny_params(MODEL)
        vector = params.motion_vector()
        parts = [
            (FlameParams.TRANSLATION, params.translation),
            (FlameParams.ROTATION, params.rotation),
            (FlameParams.NECK, params.neck_pose),
            (FlameParams.JAW, params.jaw_pose),
            (FlameParams.EYES, params.eyes_pose),
            (FlameParams.LEFT_EYE, params.eyes_pose[:, :3]),
            (FlameParams.RIGHT_EYE, params.eyes_pose[:, 3:]),
            (FlameParams.EXPRESSION, params.expr),
        ]
        for part, expected in parts:
            assert torch.equal(vector[:, part], expected)
        whole = (FlameParams.HEAD, FlameParams.NECK, FlameParams.JAW, FlameParams.EYES, FlameParams.EXPRESSION)
        assert torch.equal(torch.cat([vector[:, part] for part in whole], dim=1), vector)
        assert torch.equal(torch.cat([vector[:, FlameParams.HEAD], vector[:, FlameParams.FROM_NECK]], dim=1), vector)
        assert "HEAD" not in {f.name for f in fields(FlameParams)}, "not fields of a head"

    def test_gradients_flow_through_vector_and_interpolation(self) -> None:
        vector = tiny_params(MODEL).motion_vector().requires_grad_()
        between = FlameParams.from_motion_vector(vector).interpolate(torch.tensor([0.0, 0.4, 2.0]))
        (gradient,) = torch.autograd.grad(between.motion_vector().sum(), vector)
        assert gradient.isfinite().all() and (gradient[:2] != 0).all()


class TestFit:
    def test_parameters_that_fit_are_returned_as_they_are(self) -> None:
        params = tiny_params(MODEL)
        assert params.check_fits(MODEL) is params
        neutral = FlameParams.neutral(MODEL)
        assert neutral.check_fits(MODEL) is neutral and neutral.num_timesteps == 1

    def test_missing_coefficients_are_zeros(self) -> None:
        params = tiny_params(MODEL)
        short = replace(params, shape=params.shape[:8], expr=params.expr[:, :4])
        fitted = short.check_fits(MODEL)
        assert (
            fitted.shape.shape == (300,)
            and torch.equal(fitted.shape[:8], params.shape[:8])
            and not fitted.shape[8:].any()
        )
        torch.testing.assert_close(pose_vertices(MODEL, short), pose_vertices(MODEL, fitted))

    def test_surplus_zeros_may_be_cut(self) -> None:
        params = tiny_params(MODEL)
        longer = replace(params, expr=torch.cat([params.expr, torch.zeros(3, 90)], dim=-1))
        assert_equal(longer.check_fits(MODEL), params)

    @pytest.mark.parametrize(("name", "size"), [("expr", 10), ("shape", 300)])
    def test_surplus_coefficients_in_use_are_refused(self, name: str, size: int) -> None:
        params = tiny_params(MODEL)
        surplus = torch.zeros(*getattr(params, name).shape[:-1], 20)
        surplus[..., 3] = 0.1
        longer = replace(params, **{name: torch.cat([getattr(params, name), surplus], dim=-1)})
        message = (
            rf"'{name}': found {size + 4} coefficients in use, but head model 'tiny' has {size}\b.*another head model"
        )
        with pytest.raises(FlameParamsError, match=message):
            longer.check_fits(MODEL)
        with pytest.raises(FlameParamsError, match=message):
            pose_vertices(MODEL, longer)

    def test_offsets_of_another_mesh_are_refused(self) -> None:
        params = replace(tiny_params(MODEL), static_offset=torch.zeros(5143, 3))
        with pytest.raises(FlameParamsError, match=r"'static_offset': found 5143 .* 'tiny' has 54.*another head model"):
            params.check_fits(MODEL)

    def test_flame_without_teeth_fits_flame_with_teeth(self) -> None:
        with_teeth = blown_up(MODEL, 5143)
        offset = torch.rand(5023, 3)
        fitted = replace(tiny_params(MODEL), static_offset=offset).check_fits(with_teeth).static_offset
        assert fitted is not None
        assert torch.equal(fitted[:5023], offset) and fitted.shape == (5143, 3) and not fitted[5023:].any()

    def test_offsets_of_the_teeth_are_left_out_for_flame_without_teeth(self) -> None:
        offset = torch.rand(5143, 3)
        fitted = replace(tiny_params(MODEL), static_offset=offset).check_fits(blown_up(MODEL, 5023)).static_offset
        assert fitted is not None and torch.equal(fitted, offset[:5023])
