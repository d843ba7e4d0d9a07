"""``sage-capture``: make a synthetic capture, look into one, convert one, or gather motion that drives avatars."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape

from sage_ns.cli.explained import explained
from sage_ns.cli.options import MOTION_FILES
from sage_ns.errors import CaptureError, SageError
from sage_ns.synthetic import SyntheticCapture, synthesize_capture

if TYPE_CHECKING:
    from torch import Tensor

    from sage_ns.capture import Capture, Frame
    from sage_ns.motion.source import MotionSource
    from sage_ns.rig import HeadModel

_COLUMNS = 5


@dataclass
class Synthesize:
    """Make a capture of a person who does not exist: pictures, masks, tracked parameters and head model."""

    out: Annotated[Path, tyro.conf.Positional]
    """folder to write"""
    settings: Annotated[SyntheticCapture, tyro.conf.arg(name="")] = field(default_factory=SyntheticCapture)
    """what to make"""

    def run(self, console: Console) -> None:
        """Synthesise, then say what is there and what to do next."""
        out = synthesize_capture(self.out, self.settings)
        _show(console, out)
        console.print(f"next: [bold]sage-demo --data {escape(str(self.out))}[/bold]", soft_wrap=True)


@dataclass
class Inspect:
    """Check a capture, print what is in it, and draw a contact sheet of its training views."""

    capture: Annotated[Path, tyro.conf.Positional]
    """folder of a VHAP export or of a synthetic capture"""
    sheet: Path | None = None
    """where to write the contact sheet; by default <capture>/contact_sheet.png"""

    def run(self, console: Console) -> None:
        """Summary on the console, pictures in the sheet."""
        capture = _show(console, self.capture)
        sheet = self.sheet or capture.folder / "contact_sheet.png"
        _write_sheet(capture, sheet)
        console.print(f"contact sheet  {escape(str(sheet))}", soft_wrap=True)


@dataclass
class Bank:
    """Gather motion of sequences (or make some up) as a bank of expressions for the self-supervised phase.

    Put it into a capture's folder as driving_bank.npz, and training on that capture takes it.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """npz file to write"""
    sources: Annotated[
        tuple[Path, ...], tyro.conf.arg(help=f"any number of: {MOTION_FILES}; none: the built-in generator")
    ] = ()
    data: Path | None = None
    """capture that the bank is for: gives the head model, and its test moments are refused"""
    head_model: Path | None = None
    """head model that the motion has to fit; by default the capture's"""
    split: Literal["all", "train"] = "all"
    """train: leave out what sources that are captures list for testing alone"""
    seed: int = 0
    """of the generator"""
    overwrite: bool = False
    """replace an existing file"""

    def run(self, console: Console) -> None:
        """Read or generate, check, write, then say what is in it."""
        from sage_ns.motion.bank import DrivingBank
        from sage_ns.rig import FlameParams, find_head_model, load_head_model

        if self.out.suffix != ".npz":
            raise CaptureError(f"{self.out}: a bank is an npz file; give a name that ends in .npz")
        if self.out.exists() and not self.overwrite:
            raise CaptureError(f"{self.out} exists; give another name, or --overwrite to replace it")
        model = load_head_model(find_head_model(self.head_model, self.data))
        canonical = FlameParams.neutral(model).motion_vector()[0]
        if self.sources:
            bank = DrivingBank.from_sources(self.sources, canonical, model, self.split)
        else:
            bank = DrivingBank.generated(canonical, model, self.seed)
        if self.data is not None:
            bank.refuse_test_timesteps(*_motion_of(self.data, model))
        bank.save(self.out)
        console.print(f"bank        {escape(bank.summary())}", soft_wrap=True)
        for name, (low, high) in bank.ranges().items():
            console.print(f"  {name:<13} {low:+.2f} .. {high:+.2f}{'' if name == 'expression' else ' rad'}")
        for note in bank.motion.notes:
            console.print(f"[yellow]{escape(note)}", soft_wrap=True)
        console.print(f"written     {escape(str(self.out))}", soft_wrap=True)


@dataclass
class Insta:
    """Write an INSTA data set as a capture: VHAP's layout, OpenGL cameras, pictures on white with masks.

    INSTA's own meshes cannot drive a FLAME rig, so the tracker's checkpoints are needed, too.
    """

    insta_dir: Annotated[Path, tyro.conf.Positional]
    """INSTA's folder: images/ and transforms_train.json, transforms_test.json"""
    checkpoints: Annotated[Path, tyro.conf.Positional]
    """metrical-tracker's <actor>/checkpoint with the .frame files that INSTA's folder was made from"""
    out: Annotated[Path, tyro.conf.Positional]
    """folder to write"""
    overwrite: bool = False
    """replace an existing folder"""

    def run(self, console: Console) -> None:
        """Convert, then say what is there and what to do next."""
        from sage_ns.capture.insta import convert_insta

        converted = convert_insta(self.insta_dir, self.checkpoints, self.out, self.overwrite)
        _show(console, converted.folder)
        for note in converted.notes:
            console.print(f"[yellow]{escape(note)}", soft_wrap=True)
        console.print("tracked with FLAME 2020: put generic_model.pkl (with FLAME_masks.pkl) into the folder")


