"""The avatar: surfels bound to a personal rig, their initialisation, placement, correction and rebinding."""
