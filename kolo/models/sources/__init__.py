"""Where models come from: the Hugging Face hub, OCI registries (Ollama's is one), plain URLs.

``plan`` asks a source what there is; ``transfer`` brings the bytes; the store adopts them.
"""
