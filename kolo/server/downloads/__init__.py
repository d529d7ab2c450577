"""Models that requests ask the server to fetch: what runs, its progress, pause and end."""
