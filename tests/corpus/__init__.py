"""A corpus of damaged inputs: every reader of a user's file x every kind of damage, made from a seed.

`subjects_*.py` write whole inputs and read them as the commands do, `damage_*.py` spoil files, `cases.py` lists the
combinations, `worker.py` runs them in a process that may crash, and `watch.py` watches it.
"""
