"""What avatars become for other programs, and what is made of theirs: splats, meshes, GaussianAvatars, a web page.

`splats` says what of an avatar a file of splats can hold, and `splat_formats` writes it for one moment, one module per
format. `mesh` writes surfaces. `gaussian_avatars` writes avatars that stay bound to the rig, and
`gaussian_avatars_import` reads them. `moments` says which moments are exported.
"""
