"""What sage-export and the geometry benchmark make of a trained avatar, real field and all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from sage_ns.avatar.avatar import Avatar
from sage_ns.bench import geometry
from sage_ns.cli.export import main
from sage_ns.plugin.runs import load_model
from tests.integration.conftest import Run


def test_meshes_of_a_run_whose_capture_is_gone(
    capture_gone: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--load-config", str(capture_gone.config), "--output-dir", str(tmp_path), "--cell-size", "0.008"]
    main(["mesh", *flags, "--timesteps", "1"])
    canonical, posed = (trimesh.load(tmp_path / name) for name in ("canonical.ply", "posed_00001.ply"))
    rig = load_model(capture_gone.config).rig.head_model.v_template
    extent = (rig.amax(dim=0) - rig.amin(dim=0)).numpy()
    assert isinstance(canonical, trimesh.Trimesh) and isinstance(posed, trimesh.Trimesh)
    assert (np.abs(canonical.extents - extent) < 0.3 * extent).all()
    assert canonical.volume > 0
    assert len(canonical.vertices) == len(posed.vertices)
    assert "canonical.ply" in capsys.readouterr().out


def test_geometry_against_the_rig_itself(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "NUM_SAMPLES", 2000)
    monkeypatch.setattr(geometry, "FUSION_CELL", 0.004)
    model = load_model(tiny_run.config)
    head_model = model.rig.head_model
    truth = tmp_path / "surface.npz"
    np.savez(
        truth,
        timesteps=np.array([0]),
        vertices=model.rig.vertices(model.motion.tracked)[None].cpu().numpy(),
        triangles=head_model.triangles.cpu().numpy(),
        face=head_model.regions.triangle_mask("face", head_model.triangles).cpu().numpy(),
    )
    geometry.main(tiny_run.config, truth, cell_size=0.008, json_path=tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["distances"]["tracked mesh"]["truth_to_mesh_mean"] < 1e-3
    assert figures["normals"]["tracked mesh"]["mean_deg"] < 0.1
    # Thirty steps show no tracking error: there is no refined mesh.
    assert set(figures["distances"]) == {"tracked mesh", "surfels, depth fused", "signed distance field"}
    assert figures["distances"]["signed distance field"]["truth_to_mesh_mean"] < 30


def test_the_avatar_alone_draws_the_same_pixels(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "avatar.npz"
    flags = ["avatar", str(file), "--load-config", str(tiny_run.config)]
    main(flags)
    assert "sage-view" in capsys.readouterr().out
    alone, trained = Avatar.load(file), load_model(tiny_run.config).avatar
    camera, motion = trained.front_camera(32, 40), trained.motion.motion[1]
    assert torch.equal(alone.render(motion, camera), trained.render(motion, camera).cpu())
    with pytest.raises(SystemExit):
        main(flags)
    assert "exists already" in capsys.readouterr().out
