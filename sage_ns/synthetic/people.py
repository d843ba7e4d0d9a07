"""Captures of the generator's people by number, for priors and benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sage_ns.capture.decode import decode_picture
from sage_ns.capture.writer import picture_name, refuse_used_folder
from sage_ns.errors import CaptureError
from sage_ns.synthetic.random_look import MOST_PEOPLE
from sage_ns.synthetic.regimes import FRONT_CAMERA, Filmed
from sage_ns.synthetic.studio import SyntheticCapture, fill_capture
from sage_ns.system.files import read_json, refuse_unwritable, whole_file, whole_folder, write_json

KEPT_FOR_CHECKS = range(100, 200)
"""Numbers of people that nothing is learned from or tuned on."""
_SETTINGS = "person.json"
_GENERATOR = 2
"""Raise it when a number means another look: people of both looks would otherwise be mixed in silence."""


@dataclass(frozen=True)
class PeopleSettings:
    """Settings of the captures of people. The same settings and number give the same bytes."""

    regime: Filmed = "moment"
    """moment: one neutral moment, mouth slightly open, seen by 22 cameras, as training data of a prior; multiview,
    monocular, oneshot: captures as `sage-capture synthesize` makes them"""
    width: int = 138
    """picture width in pixels"""
    height: int = 200
    """picture height in pixels"""
    scale: float = 1.0
    """factor on width and height"""
    glasses: bool = False
    """one person in three wears glasses"""
    spread: float = 1.25
    """standard deviation of the shape of faces, as a multiple of the plain people's of `sage-capture synthesize`"""
    tracking_error: float = 1.0
    """size of the error in the written parameters; 1 is about a millimetre, 0 writes the true parameters"""
    supersampling: int = 3
    """rays per pixel along each side"""
    workers: int | None = 1
    """number of processes that render the moments of one person"""

    def capture(self, number: int) -> SyntheticCapture:
        """Return the settings of one person's capture."""
        driver: dict[str, Any] = {"num_driver_timesteps": 0} if self.regime == "moment" else {}
        return SyntheticCapture(person=number, seed=number, **asdict(self), **driver)


def write_people(
    out: Path | str,
    first: int,
    last: int,
    settings: PeopleSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write the captures of people `first` to `last` - 1 as `out`/p0000, p0001, ...; skip those that are there.

    Args:
        out: folder of the captures.
        first: number of the first person.
        last: number after the last person.
        settings: of the captures; None uses the defaults.
        progress: called with (people done, people in total); None shows a progress bar.

    Returns:
        The folder of every person. Each is complete or missing, also if the work is stopped.

    Raises:
        CaptureError: a bad range or setting, or a folder of a person that was made with other settings.
        WriteError: this user may not write there.
    """
    settings = settings or PeopleSettings()
    if not 0 <= first < last <= MOST_PEOPLE:
        raise CaptureError(
            f"people: the range is {first} to {last}; give the number of the first person and, above it, the number "
            f"after the last, from 0 to {MOST_PEOPLE}"
        )
    settings.capture(first).check()
    out = Path(out).expanduser().absolute()
    refuse_unwritable(out / "person")
    folders = {number: out / f"p{number:04d}" for number in range(first, last)}
    missing = [number for number, folder in folders.items() if not _is_there(folder, settings, number)]
    if progress is None:
        from sage_ns.system.progress import progress_bar

        with progress_bar(f"synthesising people {first} to {last - 1}") as bar:
            return write_people(out, first, last, settings, bar)
    done = len(folders) - len(missing)
    progress(done, len(folders))
    for number in missing:
        with whole_folder(folders[number]) as folder:
            fill_capture(folder, settings.capture(number), _silent)
            write_json(folder / _SETTINGS, _stored(settings, number))
        done += 1
        progress(done, len(folders))
    return list(folders.values())


def write_people_sheet(folders: Sequence[Path], path: Path, camera: int = FRONT_CAMERA, columns: int = 10) -> None:
    """Write the pictures that one camera took of every person's first moment as one image, row by row.

    Args:
        folders: captures of people, of one picture size.
        path: image file to write.
        camera: index of the camera.
        columns: number of people in a row.

    Raises:
        CaptureError: the pictures differ in size.
    """
    pictures = [
        np.asarray(decode_picture(folder / "images" / picture_name(0, camera)).convert("RGB")) for folder in folders
    ]
    if len({picture.shape for picture in pictures}) > 1:
        raise CaptureError(f"{path}: the pictures of the people differ in size; give people of one size")
    height, width, _ = pictures[0].shape
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * height, columns * width, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + height, left : left + width] = picture
    with whole_file(path) as unfinished:
        Image.fromarray(sheet).save(unfinished, quality=88)


def _silent(done: int, total: int) -> None:
    pass


def _stored(settings: PeopleSettings, number: int) -> dict[str, Any]:
    kept = {name: value for name, value in asdict(settings).items() if name != "workers"}
    return {"person": number, "generator": _GENERATOR, **kept}


def _is_there(folder: Path, settings: PeopleSettings, number: int) -> bool:
    """Return whether a person's capture is there.

    Raises:
        CaptureError: something else is there.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        refuse_used_folder(folder, overwrite=False)
        return False
    found = read_json(folder / _SETTINGS)
    wanted = _stored(settings, number)
    if found == wanted:
        return True
    if not isinstance(found, dict):
        raise CaptureError(f"{folder} exists and is no person of `sage-capture people`; give another folder")
    other = [f"{name} {found.get(name)!r}, not {value!r}" for name, value in wanted.items() if found.get(name) != value]
    raise CaptureError(
        f"{folder} was made with other settings ({', '.join(other)}); give the same settings, or another folder"
    )
