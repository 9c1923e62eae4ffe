"""Pictures of the two folders: which there are, how they are scaled, and how they become batches."""
