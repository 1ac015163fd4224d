"""Models as their authors released them: sizes, and the way from the names of their weights to ours."""
