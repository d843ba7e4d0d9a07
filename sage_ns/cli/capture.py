"""``sage-capture``: make captures of synthetic people, inspect or convert captures, gather motion, make head models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.cli.notes import print_notes
from sage_ns.cli.options import MOTION_FILES
from sage_ns.cli.people import People
from sage_ns.cli.pixel3dmm import Pixel3dmm
from sage_ns.cli.rig import Rig
from sage_ns.errors import CaptureError
from sage_ns.synthetic import SyntheticCapture, synthesize_capture
from sage_ns.system.console import escape

if TYPE_CHECKING:
    from sage_ns.capture import Capture


@dataclass
class Synthesize:
    """Make a capture of a synthetic person: pictures, masks, tracked parameters and head model."""

    out: Annotated[Path, tyro.conf.Positional]
    """folder to write"""
    settings: Annotated[SyntheticCapture, tyro.conf.arg(name="")] = field(default_factory=SyntheticCapture)
    """settings of the synthetic capture"""

    def run(self, console: Console) -> None:
        """Synthesise the capture, print its summary and the next command."""
        out = synthesize_capture(self.out, self.settings)
        _show(console, out)
        regime = self.settings.regime
        use = "sage-prior learn" if regime == "moment" else f"sage-demo --regime {regime} --data"
        command = f"{use} {escape(str(self.out))}"
        console.print(f"next: [bold]{command}[/bold]", soft_wrap=True)


@dataclass
class Inspect:
    """Check a capture, print a summary, and draw a contact sheet of its training views; or say what an avatar is.

    For a capture of sage-track, the summary has what was found and whether somebody has stated the person's consent.
    """

    capture: Annotated[Path, tyro.conf.Positional]
    """folder of a VHAP export, of sage-track, or of a synthetic capture; or an avatar file (.npz)"""
    head_model: Path | None = None
    """head model file that the capture was tracked with; default: the one found near the capture"""
    background: str = "white"
    """colour that the stored pictures are blended with: a name or #rrggbb"""
    cy_origin: Literal["auto", "top", "bottom"] = "auto"
    """image edge that the transforms measure cy from; auto = as the file states, else bottom"""
    use_masks: bool = True
    """check the soft foreground masks, too"""
    frames: Literal["multi", "rotation"] = "multi"
    """rotation = check the frames of a turning head as sage-monocular does, and print the directions that they show"""
    sheet: Path | None = None
    """image file to write the contact sheet to; default: CAPTURE/contact_sheet.png"""

    def run(self, console: Console) -> None:
        """Make the checks of training for the whole capture, print the summary and write the contact sheet."""
        from sage_ns.capture.checked import CaptureOptions, inspect_capture
        from sage_ns.capture.provenance import read_report, report_lines
        from sage_ns.video.contact_sheet import write_capture_sheet

        if self.capture.suffix == ".npz":
            _show_avatar(console, self.capture)
            return
        options = CaptureOptions(
            self.capture, self.head_model, self.frames, None, 1, self.background, self.cy_origin, self.use_masks
        )
        checked = inspect_capture(options)
        capture = _show(console, self.capture, self.head_model)
        if checked.turns is not None:
            console.print(f"canonical   timestep {checked.splits.canonical_timestep}: {checked.canonical_reason}")
            console.print(f"turn        {checked.turns.summary()}")
            print_notes(console, filter(None, [checked.turns.warning()]))
        print_notes(console, (*checked.notes, *checked.splits.seen_notes()))
        report = read_report(capture.folder)
        _print_lines(console, [] if report is None else report_lines(report))
        sheet = self.sheet or capture.folder / "contact_sheet.png"
        write_capture_sheet(capture, sheet)
        console.print(f"contact sheet  {escape(str(sheet))}", soft_wrap=True)


