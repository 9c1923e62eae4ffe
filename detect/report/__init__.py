"""One page to look at: what a run found in pictures, how sure it is, and what the threshold does to it."""
