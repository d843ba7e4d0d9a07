"""The built-in head model: FLAME's format, made by code."""

from sage_ns.synthetic.head.head import builtin_head as builtin_head
from sage_ns.synthetic.head.head import builtin_identity as builtin_identity
