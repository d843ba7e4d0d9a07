"""From pictures of a head to what they show: faces with their landmarks and scores, and the person before the scene."""
