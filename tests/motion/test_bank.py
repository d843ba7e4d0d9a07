"""The driving bank: its motion, random draws from it, and test moments that it must not contain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.cli.capture import main
from sage_ns.errors import CaptureError
from sage_ns.motion.bank import DrivingBank
from sage_ns.motion.files import load_motion
from sage_ns.motion.limits import MotionLimits
from sage_ns.motion.source import MotionSource
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from sage_ns.synthetic.motion import joined, mistracked, perform, rest
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_capture import write_tiny_capture

MODEL = tiny_head_model()
CANONICAL = torch.linspace(-0.1, 0.1, 28)
HEAD = FlameParams.HEAD


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_tiny_capture(tmp_path / "person", num_timesteps=6)


def motion_source(folder: Path) -> MotionSource:
    motion = load_motion(folder, MODEL)
    return MotionSource(motion.params, motion.timesteps, 0)


def write_bank(path: Path, seed: int = 3, num: int = 5) -> Path:
    tiny_params(MODEL, num, seed, size=0.05).save_vhap(path)
    return path


def test_head_pose_is_canonical_and_the_rest_comes_from_the_source(tmp_path: Path) -> None:
    params = tiny_params(MODEL, 5, 3, size=0.05)
    bank = DrivingBank.from_sources([write_bank(tmp_path / "a.npz")], CANONICAL, MODEL)
    assert (bank.num_moments, bank.num_coefficients) == (5, 28)
    assert torch.equal(bank.motion.vectors[:, HEAD], CANONICAL[HEAD].expand(5, -1))
    assert torch.equal(bank.motion.vectors[:, FlameParams.FROM_NECK], params.motion_vector()[:, FlameParams.FROM_NECK])
    assert bank.motion.notes == ()


def test_expressions_of_other_lengths_fit_the_rig(tmp_path: Path) -> None:
    params = tiny_params(MODEL, 2)
    narrow = replace(params, expr=0.1 * params.expr[:, :4])
    narrow.save_vhap(tmp_path / "narrow.npz")
    bank = DrivingBank.from_sources([tmp_path / "narrow.npz"], CANONICAL, MODEL)
    assert torch.equal(bank.motion.params.expr[:, :4], narrow.expr) and not bank.motion.params.expr[:, 4:].any()


def test_motion_beyond_the_limits_is_clamped_with_a_note(tmp_path: Path) -> None:
    params = tiny_params(MODEL, 5, size=0.02)
    params.jaw_pose[2, 0], params.expr[1, 3], params.neck_pose[0, 1], params.eyes_pose[4, 3] = 2.0, -9.0, 1.5, -1.0
    params.save_vhap(tmp_path / "wild.npz")
    bank = DrivingBank.from_sources([tmp_path / "wild.npz"], CANONICAL, MODEL)
    clamped = bank.motion.params
    found = (clamped.jaw_pose[2, 0], clamped.expr[1, 3], clamped.neck_pose[0, 1], clamped.eyes_pose[4, 3])
    assert [round(float(value), 4) for value in found] == [0.6, -6.0, 1.05, -0.8]
    assert len(bank.motion.notes) == 4
    assert "wild.npz: Clamped jaw_pose of 1 of 5 moments (found 2, limits -0.1..0.6)" in " ".join(bank.motion.notes)


def test_named_expressions_have_narrower_limits() -> None:
    limits = MotionLimits.of(builtin_head())
    row = torch.zeros(1, 118)
    row[0, FlameParams.EXPRESSION][:2] = torch.tensor([2.0, 1.0])
    row[0, FlameParams.HEAD] = 1e3
    cut, notes = limits.clamp(row)
    assert cut[0, FlameParams.EXPRESSION][:2].tolist() == pytest.approx([1.3, 1.0]) and len(notes) == 1
    assert torch.equal(cut[0, FlameParams.HEAD], row[0, FlameParams.HEAD]), "a head may be anywhere"


class TestDraws:
    def test_they_lie_between_neighbours_of_one_sequence(self, tmp_path: Path) -> None:
        sources = [write_bank(tmp_path / f"{seed}.npz", seed, num) for seed, num in ((3, 4), (4, 3), (5, 1))]
        bank = DrivingBank.from_sources(sources, CANONICAL, MODEL)
        sequences = bank.motion.sequences
        assert sequences.tolist() == [0] * 4 + [1] * 3 + [2]
        generator = torch.Generator().manual_seed(0)
        seen = set()
        for _ in range(200):
            drawn = bank.draw(generator)
            expr = bank.motion.params.expr
            distance = (expr - drawn[FlameParams.EXPRESSION]).norm(dim=1)
            near = [
                row
                for row in range(8)
                for other in (row - 1, row, row + 1)
                if 0 <= other < 8
                and sequences[other] == sequences[row]
                and abs(distance[row] + distance[other] - (expr[row] - expr[other]).norm() * (row != other)) < 1e-5
            ]
            assert near, "not between two neighbours"
            seen.add(near[0])
            torch.testing.assert_close(drawn[HEAD], CANONICAL[HEAD])
        assert len(seen) >= 6

    def test_they_follow_the_generator(self, tmp_path: Path) -> None:
        bank = DrivingBank.from_sources([write_bank(tmp_path / "a.npz")], CANONICAL, MODEL)
        rows = [
            torch.stack([bank.draw(generator) for _ in range(5)])
            for generator in (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
        ]
        assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
        assert len(torch.unique(rows[0], dim=0)) == 5


class TestTestTimesteps:
    def test_a_capture_with_test_moments_is_refused(self, capture: Path) -> None:
        source = motion_source(capture)
        bank = DrivingBank.from_sources([capture], source.canonical(), MODEL)
        with pytest.raises(CaptureError) as error:
            bank.refuse_test_timesteps(source, torch.tensor([5]))
        message = str(error.value)
        assert (
            str(capture) in message and "timestep 5" in message and "1 of 1" in message and "--split train" in message
        )

    def test_the_training_moments_of_a_capture_are_accepted(self, capture: Path) -> None:
        source = motion_source(capture)
        bank = DrivingBank.from_sources([capture], source.canonical(), MODEL, split="train")
        assert bank.motion.timesteps.tolist() == [0, 1, 2, 3, 4]
        bank.refuse_test_timesteps(source, torch.tensor([5]))

    def test_copies_are_found_wherever_the_head_was(self, capture: Path, tmp_path: Path) -> None:
        source = motion_source(capture)
        copied = FlameParams.from_motion_vector(source.motion[5:] + 1e-4)
        replace(copied, rotation=copied.rotation + 0.3, translation=copied.translation + 0.5).save_vhap(
            tmp_path / "c.npz"
        )
        bank = DrivingBank.from_sources([tmp_path / "c.npz"], source.canonical(), MODEL)
        with pytest.raises(CaptureError, match=r"timestep 0 of .*c\.npz is the capture's test timestep 5"):
            bank.refuse_test_timesteps(source, torch.tensor([5]))

    def test_clamped_copies_are_found(self, tmp_path: Path) -> None:
        params = tiny_params(MODEL, 3, size=0.05)
        params.jaw_pose[2, 0] = 1.0
        params.save_vhap(tmp_path / "c.npz")
        bank = DrivingBank.from_sources([tmp_path / "c.npz"], CANONICAL, MODEL)
        with pytest.raises(CaptureError, match="test timestep 12"):
            bank.refuse_test_timesteps(MotionSource(params, torch.tensor([10, 11, 12]), 0), torch.tensor([12]))

    def test_the_canonical_moment_is_allowed(self, capture: Path) -> None:
        source = motion_source(capture)
        bank = DrivingBank.from_sources([capture], source.canonical(), MODEL)
        bank.refuse_test_timesteps(source, torch.tensor([0]))

    def test_the_built_in_captures_test_sequence_is_not_in_its_bank(self, tmp_path: Path) -> None:
        """Driver and test sequence as `synthesize_capture` makes them, and the generator."""
        model = builtin_head()
        true = joined(rest(model), perform(model, "train", 3, 0), perform(model, "test", 12, 0))
        shape = np.zeros(model.num_shape)
        tracked = MotionSource(mistracked(true, 1.0, 0).params(shape), torch.arange(16), 0)
        exact = MotionSource(true.params(shape), torch.arange(16), 0)
        perform(model, "driver", 60, 1000).params(shape).save_vhap(tmp_path / "driver" / "sequence.npz")
        driver = DrivingBank.for_capture(tmp_path, model, tracked, torch.arange(4, 16))
        assert driver.sources == (str(tmp_path / "driver" / "sequence.npz"),)
        made_up = DrivingBank.generated(tracked.canonical(), model, num_takes=2)
        for bank in (driver, made_up):
            for source in (tracked, exact):
                bank.refuse_test_timesteps(source, torch.arange(4, 16))
        assert made_up.motion.notes == ()


class TestForCapture:
    def test_files_in_the_capture_are_used_and_printed(self, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source, tested = motion_source(capture), torch.tensor([5])
        for name in ("driver/flame_param", "driver/sequence.npz", "expressions.npz", "driving_bank.npz"):
            write_bank(capture / name)
            bank = DrivingBank.for_capture(capture, MODEL, source, tested)
            assert bank.sources == (str(capture / name),)
            assert torch.equal(bank.motion.vectors[0, HEAD], source.canonical()[HEAD])
        assert "5 moments" in capsys.readouterr().out.replace("\n", " ")

    def test_given_sources_have_precedence(self, capture: Path, tmp_path: Path) -> None:
        write_bank(capture / "driving_bank.npz")
        given = write_bank(tmp_path / "given.npz", seed=9)
        bank = DrivingBank.for_capture(capture, MODEL, motion_source(capture), torch.tensor([5]), sources=[given])
        assert bank.sources == (str(given),)

    def test_without_files_the_generator_is_used(self, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
        bank = DrivingBank.for_capture(capture, MODEL, motion_source(capture), torch.tensor([5]))
        assert "built-in generator" in capsys.readouterr().out.replace("\n", " ")
        assert bank.num_moments > 500 and bank.num_coefficients == 28

    def test_a_bank_with_test_moments_is_refused(self, capture: Path) -> None:
        with pytest.raises(CaptureError, match="test timestep 5"):
            DrivingBank.for_capture(capture, MODEL, motion_source(capture), torch.tensor([5]), sources=[capture])


def test_a_written_bank_reads_back(tmp_path: Path) -> None:
    sources = [write_bank(tmp_path / f"{seed}.npz", seed) for seed in (3, 4)]
    bank = DrivingBank.from_sources(sources, CANONICAL, MODEL)
    bank.save(tmp_path / "bank.npz")
    again = DrivingBank.from_sources([tmp_path / "bank.npz"], CANONICAL, MODEL)
    assert torch.equal(again.motion.vectors, bank.motion.vectors)
    assert torch.equal(again.motion.sequences, bank.motion.sequences)
    assert torch.equal(again.motion.timesteps, bank.motion.timesteps)
    assert not list(tmp_path.glob(".*"))


def test_no_sources_are_refused() -> None:
    with pytest.raises(CaptureError, match="no sources"):
        DrivingBank.from_sources([], CANONICAL, MODEL)


class TestCommand:
    def test_a_bank_from_sources(self, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "bank.npz"
        arguments = ["bank", str(out), "--sources", str(capture), "--data", str(capture)]
        with pytest.raises(SystemExit):
            main(arguments)
        assert "test timestep" in capsys.readouterr().out.replace("\n", " ") and not out.exists()
        main([*arguments, "--split", "train"])
        printed = capsys.readouterr().out
        assert "5 moments" in printed and "jaw opening" in printed and "bank.npz" in printed
        assert load_motion(out, MODEL).params.num_timesteps == 5
        with pytest.raises(SystemExit):
            main([*arguments, "--split", "train"])
        assert "--overwrite" in capsys.readouterr().out

    def test_a_generated_bank(self, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        main(["bank", str(tmp_path / "b.npz"), "--data", str(capture), "--seed", "3"])
        assert "built-in generator" in capsys.readouterr().out
        assert DrivingBank.for_capture(
            capture, MODEL, motion_source(capture), torch.tensor([5]), sources=[tmp_path / "b.npz"]
        ).num_moments > 500  # fmt: skip

    def test_the_name_must_end_in_npz(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["bank", str(tmp_path / "bank.txt")])
        assert ".npz" in capsys.readouterr().out
