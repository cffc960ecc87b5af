"""One set of features: extraction, neighbours, votes, the four cells."""
