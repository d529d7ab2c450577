"""Kolo: run language models from a terminal, over llama.cpp."""

__version__ = "0.1.0.dev0"
