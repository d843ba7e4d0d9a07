"""Collars are taken out of the mask; necks of all skin tones, shadows and small dark spots stay."""

from __future__ import annotations

import numpy as np
import pytest

from sage_ns.tracking.clothes import without_clothes, without_lapels

HEIGHT, WIDTH, CHIN = 100, 60, 60
PER_METRE = 400.0
SKINS = [(0.85, 0.65, 0.55), (0.55, 0.38, 0.3), (0.3, 0.2, 0.16)]


def neck(skin: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A face of 40 rows above a neck of 40 rows in the shadow of the chin."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    face = (rows >= 20) & (rows < CHIN) & (abs(columns - 30) < 20)
    matte = (face | ((rows >= CHIN) & (abs(columns - 30) < 14))).astype(float)
    shade = np.where(rows >= CHIN, 0.55, 1.0)[..., None]
    noise = np.random.default_rng(0).normal(0.0, 0.01, (HEIGHT, WIDTH, 3))
    picture = (np.array(skin) * shade + noise).clip(0.0, 1.0)
    return picture, matte, face, (rows - CHIN) / PER_METRE


def clothes(
    matte: np.ndarray, picture: np.ndarray, face: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    return without_clothes(matte, picture, face, (matte > 0).astype(float), below, PER_METRE)


@pytest.mark.parametrize("skin", SKINS)
def test_bare_necks_stay(skin: tuple[float, float, float]) -> None:
    picture, matte, face, below = neck(skin)
    picture[75:77, 29:31] = 0.02  # a mole
    kept, hidden = clothes(matte, picture, face, below)
    np.testing.assert_array_equal(kept, matte)
    assert hidden is None


@pytest.mark.parametrize("skin", SKINS)
@pytest.mark.parametrize("cloth", [(0.02, 0.02, 0.02), (0.1, 0.2, 0.5), (0.1, 0.4, 0.1)])
def test_a_collar_is_taken_out(skin: tuple[float, float, float], cloth: tuple[float, float, float]) -> None:
    picture, matte, face, below = neck(skin)
    picture[80:] = cloth
    kept, hidden = clothes(matte, picture, face, below)
    np.testing.assert_array_equal(kept[:76], matte[:76])
    assert kept[80:].max() == 0.0
    assert hidden is not None
    assert hidden[80:, 17:43].min() == 1.0 and hidden[:74].max() == 0.0 and hidden[:, :12].max() == 0.0


def test_what_clothes_cut_off_goes_too() -> None:
    picture, matte, face, below = neck(SKINS[0])
    picture[75:85] = (0.1, 0.2, 0.5)  # a choker of 25 mm that ends at both sides of the neck
    kept, _ = clothes(matte, picture, face, below)
    assert kept[75:].max() == 0.0 and kept[:72].sum() == matte[:72].sum()


def test_colours_above_the_chin_stay_whatever_they_are() -> None:
    picture, matte, face, below = neck(SKINS[1])
    picture[20:40] = (0.1, 0.2, 0.5)  # a mask for carnival
    np.testing.assert_array_equal(clothes(matte, picture, face, below)[0], matte)


def test_lapels_go_and_hair_that_hangs_beside_the_jaw_stays() -> None:
    _, matte, _, below = neck(SKINS[0])
    silhouette = matte.copy()
    matte[30:58, 2:8] = 1.0  # a lock of hair from above
    matte[50:70, 52:58] = 1.0  # a lapel
    expected = matte.copy()
    expected[50:70, 52:58] = 0.0
    np.testing.assert_array_equal(without_lapels(matte, silhouette, below, PER_METRE), expected)


def test_without_a_face_nothing_is_known_of_skin() -> None:
    picture, matte, face, below = neck(SKINS[0])
    picture[80:] = 0.0
    np.testing.assert_array_equal(clothes(matte, picture, face & False, below)[0], matte)