@dataclass
class Bank:
    """Gather the motion of sequences, or generate motion, as a bank of expressions for the self-supervised phase.

    Training on a capture uses the bank if it is in the capture's folder as driving_bank.npz.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """npz file to write"""
    sources: Annotated[
        tuple[Path, ...], tyro.conf.arg(help=f"any number of: {MOTION_FILES}; default: none, which generates motion")
    ] = ()
    data: Path | None = None
    """capture that the bank is for: its head model is used, and motion from its test moments is refused"""
    head_model: Path | None = None
    """head model file that the motion must fit; default: the one found beside --data or named by SAGE_HEAD_MODEL"""
    split: Literal["all", "train"] = "all"
    """train = leave out test moments of sources that are captures; all = keep them"""
    seed: int = 0
    """random seed of the generator (used only without sources)"""
    overwrite: bool = False
    """replace an existing file"""

    def run(self, console: Console) -> None:
        """Read or generate the motion, check it, write the bank and print its ranges."""
        from sage_ns.motion.bank import DrivingBank
        from sage_ns.motion.captured import captured_motion
        from sage_ns.rig import FlameParams, find_head_model, load_head_model
        from sage_ns.system.files import refuse_existing

        if self.out.suffix != ".npz":
            raise CaptureError(f"{self.out}: a bank is an npz file; give a name that ends in .npz")
        refuse_existing([self.out], self.overwrite)
        model = load_head_model(find_head_model(self.head_model, self.data))
        canonical = FlameParams.neutral(model).motion_vector()[0]
        if self.sources:
            bank = DrivingBank.from_sources(self.sources, canonical, model, self.split)
        else:
            bank = DrivingBank.generated(canonical, model, self.seed)
        if self.data is not None:
            bank.refuse_test_timesteps(*captured_motion(self.data, model))
        bank.save(self.out)
        console.print(f"bank        {escape(bank.summary())}", soft_wrap=True)
        for name, (low, high) in bank.ranges().items():
            console.print(f"  {name:<13} {low:+.2f} .. {high:+.2f}{'' if name == 'expression' else ' rad'}")
        print_notes(console, bank.motion.notes)
        console.print(f"written     {escape(str(self.out))}", soft_wrap=True)


@dataclass
class Insta:
    """Convert an INSTA data set to a capture: VHAP's layout, OpenGL cameras, pictures on white with masks.

    The tracker's checkpoints are needed, too: INSTA's own meshes cannot drive a FLAME rig.
    """

    insta_dir: Annotated[Path, tyro.conf.Positional]
    """INSTA's folder with images/, transforms_train.json and transforms_test.json"""
    checkpoints: Annotated[Path, tyro.conf.Positional]
    """metrical-tracker's folder ACTOR/checkpoint with the .frame files that INSTA's folder was made from"""
    out: Annotated[Path, tyro.conf.Positional]
    """folder to write"""
    eyelids: Path | None = None
    """folder with metrical-tracker's l_eyelid.npy and r_eyelid.npy: keeps blinks, as two more expression directions of
    a head model that is written into OUT; default: blinks are lost"""
    head_model: Path | None = None
    """with --eyelids: FLAME 2020 file that they are added to; default: the one found near OUT or named by
    SAGE_HEAD_MODEL"""
    test_frames: int | None = None
    """use this number of last frames as test frames (the usual number is 350); default: INSTA's own test frames"""
    overwrite: bool = False
    """replace an existing folder"""

    def run(self, console: Console) -> None:
        """Convert the folder, print a summary and what to do next."""
        from sage_ns.capture.insta import convert_insta

        converted = convert_insta(
            *(self.insta_dir, self.checkpoints, self.out, self.overwrite),
            *(self.eyelids, self.head_model, self.test_frames),
        )
        _show(console, converted.folder)
        print_notes(console, converted.notes)
        if self.eyelids is None:
            console.print("metrical-tracker uses FLAME 2020: put generic_model.pkl and FLAME_masks.pkl into the folder")


