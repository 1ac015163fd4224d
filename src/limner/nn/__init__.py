"""Parts that know nothing of images or text: convolutions, attention, embeddings."""
