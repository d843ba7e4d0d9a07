"""Effect of surfel correction on moments that the avatar was not trained on, for each source of the correction.

    python -m sage_ns.bench.correction --load-config CONFIG [--gammas 0 0.5] [--json-path results.json]

A trained avatar is rendered at the moments and cameras of its capture's test split: without correction, and with each
source of the correction (see `sage_ns.avatar.correction`) and every given gamma of Eq. 16. Nothing is trained.
PSNR [dB] and SSIM are means over the pictures: over all pixels, over the face, and over the face in the quarter of the
pictures whose motion is farthest from the canonical motion.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sage_ns.avatar.correction import CorrectionSource, SurfelCorrection
from sage_ns.avatar.interior import interior_shade
from sage_ns.errors import SageError
from sage_ns.image.metrics import ImageMetrics
from sage_ns.raster import PinholeCamera, rasterize
from sage_ns.raster.supersampling import downsampled, enlarged
from sage_ns.system.files import write_json
from sage_ns.system.progress import tracked

if TYPE_CHECKING:
    from sage_ns.plugin.model import SageModel
    from sage_ns.plugin.pipeline import SagePipeline


@dataclass(frozen=True)
class Figures:
    """Means over the pictures of the test split."""

    psnr: float
    ssim: float
    psnr_face: float
    ssim_face: float
    psnr_face_strongest: float
    ssim_face_strongest: float


def corrections(model: SageModel, gammas: tuple[float, ...]) -> dict[str, SurfelCorrection | None]:
    """Return all compared corrections by name; None for no correction."""
    canonical = model.motion.canonical()
    means = model.learner.surfels.centers(model.learner.frames(canonical)).detach()
    surface = model.rig.head_model, model.rig.vertices(canonical)
    found: dict[str, SurfelCorrection | None] = {"none": None}
    for source in get_args(CorrectionSource):
        for gamma in gammas:
            rule = source, gamma, model.avatar.displacement
            correction = SurfelCorrection(means, model.learner.surfels.triangle, *surface, *rule)
            found[f"{source}, gamma {gamma:g}"] = correction
    return found


def picture(
    model: SageModel,
    camera: PinholeCamera,
    motion: Float[Tensor, "num_coefficients"],
    correction: SurfelCorrection | None,
) -> Float[Tensor, "h w 3"]:
    """Render the avatar over its background, with or without correction."""
    frames = model.learner.frames(motion)
    shade = interior_shade(model.avatar.interior, frames, camera.center) if model.config.dark_interior else None
    surfels = model.learner.surfels.place(frames, camera.center, None if shade is None else shade[:, None])
    if correction is not None:
        surfels = correction.apply(surfels, correction.at(model.rig.vertices(motion), frames))
    factor = model.config.supersampling
    buffers = downsampled(rasterize(surfels, enlarged(camera, factor)), factor)
    return buffers.composite(model.background).clamp(0.0, 1.0)


@torch.no_grad()
def measure(pipeline: SagePipeline, gammas: tuple[float, ...]) -> dict[str, Figures]:
    """Return the figures by name of the correction.

    Raises:
        SageError: The capture has no test pictures, or none of them shows the rig's face region.
    """
    model = pipeline.model
    pairs = pipeline.datamanager.evaluation_pairs("test")
    if not pairs:
        raise SageError("the capture has no test pictures: give an avatar of a capture with a test split")
    model.learner.bake()
    if len(model.avatar.displacement) == 0:  # only a training with `controlled` measures it
        model.avatar.measure_displacement(pipeline.driving_bank().motion.vectors)
    compared, metrics = corrections(model, gammas), ImageMetrics(model.config.lpips_weights)
    canonical = model.motion.canonical()
    strengths, rows = [], {name: [] for name in compared}
    with tracked(pairs, "Comparing corrections") as shown:
        for camera, batch in shown:
            truth = batch["image"].to(model.device)[..., :3]
            motion, face = model.motion.at(camera.to(model.device)), model.face_pixels(camera)
            if face is None or not bool(face.any()):
                continue
            # Global rotation and translation do not deform the head.
            strengths.append(float((motion - canonical)[6:].square().sum()))
            for name, correction in compared.items():
                drawn = picture(model, model.pinhole(camera), motion, correction)
                values = metrics(drawn, truth, face)
                rows[name].append([values[key] for key in ("psnr", "ssim", "psnr_face", "ssim_face")])
    if not strengths:
        raise SageError("no test picture shows the rig's face region: the figures of the face cannot be computed")
    strongest = torch.tensor(strengths).argsort(descending=True)[: -(-len(strengths) // 4)]
    figures = {}
    for name, values in rows.items():
        table = torch.tensor(values)
        figures[name] = Figures(*table.mean(dim=0).tolist(), *table[strongest, 2:].mean(dim=0).tolist())
    return figures


def report(console: Console, figures: dict[str, Figures]) -> None:
    """Print the table."""
    table = Table(title="Unseen moments, PSNR in dB / SSIM", title_justify="left")
    for heading in ("correction", "all pixels", "face", "face, strongest quarter"):
        table.add_column(heading)
    for name, each in figures.items():
        numbers = list(asdict(each).values())
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        table.add_row(name, *(f"{psnr:.3f} / {ssim:.4f}" for psnr, ssim in pairs))
    console.print(table)


def main(load_config: Path, gammas: tuple[float, ...] = (0.0, 0.5), json_path: Path | None = None) -> None:
    """Compare surfel corrections of an avatar on unseen moments, and print the figures.

    Args:
        load_config: config.yml of a trained avatar.
        gammas: values of gamma in Eq. 16 to compare; 0 leaves curvature out.
        json_path: JSON file for the figures.
    """
    from sage_ns.plugin.run_setup import load_run

    pipeline = load_run(load_config, "test").pipeline
    figures = measure(pipeline, gammas)
    report(Console(width=120), figures)
    if json_path is not None:
        plain = {"config": str(load_config)} | {name: asdict(each) for name, each in figures.items()}
        write_json(json_path, plain)


if __name__ == "__main__":
    tyro.cli(main)
