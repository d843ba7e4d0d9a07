"""A process that runs cases of the corpus on request: a line in with the number of a case, a line out with its fault.

It may crash or hang; `tests.corpus.watch` watches it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from pathlib import Path

_MOST_ADDRESSES = 8 * 2**30
"""Bytes that a case may reserve beyond those of the program; keeps a bomb from taking the machine down."""


def main(folder: str, extent: str) -> None:
    """Serve cases until the input ends.

    Args:
        folder: empty folder for inputs.
        extent: "quick", "wide" or "thorough".
    """
    # What readers print must not come between the lines.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    from tests.corpus.cases import Corpus

    corpus = Corpus(Path(folder), extent)
    _limit_memory()
    print(json.dumps([[case.subject.name, case.label] for case in corpus.cases]), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(corpus.run(corpus.cases[int(line)])), file=answers, flush=True)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MOST_ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
