"""Small networks from public files (TensorFlow Lite), run on torch."""
