"""What moves a head: motion files, driving banks, limits, made-up expressions and transfer."""
