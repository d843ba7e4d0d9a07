"""How well a picture, a head or a surface agrees with the truth: figures that need no benchmark and no nerfstudio."""
