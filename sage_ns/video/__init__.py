"""Videos of avatars: frames, files, camera paths, and footage of drivers."""
