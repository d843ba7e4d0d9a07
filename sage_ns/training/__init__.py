"""The learner: phases, what supervises them, and losses. Works without nerfstudio."""
