"""From pictures of any size to maps."""
