"""Ways to learn the distinction; each is one file or folder behind the interface of `base`."""
