"""Building blocks and networks, none of which knows how it is trained."""
