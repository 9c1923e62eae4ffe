"""The branched GAN: a picture repainted as a sum of branches, the first of which holds the distinction."""
