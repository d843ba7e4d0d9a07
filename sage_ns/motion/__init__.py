"""Motion of heads: motion files, driving banks, limits, generated expressions and transfer between people."""
