"""Invented results of the benchmark, for tests."""

from __future__ import annotations

from dataclasses import replace

from sage_ns.bench.result import ImageFigures, Result

MADE_BY = {"version": "1", "commit": "abc", "date": "2026-01-02T03:04:05+00:00", "processor": "P", "gpu": None}


def image(timestep: int, camera: int, psnr: float, face: float | None = None) -> ImageFigures:
    figures = {"psnr": psnr, "ssim": psnr / 100}
    return ImageFigures(timestep, camera, figures if face is None else {**figures, "psnr_face": face})


def result(row: str, psnr: float, seed: int = 1, **changes: object) -> Result:
    """Frontal camera 8: ``psnr`` at both moments; camera 3: 2 dB less."""
    made = Result(
        key=f"{row}-{seed}",
        row=row,
        capture="head",
        seed=seed,
        canonical_timestep=0,
        frontal_camera=8,
        num_surfels=1000,
        num_steps=2000,
        seconds={"setup": 1.0, "reconstruct": 10.0},
        peak_bytes=2**30,
        novel_view=(image(0, 8, psnr + 5),),
        reenactment=tuple(image(t, c, psnr - 2 * (c == 3)) for t in (5, 6) for c in (3, 8)),
        made_by={**MADE_BY, "cores": 2},
    )
    return replace(made, **changes)  # type: ignore[arg-type]
