"""Turn Google's files of networks into this package's own: `python -m sage_ns.tracking.convert_task FILE OUT`.

FILE is `face_landmarker.task` or `selfie_segmentation.tflite`; OUT is an npz file. See docs/tracking.md for where the
files come from.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from sage_ns.errors import NetworkError, SageError
from sage_ns.system.files import refuse_unwritable
from sage_ns.system.user_files import read_bytes
from sage_ns.tracking.face_landmarker import DETECTOR, LANDMARKS, SCORES
from sage_ns.tracking.networks.files import read_graphs, write_graphs
from sage_ns.tracking.networks.network import Network
from sage_ns.tracking.segmentation import SEGMENTER

KNOWN = {
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff": "face_landmarker.task (v2, float16)",
    "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c": "selfie_segmentation.tflite",
}
"""The files from which the package's own were made, by the sha256 of their content."""
_MOST_BYTES = 256 * 2**20


def convert(path: Path, out: Path) -> str:
    """Write the networks of a file as npz, and return a note on what the file is.

    Args:
        path: a `.task` file with the three networks of the face landmarker, or a `.tflite` file.
        out: the npz file.

    Raises:
        NetworkError: the file cannot be read, or a network in it cannot be run.
        WriteError: the npz file cannot be written.
    """
    refuse_unwritable(out)
    names = (SEGMENTER,) if path.suffix == ".tflite" else (DETECTOR, LANDMARKS, SCORES)
    digest = hashlib.sha256(read_bytes(path, NetworkError, _MOST_BYTES)).hexdigest()
    graphs = read_graphs(path, names)
    for name, graph in graphs.items():
        Network(graph, f"{path}: {name}")
    write_graphs(out, graphs)
    known = KNOWN.get(digest)
    if known:
        return f"{path} is {known}, from which the package's file was made (sha256 {digest})."
    return f"{path} is not a file from which the package's own were made: its sha256 is {digest}."


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    if len(arguments) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    path, out = map(Path, arguments)
    try:
        note = convert(path, out)
    except SageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{note}\nWrote {out} ({out.stat().st_size / 2**20:.2f} MiB).\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
