"""Requests of scripts: one or many, in order, tried again where that may help, resumable.

``recipe`` says what holds for every request, ``lines`` reads a stream of them, ``request`` makes
one of a line. ``answer`` asks and gathers, ``vectors`` does so for embeddings, ``retry`` knows what
may succeed the next time, ``runner`` keeps many in flight and their results in order, ``results``
is the file they go into, ``record`` is what a result looks like, and ``run`` is all of it together.
"""
