"""Completion for shells: the command line as a tree, and a script of it for each shell.

``tree`` reads the tree from click, ``kinds`` says what each value is, ``bash``, ``zsh`` and
``fish`` write the scripts that are kept in ``completions/``, ``install`` puts them where shells
look. What only this machine knows the scripts ask of ``kolo __complete`` (``completing``).
"""
