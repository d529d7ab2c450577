"""Who may do what, and how much of it: in front of every route.

``gate`` asks in this order: is the host one of ours (``hosts``), may a page do this (``cors``), who
is it (``principal``), may he do this, and has he not had enough (``limits``). ``visits`` knows the
requests under way, ``routes`` has Kolosal's routes about all this.
"""
