"""The testbed: a container that becomes the directory's image, and the shell in it."""
