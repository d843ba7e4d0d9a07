"""Named moves of the face, whole expressions, sliders and ARKit's coefficients."""
