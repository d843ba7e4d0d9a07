"""A made-up person, filmed by virtual cameras and written as VHAP would: a capture without downloads or licences."""

from sage_ns.synthetic.studio import SyntheticCapture as SyntheticCapture
from sage_ns.synthetic.studio import cameras as cameras
from sage_ns.synthetic.studio import synthesize_capture as synthesize_capture
