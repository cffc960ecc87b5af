"""What is measured: datasets, episodes, embeddings and the store that keeps them."""
