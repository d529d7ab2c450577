"""Models on disk: what a reference means, and what a file says of itself."""
