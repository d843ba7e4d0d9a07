"""Synthetic captures: a person made by code, rendered by virtual cameras and written in VHAP's layout."""

from sage_ns.synthetic.regimes import Regime as Regime
from sage_ns.synthetic.studio import SyntheticCapture as SyntheticCapture
from sage_ns.synthetic.studio import cameras as cameras
from sage_ns.synthetic.studio import synthesize_capture as synthesize_capture
