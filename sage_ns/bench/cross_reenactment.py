"""Measured cross-reenactment: an avatar driven by another person, against pictures of its own person.

Real footage has no truth for this: nobody makes exactly another person's expressions. A synthetic person does. The
truth is a folder in the layout of a capture: its pictures show the avatar's person under the controls of the driver,
and its parameters are those of the *driver*, as tracked with the driver's own identity. Its first moment is neutral for
both. ``sage-capture synthesize --num-cross-timesteps 12`` writes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from sage_ns.bench.fingerprint import fingerprint
from sage_ns.capture.flame_table import Tracking, load_tracking, tabulate
from sage_ns.capture.frames import Frame
from sage_ns.capture.images import load_image
from sage_ns.capture.layout import read_capture
from sage_ns.errors import SageError
from sage_ns.motion.transfer import absolute_transfer, relative_transfer
from sage_ns.plugin.dataparser import make_cameras
from sage_ns.plugin.pipeline import SagePipeline
from sage_ns.rig import FlameParams
from sage_ns.system.progress import tracked

TRANSFERS = ("absolute", "relative")
"""Transfers of :mod:`sage_ns.motion.transfer`; both follow the driver's head."""


def truth_folder(capture: Path) -> Path:
    """Return the folder with the truth of a capture: ``CAPTURE/cross``, or ``CAPTURE_cross`` beside it.

    Raises:
        SageError: there is none.
    """
    places = (capture / "cross", capture.with_name(f"{capture.name}_cross"))
    for place in places:
        if place.is_dir():
            return place
    raise SageError(
        f"{capture}: cross-reenactment needs pictures of this person under another person's controls, and neither "
        f"{places[0]} nor {places[1]} exists. A synthetic capture has them with sage-capture synthesize "
        "--num-cross-timesteps 12."
    )


def truth_key(folder: Path) -> str:
    """Return a fingerprint of the truth: cameras, parameters, and names and sizes of the pictures.

    Raises:
        SageError: the folder is not a capture.
    """
    parts: list[Any] = []
    for frame in read_capture(folder).train:
        parts += [frame.image_path.name, frame.image_path.stat().st_size, frame.camera_to_world, frame.fx, frame.fy]
        parts.append(frame.flame_param_path.read_bytes().hex())
    return fingerprint(parts)


@torch.no_grad()
def cross_figures(pipeline: SagePipeline, folder: Path) -> list[dict[str, Any]]:
    """Return figures of every picture of the truth but those of the neutral moment, for each transfer.

    Each entry has "transfer", "timestep", "camera" and "figures": PSNR and SSIM by name, also those of the face.
    Pictures larger than the training pictures are averaged down to their size.

    Args:
        pipeline: a trained avatar.
        folder: see :func:`truth_folder`.

    Raises:
        SageError: the truth cannot be read, or the driver's parameters do not fit the rig.
    """
    model = pipeline.model
    record = pipeline.datamanager.train_dataset.record
    capture = read_capture(folder)
    moments = load_tracking(capture.flame_param_paths, record.head_model)
    neutral = min(moments)
    driver = tabulate(moments, neutral)
    frames = [frame for frame in capture.train if frame.timestep != neutral]
    if not frames:
        raise SageError(f"{folder}: there are no pictures besides those of the neutral timestep {neutral}.")
    factor = max(1, round(frames[0].width / int(pipeline.datamanager.train_dataset.cameras.width[0])))
    found = []
    for transfer in TRANSFERS:
        motion = transferred(driver, model.motion.canonical().cpu(), transfer)
        shots = list(_shots(frames, driver, motion, factor))
        with tracked(shots, f"Measuring {transfer} cross-reenactment") as shown:
            for frame, camera in shown:
                image, mask = load_image(frame.image_path, frame.mask_path, factor, record.background)
                batch = {"image": image.float() / 255, "face": model.face_pixels(camera)}
                if mask is not None:
                    batch["mask"] = mask.float() / 255
                outputs = model.get_outputs_for_camera(camera)
                figures, _ = model.get_image_metrics_and_images(outputs, batch)
                found.append(
                    {
                        "transfer": transfer,
                        "timestep": frame.timestep,
                        "camera": frame.camera_index,
                        "figures": {name: float(value) for name, value in figures.items()},
                    }
                )
    return found


def transferred(
    driver: Tracking, canonical: Float[Tensor, "num_coefficients"], transfer: str
) -> Float[Tensor, "num_timesteps num_coefficients"]:
    """Return the avatar's motion, one row for each of the driver's moments, of which the first is neutral.

    Args:
        driver: the driver's tracked motion.
        canonical: motion vector of the avatar's canonical moment.
        transfer: one of :data:`TRANSFERS`.
    """
    own = FlameParams.from_motion_vector(canonical[None])
    if transfer == "absolute":
        return absolute_transfer(driver.params, own, follow_head=True).motion_vector()
    return relative_transfer(driver.params, driver.params[0], own, follow_head=True).motion_vector()


def _shots(
    frames: list[Frame], driver: Tracking, motion: Float[Tensor, "num_timesteps num_coefficients"], factor: int
) -> Iterator[tuple[Frame, Cameras]]:
    """Return each frame with its camera, under the transferred motion of its moment."""
    cameras = make_cameras(frames, driver, factor)
    rows = driver.rows_of(torch.tensor([frame.timestep for frame in frames], dtype=torch.int64))
    cameras.metadata = {**(cameras.metadata or {}), "motion": motion[rows]}
    for index, frame in enumerate(frames):
        yield frame, cameras[index : index + 1]
