"""Image metrics over the whole image and the face: PSNR, SSIM, and LPIPS if its weights are on the machine."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.system.console import console, escape
from sage_ns.system.npz_reader import BROKEN
from sage_ns.system.user_files import check_regular

LPIPS_BACKBONE = "alexnet-owt-7be5be79.pth"
"""File name under which torch.hub stores torchvision's AlexNet weights."""


def find_lpips_weights(given: Path | None) -> Path | None:
    """Return the AlexNet weights for LPIPS: the given file, else torch.hub's copy, else None; never downloads."""
    if given is not None:
        return given
    cached = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_BACKBONE
    return cached if cached.is_file() else None


def load_lpips(weights: Path) -> torch.nn.Module:
    """Load LPIPS (torchmetrics' AlexNet variant) with the backbone of the file ``weights``.

    Args:
        weights: a state dict with torchvision's AlexNet names (``features.0.weight``, ...).

    Raises:
        SageError: the file does not exist or is not such a state dict.
    """
    check_regular(weights, SageError, "Give torchvision's AlexNet file as LPIPS weights, or omit the option.")
    from torchmetrics.functional.image.lpips import _LPIPS

    network = _LPIPS(pretrained=True, net="alex", pnet_rand=True)  # linear heads ship with torchmetrics
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        backbone = {
            name: state[f"features.{name.split('.', 1)[1]}"] for name in network.net.state_dict()
        }  # slice1.0.weight -> features.0.weight
        network.net.load_state_dict(backbone)
    except (*BROKEN, AttributeError, UnpicklingError) as error:
        raise SageError(f"LPIPS weights {weights} are not torchvision's AlexNet weights: {error}") from error
    return network.eval().requires_grad_(False)


class ImageMetrics:
    """PSNR, SSIM and LPIPS of a rendered image against the true one, over the whole image and over the face.

    Args:
        lpips_weights: file of AlexNet weights for LPIPS; None uses torch.hub's copy, or leaves LPIPS out without one.
    """

    def __init__(self, lpips_weights: Path | None = None) -> None:
        self._lpips_weights = lpips_weights
        self._lpips: torch.nn.Module | None = None
        self._lpips_searched = False

    def __call__(
        self,
        rendered: Float[Tensor, "h w 3"],
        truth: Float[Tensor, "h w 3"],
        face: Bool[Tensor, "h w"] | None = None,
    ) -> dict[str, float]:
        """Return metrics by name; with ``face`` (mask of its pixels) also ``..._face``, unless the mask is empty."""
        similarity = _ssim_map(rendered, truth)
        values = {"psnr": psnr(rendered, truth), "ssim": float(similarity.mean())}
        lpips = self._lpips_network(rendered.device)
        if lpips is not None:
            values["lpips"] = _lpips_distance(lpips, rendered, truth)
        if face is not None and bool(face.any()):
            values["psnr_face"] = psnr(rendered[face], truth[face])
            values["ssim_face"] = float(similarity[face].mean())
            if lpips is not None:
                white = torch.ones_like(truth)
                shown = face[..., None]
                values["lpips_face"] = _lpips_distance(
                    lpips, torch.where(shown, rendered, white), torch.where(shown, truth, white)
                )
        return values

    def _lpips_network(self, device: torch.device) -> torch.nn.Module | None:
        if not self._lpips_searched:
            self._lpips_searched = True
            weights = find_lpips_weights(self._lpips_weights)
            if weights is not None:
                self._lpips = load_lpips(weights)
            else:
                _note_missing_lpips()
        return self._lpips.to(device) if self._lpips is not None else None


def _note_missing_lpips() -> None:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    console().print(
        f"[yellow]LPIPS is left out:[/yellow] its backbone {LPIPS_BACKBONE} (from torchvision) is not on this machine. "
        f"Put it into {escape(str(folder))}, or give its path with --pipeline.model.lpips-weights."
    )


def psnr(rendered: Tensor, truth: Tensor) -> float:
    """Return ``-10 log10(mean squared error)`` for values in 0..1."""
    return float(-10.0 * torch.log10((rendered - truth).square().mean().clamp_min(1e-10)))


def _ssim_map(rendered: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, similarity = structural_similarity_index_measure(
        rendered.permute(2, 0, 1)[None], truth.permute(2, 0, 1)[None], data_range=1.0, return_full_image=True
    )
    return similarity[0].mean(dim=0)


def _lpips_distance(network: torch.nn.Module, rendered: Tensor, truth: Tensor) -> float:
    def prepare(image: Tensor) -> Tensor:
        return image.permute(2, 0, 1)[None].clamp(0, 1)

    with torch.no_grad():
        return float(network(prepare(rendered), prepare(truth), normalize=True).mean())
