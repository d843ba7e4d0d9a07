"""Training of an avatar: learner, phases, supervision and losses. Independent of nerfstudio."""
