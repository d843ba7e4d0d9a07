"""COLMAP in a process of its own: cameras from pictures of one moment.

``python -m sage_ns.tracking.cameras.colmap_process FOLDER PARENT`` reads FOLDER/images/SIZE/*.png (the pictures of each
inner folder share one camera), FOLDER/masks/SIZE/NAME.png.png and FOLDER/settings.json, and writes a model to
FOLDER/found. pycolmap and OpenCV bring different builds of the same libraries, which abort when both are loaded.

Faces have few corners: SIFT keeps weak ones, and matches are searched for again along the epipolar lines.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from sage_ns.system.processes import die_with

_WEAKEST_CORNER, _STRONGEST_EDGE = 0.0015, 20.0
"""SIFT's thresholds; COLMAP's own are 0.0067 and 10, at which a face of 350 px has 320 features."""
_LEAST_MATCHES, _LEAST_FIRST_MATCHES, _LEAST_SEEN_POINTS = 10, 40, 15
"""Of a pair of pictures, of the first pair, and of a picture that joins; COLMAP's own are 15, 100 and 30."""
_MOST_ERROR = 2.0
"""Pixels of a point in a picture."""
FOUND = "found"
"""Folder of the model."""


def main(folder: Path) -> None:
    """Find the cameras of the pictures in a folder."""
    pycolmap = _pycolmap()
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    pycolmap.set_random_seed(0)
    database, images = folder / "database.db", folder / "images"
    _find_features(database, images, folder / "masks")
    _state_focal_lengths(database, settings["focal"])
    _match(database)
    find_poses(database, images, folder, settings["refine_focal"])


def find_poses(database: Path, images: Path, folder: Path, refine_focal: bool) -> None:
    """Find cameras from matches and write the model with the most of them to ``folder/found``.

    Args:
        database: with features and matches.
        images: folder of the pictures.
        folder: to write to.
        refine_focal: whether focal lengths are searched for.
    """
    pycolmap = _pycolmap()
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size, options.min_num_matches = 3, _LEAST_MATCHES
    options.mapper.init_min_num_inliers = _LEAST_FIRST_MATCHES
    options.mapper.abs_pose_min_num_inliers = _LEAST_SEEN_POINTS
    options.mapper.abs_pose_max_error = 3 * _MOST_ERROR
    options.mapper.filter_max_reproj_error = _MOST_ERROR
    options.triangulation.merge_max_reproj_error = _MOST_ERROR
    options.triangulation.complete_max_reproj_error = _MOST_ERROR
    options.ba_refine_focal_length = refine_focal
    (folder / "sparse").mkdir()
    models = pycolmap.incremental_mapping(database, images, folder / "sparse", options=options)
    if models:
        (folder / FOUND).mkdir()
        max(models.values(), key=lambda model: model.num_reg_images()).write(folder / FOUND)


def _find_features(database: Path, images: Path, masks: Path) -> None:
    pycolmap = _pycolmap()
    reading = pycolmap.ImageReaderOptions()
    reading.mask_path = str(masks)
    # A lens would be found in place of the focal length, from which the search begins too low.
    reading.camera_model = "SIMPLE_PINHOLE"
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.use_gpu = False
    extraction.sift.peak_threshold, extraction.sift.edge_threshold = _WEAKEST_CORNER, _STRONGEST_EDGE
    pycolmap.extract_features(
        database,
        images,
        camera_mode=pycolmap.CameraMode.PER_FOLDER,
        reader_options=reading,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )


def _match(database: Path) -> None:
    pycolmap = _pycolmap()
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu, matching.guided_matching = False, True
    geometry = pycolmap.TwoViewGeometryOptions()
    geometry.min_num_inliers = _LEAST_MATCHES
    pycolmap.match_exhaustive(
        database, matching_options=matching, verification_options=geometry, device=pycolmap.Device.cpu
    )


def _state_focal_lengths(database: Path, focal: dict[str, float]) -> None:
    """Set the focal length [pixels] of the camera of each inner folder."""
    pycolmap = _pycolmap()
    opened = pycolmap.Database.open(database)
    for image in opened.read_all_images():
        camera = opened.read_camera(image.camera_id)
        size = f"{camera.width}x{camera.height}"
        if size in focal:
            camera.params = [focal[size], *list(camera.params)[1:]]
            camera.has_prior_focal_length = True
            opened.update_camera(camera)
    opened.close()


def _pycolmap() -> Any:
    """Return the package, which is an extra."""
    return importlib.import_module("pycolmap")


if __name__ == "__main__":
    die_with(int(sys.argv[2]))
    main(Path(sys.argv[1]))
