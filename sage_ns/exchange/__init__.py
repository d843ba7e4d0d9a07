"""Splat files, in and out: what an avatar becomes for other programs, and what is made of theirs.

`splats` says what of an avatar such a file can hold; `splat_ply` and `splat_gltf` write it for one moment.
`gaussian_avatars` writes avatars that stay bound to the rig, and `gaussian_avatars_import` reads them.
"""
