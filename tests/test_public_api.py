"""The public face: which names there are, and that none of them is paid for before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sage_ns
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_params
from tests.tiny_avatar import tiny_avatar

PUBLIC = [
    "ArkitMap",
    "Avatar",
    "Buffers",
    "FlameParams",
    "HeadModel",
    "Look",
    "Motion",
    "PinholeCamera",
    "SageError",
    "Surfels",
    "__version__",
    "builtin_head",
    "load_head_model",
    "load_motion",
    "orbit",
    "rasterize",
    "read_capture",
    "reenact",
    "save_head_model",
    "to_pixels",
    "write_pictures",
]
"""Other people's programs use these: a name may be added, but must not go away or mean something else."""

LOADED = """
import sys
heavy = {name.partition(".")[0] for name in sys.modules} & {"torch", "numpy", "nerfstudio", "rich", "viser"}
"""


def run(code: str, *arguments: object) -> str:
    """What a fresh Python prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(sage_ns.__file__).parents[1])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names_are_these() -> None:
    assert sage_ns.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(sage_ns))


def test_every_name_is_where_type_checkers_see_it() -> None:
    tree = ast.parse(Path(sage_ns.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == sage_ns._HOMES
    assert sorted([*seen, "__version__"]) == sorted(PUBLIC)


def test_a_name_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(AttributeError, match=r"'avatars'.*Avatar.*rasterize"):
        _ = sage_ns.avatars  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="avatars"):
        from sage_ns import avatars  # type: ignore[attr-defined]  # noqa: F401


def test_importing_the_package_loads_nothing_and_takes_no_time() -> None:
    code = "import time; start = time.process_time(); import sage_ns; seconds = time.process_time() - start\n"
    printed = [run(code + LOADED + "print(seconds, *heavy)").split() for _ in range(3)]
    assert all(len(words) == 1 for words in printed), "a heavy package was loaded"
    assert min(float(words[0]) for words in printed) < 0.1


USE = """
import sage_ns
for name in sage_ns.__all__:
    assert getattr(sage_ns, name) is not None
avatar = sage_ns.Avatar.load(sys.argv[1])
motion = sage_ns.load_motion(sys.argv[2], avatar.rig.head_model)
picture = avatar.render(motion.params[1], avatar.front_camera(20, 25))
assert picture.shape == (25, 20, 3) and (picture.std() > 0.01)
print(*sorted(name for name in sys.modules if name.partition(".")[0] == "nerfstudio"))
"""


def test_all_of_it_works_without_nerfstudio(tmp_path: Path) -> None:
    avatar = tiny_avatar(builtin_head(), num_surfels=500)
    avatar.save(tmp_path / "avatar.npz")
    tiny_params(avatar.rig.head_model, 2).save_vhap(tmp_path / "motion.npz")
    assert run("import sys\n" + USE, tmp_path / "avatar.npz", tmp_path / "motion.npz").split() == []
