"""The avatar: surfels bound to a personal rig, where they start, how they are placed and bound anew."""
