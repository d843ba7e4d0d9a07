"""The 52 names of ARKit's blendshapes, and their spellings in other programs. Imports nothing heavy."""

from __future__ import annotations

SIDES = ("Left", "Right")
ARKIT_NAMES: tuple[str, ...] = (
    *(f"eye{move}{side}" for side in SIDES
      for move in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")),
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    *(f"mouth{move}{side}" for move in ("Smile", "Frown", "Dimple", "Stretch") for side in SIDES),
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    *(f"mouth{move}{side}" for move in ("Press", "LowerDown", "UpperUp") for side in SIDES),
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""ARKit's 52 names."""


def name_key(name: str) -> str:
    """Return the same key for `mouthSmileLeft`, `mouthSmile_L` and `mouth_smile_left`."""
    for short, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(short):
            name = name[: -len(short)] + side
    return name.replace("_", "").lower()


NAMES_BY_KEY = {name_key(name): name for name in ARKIT_NAMES}
"""ARKit's names by `name_key`, for input in any spelling."""
