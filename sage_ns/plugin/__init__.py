"""What nerfstudio asks of a method: configs, data, model, pipeline, trainer. Only this room trains with nerfstudio."""
