"""Export of an avatar as a web page: one binary file with the avatar, in a folder that a static server can host."""
