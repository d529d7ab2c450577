"""The HTTP face: Quart on Hypercorn, one process, one event loop."""
