"""The face by name: moves, whole expressions, sliders and ARKit's coefficients."""
