"""Additions to nerfstudio's viewer: a first view of the face, and a panel that poses the avatar."""

from __future__ import annotations

from sage_ns.viewer.front_view import FrontView as FrontView
from sage_ns.viewer.panel import PuppetPanel as PuppetPanel