@dataclass
class Views:
    """Convert pictures of a person that another program has imagined to pseudo views for sage-oneshot.

    Pseudo views are trained on where no real picture shows the head; nothing is ever measured on them.
    """

    program: Annotated[Literal["cap4d", "facelift", "gagavatar", "lam", "portrait4d"], tyro.conf.Positional]
    """program that made the pictures"""
    source: Annotated[Path, tyro.conf.Positional]
    """folder that the program wrote"""
    out: Annotated[Path, tyro.conf.Positional]
    """folder to write; give it as --pipeline.pseudo-views"""
    data: Path
    """capture of the person: its canonical moment is where the head is"""
    head_model: Path | None = None
    """head model file that the capture was tracked with; default: the one found near the capture"""
    canonical_timestep: int | None = None
    """timestep id of the canonical moment; default: as training chooses it"""
    overwrite: bool = False
    """replace an existing folder"""

    def run(self, console: Console) -> None:
        """Convert the folder; print the licence of the program and the next command."""
        from sage_ns.capture.checked import CaptureOptions, load_capture
        from sage_ns.capture.pseudo_formats import CanonicalHead, find_converter
        from sage_ns.capture.pseudo_views import write_bundle
        from sage_ns.capture.writer import refuse_used_folder

        refuse_used_folder(self.out, self.overwrite)
        converter = find_converter(self.program)
        checked = load_capture(CaptureOptions(self.data, self.head_model, canonical_timestep=self.canonical_timestep))
        params = checked.tracking.params[checked.tracking.row_of(checked.splits.canonical_timestep)]
        head = CanonicalHead(checked.head_model, params, checked.splits.train[0])
        views = converter.convert(self.source, head)
        write_bundle(self.out, views, converter.program, converter.licence)
        print_notes(console, [f"licence of {converter.program}: {converter.licence}"])
        console.print(f"written     {len(views)} pseudo views, {escape(str(self.out))}", soft_wrap=True)
        command = f"ns-train sage-oneshot --data {self.data} --pipeline.pseudo-views {self.out}"
        console.print(f"next: [bold]{escape(command)}[/bold]", soft_wrap=True)


def _show(console: Console, folder: Path, head_model: Path | None = None) -> Capture:
    """Print the summary of a capture."""
    from rich.table import Table

    from sage_ns.capture import read_capture
    from sage_ns.capture.summary import summarise

    capture = read_capture(folder)
    summary = summarise(capture, head_model)
    table = Table(title=escape(str(folder)), title_justify="left")
    for name in ("split", "pictures", "timesteps", "cameras"):
        table.add_column(name)
    for split in summary.splits:
        table.add_row(split.name, str(split.num_pictures), split.timesteps, split.cameras)
    console.print(table)
    console.print(f"pictures    {summary.pictures}")
    console.print(f"masks       {summary.masks}")
    if summary.head_model is None:
        print_notes(console, [f"head model  {summary.problem}"])
    else:
        console.print(f"head model  {escape(summary.head_model)}", soft_wrap=True)
    return capture


def _show_avatar(console: Console, path: Path) -> None:
    """Print what an avatar file contains, and where its pictures come from."""
    from sage_ns.avatar.avatar_file import load_avatar
    from sage_ns.capture.provenance import provenance_lines

    avatar = load_avatar(path)
    surfels, motion = avatar.surfels.num_surfels, len(avatar.motion.motion)
    lines = [("avatar", str(path)), ("head model", avatar.rig.head_model.name)]
    lines += [("surfels", f"{surfels:,}"), ("motion", f"{motion} timesteps of its capture")]
    _print_lines(console, [*lines, *provenance_lines(avatar.provenance)])


def _print_lines(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    for title, text in lines:
        console.print(f"{title:<14}{escape(text)}", soft_wrap=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-capture``."""
    console = Console()
    command = tyro.extras.subcommand_cli_from_dict(
        {
            "synthesize": Synthesize,
            "people": People,
            "inspect": Inspect,
            "bank": Bank,
            "insta": Insta,
            "pixel3dmm": Pixel3dmm,
            "views": Views,
            "rig": Rig,
        },
        args=arguments,
        description=__doc__,
    )
    with explained(console):
        command.run(console)
