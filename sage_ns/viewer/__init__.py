"""nerfstudio's viewer: the face from the front, and a panel to puppeteer it."""

from __future__ import annotations

from sage_ns.viewer.front_view import FrontView as FrontView
from sage_ns.viewer.panel import PuppetPanel as PuppetPanel
