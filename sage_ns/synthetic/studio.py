"""Create a synthetic capture: a person made by code, rendered by virtual cameras, in VHAP's layout.

It needs no GPU, no licence and no download. As in a real capture, the parameters do not explain the pictures exactly:
the person has finer geometry than the rig, creases and hair, and the parameters have a small tracking error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.capture.writer import refuse_used_folder
from sage_ns.errors import CaptureError
from sage_ns.rig import HEAD_MODEL_FILE, HeadModel, pose_vertices, save_head_model
from sage_ns.synthetic.beard import grow_beard
from sage_ns.synthetic.brows import grow_brows_and_lashes
from sage_ns.synthetic.cross import CrossTruth
from sage_ns.synthetic.files import write_descriptions
from sage_ns.synthetic.glasses import make_glasses
from sage_ns.synthetic.hair import grow_hair
from sage_ns.synthetic.head import builtin_head, builtin_identity
from sage_ns.synthetic.motion import Curves, mistracked, perform
from sage_ns.synthetic.mouth import with_mouth_interior
from sage_ns.synthetic.person_look import HairColor, HairStyle, PersonLook, plain_look
from sage_ns.synthetic.random_look import MOST_PEOPLE, identity_of, random_look
from sage_ns.synthetic.regimes import FRONT_CAMERA, REGIMES, Filmed, Filming
from sage_ns.synthetic.render import Person, Quality, StudioCamera
from sage_ns.synthetic.skin import paint
from sage_ns.synthetic.true_skin import TrueSkin
from sage_ns.synthetic.work import Job, film
from sage_ns.system.files import whole_folder

_DISTANCE = 1.075  # metres from the head
_AIM = np.array([0.0, 0.004, -0.012])
_FOCAL_PER_HEIGHT = 2.557
# azimuth and elevation (degrees) of a studio's sixteen cameras, from the subject's right to its left; 8 is the front
_ARC = (
    (-90, 4), (-65, 20), (-62, -10), (-45, 4), (-32, 20), (-30, -12), (-16, 4), (0, 25),
    (0, 0), (15, 4), (30, -12), (32, 21), (45, 4), (62, -10), (65, 20), (90, 4),
)  # fmt: skip
_AROUND = ((-125, 8), (125, 8), (-155, 25), (155, -4), (180, 8), (0, 62))
"""Cameras behind the head and above it that see a prior's moment, after those of the arc."""


