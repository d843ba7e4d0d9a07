"""A made-up folder with the layout of ICT-FaceKit, of a few hundred vertices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sage_ns.rig.facekit.files import Layout

ROWS, COLUMNS = 14, 20
JAW_ANGLE, JAW_AT = 0.4, np.array([0.0, -1.0, 2.0])
NAMES = ["eyeLookUp_L", "jawOpen", "mouthSmile_L"]
EYES = np.array([[3.0, 3.0, 7.0], [-3.0, 3.0, 7.0]])


def grid(rows: int, columns: int, first: int) -> np.ndarray:
    """Quads of a grid whose columns close."""
    at = lambda row, column: first + row * columns + column % columns  # noqa: E731
    return np.array([
        [at(r, c), at(r + 1, c), at(r + 1, c + 1), at(r, c + 1)] for r in range(rows - 1) for c in range(columns)
    ])  # fmt: skip


def ball(center: np.ndarray, radii: np.ndarray, rows: int, columns: int, ends: float = 0.05) -> np.ndarray:
    """Points of an ellipsoid, row by row from top to bottom; columns begin at the front."""
    polar = np.linspace(ends * np.pi, (1 - ends) * np.pi, rows)[:, None]
    around = (2 * np.pi * np.arange(columns) / columns)[None]
    flat = np.stack([np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], -1)
    return center + flat.reshape(-1, 3) * radii


def model() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], Layout]:
    """Vertices, quads, all shapes by file name, and the layout."""
    head = ball(np.zeros(3), np.array([8.0, 13.0, 10.0]), ROWS, COLUMNS)
    teeth = np.array([[x, -4.0 - y, 7.0 + z] for x in (-1, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    balls = [ball(center, np.full(3, 1.2), 7, 8) for center in EYES]
    vertices = np.concatenate([head, teeth, *balls])
    starts = np.cumsum([0, len(head), len(teeth), len(balls[0]), len(balls[1])]).tolist()
    quads = np.concatenate([grid(ROWS, COLUMNS, 0), [[starts[1], starts[1] + 1, starts[1] + 3, starts[1] + 2]],
                            grid(7, 8, starts[2]), grid(7, 8, starts[3])])  # fmt: skip
    layout = Layout(
        len(vertices), (0, ROWS * COLUMNS // 2), (0, starts[1]), (starts[1], starts[2]), (starts[2], starts[3]),
        (starts[3], starts[4]), 2,
    )  # fmt: skip
    c, s = np.cos(JAW_ANGLE), np.sin(JAW_ANGLE)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    rigid = (vertices - JAW_AT) @ turn.T + JAW_AT - vertices
    lower = ((vertices[:, 1] < -2) & (vertices[:, 2] > 3)).astype(float)
    lower[starts[1] : starts[2]] = 1.0
    smile = np.zeros_like(vertices)
    smile[(vertices[:, 0] > 2) & (vertices[:, 2] > 4) & (vertices[:, 1] < 0), 1] = 0.5
    look = np.zeros_like(vertices)
    look[starts[2] : starts[3], 1] = 0.3
    look[(np.abs(vertices - EYES[0]).max(axis=1) < 3), 1] = 0.2
    wider = vertices * [0.05, 0, 0]
    shapes = {
        "generic_neutral_mesh": vertices,
        "identity000": vertices + wider,
        "identity001": vertices + 0.3,
        "eyeLookUp_L": vertices + look,
        "jawOpen": vertices + lower[:, None] * rigid,
        "mouthSmile_L": vertices + smile,
    }
    return vertices, quads, shapes, layout


def write_tiny_facekit(folder: Path) -> Layout:
    """Write the folder; its texture is cut along the last column of the head."""
    vertices, quads, shapes, layout = model()
    folder.mkdir(parents=True)
    uv = np.stack([0.9 * (np.arange(len(vertices)) % COLUMNS) / COLUMNS, np.linspace(0, 1, len(vertices))], axis=1)
    uv_quads = quads.copy()
    cut = (quads < ROWS * COLUMNS) & ((quads % COLUMNS) == 0) & ((quads % COLUMNS).max(axis=1) == COLUMNS - 1)[:, None]
    uv_quads[cut] = len(uv) + quads[cut] // COLUMNS
    uv = np.concatenate([uv, np.stack([np.full(ROWS, 0.9), uv[: ROWS * COLUMNS : COLUMNS, 1]], axis=1)])
    texture = "".join(f"vt {u} {v}\n" for u, v in uv)
    faces = "".join(
        "f " + " ".join(f"{v + 1}/{t + 1}" for v, t in zip(quad, corner, strict=True)) + "\n"
        for quad, corner in zip(quads, uv_quads, strict=True)
    )
    for name, shape in shapes.items():
        points = "".join(f"v {x} {y} {z}\n" for x, y, z in shape)
        (folder / f"{name}.obj").write_text(f"# a comment\n{points}{texture}usemtl M_Face\n{faces}")
    chin = int(np.abs(vertices[: ROWS * COLUMNS] - [0, -11, 4]).sum(axis=1).argmin())
    landmarks = (np.arange(68) * 3 % (ROWS * COLUMNS)).tolist()
    landmarks[8] = chin
    content = {"expressions": NAMES, "idx_to_landmark_verts": landmarks}
    (folder / "vertex_indices.json").write_text(json.dumps(content))
    return layout
