"""Models on disk: folders of ours, files that authors released, the hub."""
