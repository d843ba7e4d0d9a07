"""Export to and import from other programs: splats, meshes, GaussianAvatars, a web page.

`splats` converts an avatar at one moment to splats, and `splat_formats` writes them, one module per format. `mesh`
writes surfaces. `gaussian_avatars` writes avatars that stay bound to the rig, and `gaussian_avatars_import` reads them.
`moments` chooses the moments to export.
"""
