"""A head model in FLAME's format made by code alone."""

from sage_ns.synthetic.head.head import builtin_head as builtin_head
from sage_ns.synthetic.head.head import builtin_identity as builtin_identity