@dataclass(frozen=True)
class SyntheticCapture:
    """Settings of a synthetic capture. The same settings give the same bytes."""

    regime: Filmed = "multiview"
    """multiview: many cameras see a few moments; monocular: one camera that stands still sees a head that turns, in
    light that does not turn with it; oneshot: one picture from the front; moment: one neutral moment from all around,
    for priors"""
    seed: int = 0
    """number of the synthetic person; with --person, of the motion, the cameras and the errors of tracking"""
    person: int | None = None
    """person of the generator of varied people (`sage-capture people`) by number; default: the plain person of the
    seed. It has hair of its own"""
    glasses: bool = False
    """with --person: one person in three wears glasses"""
    spread: float = 1.25
    """with --person: standard deviation of the shape of faces, as a multiple of the plain people's"""
    width: int = 275
    """picture width in pixels"""
    height: int = 401
    """picture height in pixels"""
    scale: float = 1.0
    """factor on width and height"""
    num_cameras: int = 16
    """cameras on the frontal arc (4 to 16), always with camera 8, the front camera. multiview and moment hold it out
    for validation; monocular and oneshot train on it and hold out the others. moment adds six behind and above"""
    hair: HairStyle = "short"
    """style of the head hair"""
    hair_color: HairColor = "own"
    """colour of hair and brows; own: the person's natural colour, darker for long hair"""
    num_train_timesteps: int = 4
    """multiview: training moments: the neutral one, then others for multi-frame training"""
    num_turning_timesteps: int = 60
    """monocular: training moments: the frontal one, then the turn of the head to both sides"""
    turn: float = 60.0
    """monocular: largest turn of the head to each side in degrees; nods reach a third of it"""
    motion_blur: float = 0.0
    """monocular: degrees that the head turns while each third training picture is exposed; 0 = all are sharp"""
    exposure_drift: float = 0.0
    """monocular: stops that the exposure of the training pictures drifts up or down, as a phone's does; 0 = fixed"""
    num_test_timesteps: int = 12
    """moments of the held-out sequence, seen by four cameras (monocular and oneshot: by the front camera and two
    at 45 degrees)"""
    num_driver_timesteps: int = 60
    """moments of the driving motion (no pictures); 0 leaves it out"""
    num_cross_timesteps: int = 0
    """moments of the folder cross/: this person with the expressions of another one, and that one's tracked parameters
    (the truth of sage-bench --suite cross); 0 leaves the folder out"""
    true_surfaces: Literal["canonical", "all"] = "canonical"
    """moments whose true surface is written; all = every moment (for sage-bench --suite dynamic)"""
    supersampling: int = 3
    """rays per pixel along each side"""
    tracking_error: float = 1.0
    """size of the error in the written parameters; 1 is about a millimetre, 0 writes the true parameters"""
    workers: int | None = None
    """number of processes that render; 1 renders in this process; None uses one per core"""
    overwrite: bool = False
    """replace an existing folder"""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures in pixels."""
        return max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale))

    def check(self) -> None:
        """Check that every setting is in its range.

        Raises:
            CaptureError: A setting is out of its range; the message names the setting, its value and the range.
        """
        limits: tuple[tuple[str, float, float, float], ...] = (
            ("num_cameras", self.num_cameras, 4, len(_ARC)),
            ("num_train_timesteps", self.num_train_timesteps, 1, 1000),
            ("num_turning_timesteps", self.num_turning_timesteps, 1, 1000),
            ("turn", self.turn, 0.0, 90.0),
            ("motion_blur", self.motion_blur, 0.0, 20.0),
            ("exposure_drift", self.exposure_drift, 0.0, 3.0),
            ("num_test_timesteps", self.num_test_timesteps, 1, 1000),
            ("num_driver_timesteps", self.num_driver_timesteps, 0, 100000),
            ("num_cross_timesteps", self.num_cross_timesteps, 0, 1000),
            ("supersampling", self.supersampling, 1, 8),
            ("tracking_error", self.tracking_error, 0.0, 20.0),
            ("picture width", self.size[0], 16, 4096),
            ("picture height", self.size[1], 16, 4096),
            ("seed", self.seed, 0, 2**31),
            ("person", 0 if self.person is None else self.person, 0, MOST_PEOPLE),
            ("spread", self.spread, 0.0, 2.0),
            ("workers", 1 if self.workers is None else self.workers, 1, 1024),
        )
        for name, found, low, high in limits:
            if not low <= found <= high:
                raise CaptureError(f"synthetic capture: '{name}' is {found}; give something from {low} to {high}")
        plain = (self.hair, self.hair_color) == ("short", "own")
        if self.person is not None and not plain:
            raise CaptureError(f"synthetic capture: person {self.person} has hair of their own; leave 'hair' out")


def synthesize_capture(
    out: Path | str, settings: SyntheticCapture | None = None, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write a capture of a synthetic person into the folder `out`.

    Args:
        out: Folder to create; must be missing or empty unless `settings.overwrite`.
        settings: Settings of the capture; None uses the defaults.
        progress: Called with (pictures done, pictures in total); None shows a progress bar.

    Returns:
        `out`, which is then complete. If anything fails, the function leaves no files there.

    Raises:
        CaptureError: `out` is in use, or a setting is out of its range.
    """
    settings = settings or SyntheticCapture()
    settings.check()
    out = Path(out).expanduser().absolute()
    refuse_used_folder(out, settings.overwrite)
    if progress is None:
        from sage_ns.system.progress import progress_bar

        with progress_bar(f"synthesising {out.name}") as bar:
            return synthesize_capture(out, settings, bar)
    with whole_folder(out) as folder:
        fill_capture(folder, settings, progress)
    return out


def cameras(settings: SyntheticCapture) -> dict[int, StudioCamera]:
    """Return the cameras by index; fewer than sixteen on the arc are spread over it and include the front camera."""
    width, height = settings.size
    if settings.num_cameras == len(_ARC):
        chosen = list(range(len(_ARC)))
    else:
        spread = np.round(np.linspace(0, len(_ARC) - 1, settings.num_cameras)).astype(int)
        spread[np.argmin(np.abs(spread - FRONT_CAMERA))] = FRONT_CAMERA
        chosen = sorted({int(index) for index in spread})
    places = _ARC + _AROUND if settings.regime == "moment" else _ARC
    chosen += range(len(_ARC), len(places))
    rng = np.random.default_rng([settings.seed, 900])
    jitter = rng.normal(size=(len(places), 3)) * (1.2, 1.0, 0.006)
    placed = {}
    for index in chosen:
        azimuth, elevation = np.radians(np.asarray(places[index]) + jitter[index, :2])
        distance = _DISTANCE + jitter[index, 2]
        back = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
        right = np.cross([0.0, 1.0, 0.0], back)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :4] = np.stack([right, np.cross(back, right), back, _AIM + distance * back], axis=-1)
        placed[index] = StudioCamera(pose, _FOCAL_PER_HEIGHT * height, width, height)
    return placed


def look_of_settings(settings: SyntheticCapture) -> PersonLook:
    """Return what the capture's person looks like: the person of the generator, or the plain one of the seed."""
    if settings.person is None:
        return plain_look(settings.seed, settings.hair, settings.hair_color)
    return random_look(settings.person, settings.glasses, settings.spread)


