"""An avatar as a web page: what it is made of as one binary file, and the folder that a static server can host."""