def _motion_of(folder: Path, model: HeadModel) -> tuple[MotionSource, Tensor]:
    """A capture's motion, and the timestep ids of its test split."""
    import torch

    from sage_ns.capture import read_capture
    from sage_ns.motion.files import load_motion
    from sage_ns.motion.source import MotionSource

    capture = read_capture(folder)
    motion = load_motion(folder, model)
    first = int((motion.timesteps == capture.train_multiframe[0].timestep).nonzero()[0])
    tested = torch.tensor(sorted({frame.timestep for frame in capture.test}), dtype=torch.int64)
    return MotionSource(motion.params, motion.timesteps, first), tested


def _show(console: Console, folder: Path) -> Capture:
    from rich.table import Table

    from sage_ns.capture import read_capture

    capture = read_capture(folder)
    table = Table(title=escape(str(folder)), title_justify="left")
    for name in ("split", "pictures", "timesteps", "cameras"):
        table.add_column(name)
    splits = (
        ("train", capture.train),
        ("train, all moments", capture.train_multiframe),
        ("val (held-out camera)", capture.val),
        ("test (held-out moments)", capture.test),
    )
    for name, frames in splits:
        cameras = sorted({frame.camera_index for frame in frames})
        table.add_row(name, str(len(frames)), _ranges([frame.timestep for frame in frames]), _ranges(cameras))
    console.print(table)
    _print_details(console, capture)
    return capture


def _print_details(console: Console, capture: Capture) -> None:
    from sage_ns.rig import FlameParams, find_head_model, load_head_model

    sizes = sorted({(f.width, f.height) for f in (*capture.train_multiframe, *capture.val, *capture.test)})
    console.print("pictures    " + ", ".join(f"{w} x {h}" for w, h in sizes))
    masks = all(frame.mask_path is not None for frame in capture.train_multiframe)
    console.print(f"masks       {'yes' if masks else 'not for every picture'}")
    first = capture.train_multiframe[0]
    params = FlameParams.load(first.flame_param_path)
    try:
        model = load_head_model(find_head_model(capture_dir=capture.folder))
    except SageError as error:
        console.print(f"[yellow]head model  {escape(str(error))}", soft_wrap=True)
        return
    params.check_fits(model)
    named = sum(not name.startswith("unused") for name in model.expression_names)
    expressions = f"{named} named expressions" if named else f"{model.num_expression} expression directions"
    console.print(f"head model  {escape(model.name)}: {model.num_vertices} vertices, {expressions}")


def _ranges(numbers: list[int]) -> str:
    """Numbers as ranges: 0-3, 5."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in parts) or "-"


def _write_sheet(capture: Capture, path: Path) -> None:
    """Training views of the first moment (and the held-out ones), in rows."""
    from sage_ns.video.contact_sheet import SheetRow, write_contact_sheet

    moment = capture.train[0].timestep if capture.train else capture.train_multiframe[0].timestep
    frames = [f for f in (*capture.train, *capture.val) if f.timestep == moment]
    frames = sorted(frames, key=lambda frame: frame.camera_index)
    rows = []
    for start in range(0, len(frames), _COLUMNS):
        row = frames[start : start + _COLUMNS]
        held_out = {frame.camera_index for frame in capture.val if frame.timestep == moment}
        names = [f"{f.camera_index}{' (held out)' if f.camera_index in held_out else ''}" for f in row]
        title = f"timestep {moment}, cameras " + ", ".join(names)
        rows.append(SheetRow(title, _padded([_picture(frame) for frame in row])))
    write_contact_sheet(path, ("",) * _COLUMNS, rows)


def _picture(frame: Frame):
    import numpy as np
    import torch
    from PIL import Image

    with Image.open(frame.image_path) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0)


def _padded(pictures: list) -> list:
    import torch

    blank = torch.ones_like(pictures[0])
    return pictures + [blank] * (_COLUMNS - len(pictures))


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-capture``."""
    console = Console()
    command = tyro.extras.subcommand_cli_from_dict(
        {"synthesize": Synthesize, "inspect": Inspect, "bank": Bank, "insta": Insta},
        args=arguments,
        description=__doc__,
    )
    with explained(console):
        command.run(console)