def create_person(settings: SyntheticCapture) -> tuple[Person, HeadModel, Float[np.ndarray, "num_shape"]]:
    """Create the person, the rig that poses it (the built-in head with a mouth interior), and its identity."""
    look, height = look_of_settings(settings), settings.size[1]
    model = builtin_head()
    rig, interior = with_mouth_interior(model)
    shape = identity_of(look)
    is_skin = np.zeros((rig.num_vertices, 1))
    is_skin[: model.num_vertices] = 1.0
    is_skin[model.regions.vertices("eyes").numpy()] = 0.0
    skin = TrueSkin.of(rig, 2 if height >= 160 else 1, look, is_skin)
    share = float(np.clip(height / 401.0, 0.15, 2.0))
    strands = (
        *grow_hair(model, shape, look, share),
        grow_brows_and_lashes(model, shape, look),
        *grow_beard(model, shape, look, share),
        *make_glasses(model, shape, look),
    )
    person = Person(
        skin=skin,
        material=paint(rig, skin, interior, look),
        strands=strands,
        rig_triangles=rig.triangles.numpy(),
        softness=0.1 + 0.9 * skin.refinement.fine(is_skin)[:, 0],
        studio=look.room,
        quality=_quality(settings),
    )
    return person, rig, shape


def _quality(settings: SyntheticCapture) -> Quality:
    if settings.person is not None and settings.size[1] >= 160:
        return Quality(settings.supersampling, ambient_rays=12, shadow_rays=4, hair_rays=5)
    if settings.size[1] >= 160:
        return Quality(supersampling=settings.supersampling)
    return Quality(supersampling=settings.supersampling, ambient_rays=8, shadow_rays=3, hair_rays=3)


def fill_capture(folder: Path, settings: SyntheticCapture, progress: Callable[[int, int], None]) -> None:
    """Write a capture into an empty folder.

    Args:
        folder: to write into.
        settings: of the capture, checked.
        progress: called with (pictures done, pictures in total).
    """
    person, rig, shape = create_person(settings)
    model = builtin_head()
    arc = cameras(settings)
    filming = REGIMES[settings.regime](settings, model, arc)
    true = filming.motion
    true_params = true.params(shape)
    jobs = _jobs(filming, rig, shape, arc)
    _write_motion(folder, settings, model, true, shape)
    cross = CrossTruth.of(settings, person, rig, shape, arc) if settings.num_cross_timesteps else None
    pictures = sum(len(job.cameras) for job in jobs)
    total = pictures + (0 if cross is None else cross.num_pictures)
    surfaces = film(folder, person, jobs, settings.workers, lambda done, _: progress(done, total))
    write_descriptions(folder, settings, arc, filming, model, rig, true_params, surfaces, person.skin.refinement)
    save_head_model(model, folder / HEAD_MODEL_FILE)
    if cross is not None:
        cross.write(folder / "cross", settings, lambda done, _: progress(pictures + done, total))


def _jobs(
    filming: Filming, rig: HeadModel, shape: Float[np.ndarray, "num_shape"], arc: dict[int, StudioCamera]
) -> list[Job]:
    """Return what to render at every moment."""

    @torch.no_grad()
    def pose(motion: Curves) -> Float[np.ndarray, "t num_vertices 3"]:
        return pose_vertices(rig, motion.params(shape)).numpy()

    posed = pose(filming.motion)
    smears = {t: tuple(pose(instant.at(t))[0] for instant in instants) for t, instants in filming.smear.items()}
    return [
        Job(
            t, posed[t], filming.motion.expr[t], {index: arc[index] for index in seen_by},
            smears.get(t, ()), float(filming.gains[t]),
        )
        for t, seen_by in enumerate(filming.seen_by)
    ]  # fmt: skip


def _write_motion(
    folder: Path,
    settings: SyntheticCapture,
    model: HeadModel,
    true: Curves,
    shape: Float[np.ndarray, "num_shape"],
) -> None:
    """Write the parameters: motion and identity with simulated tracking errors, the driver's without errors."""
    rng = np.random.default_rng([settings.seed, 901])
    tracked_shape = shape.copy()
    used = shape != 0
    tracked_shape[used] += (0.07 * settings.tracking_error * rng.normal(size=used.sum())).astype(np.float32)
    zero_offset = torch.zeros(model.num_vertices, 3)
    written = replace(
        mistracked(true, settings.tracking_error, settings.seed).params(tracked_shape), static_offset=zero_offset
    )
    written.save_vhap(folder / "flame_param")
    canonical = Curves(*(0.0 * getattr(true, name)[:1] for name in Curves.__dataclass_fields__))
    canonical.jaw_pose[0, 0] = 0.3
    replace(canonical.params(tracked_shape), static_offset=zero_offset).save_vhap(folder / "canonical_flame_param.npz")
    if settings.num_driver_timesteps == 0:
        return
    other = builtin_identity(settings.seed + 1001).numpy()
    driver = perform(model, "driver", settings.num_driver_timesteps, settings.seed + 1000).params(other)
    driver.save_vhap(folder / "driver" / "flame_param")
    driver.save_vhap(folder / "driver" / "sequence.npz")
