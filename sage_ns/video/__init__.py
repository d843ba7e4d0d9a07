"""Pictures in time: frames, files, camera paths and footage of drivers."""
