"""Several tokens of a sequence in one decode: guessed cheaply, then checked by the model.

A guess never changes an answer. The model's row for each guessed position is drawn from just as
it would have been without the guess; a guessed token stands only if it is what was drawn, and
with the first that is not, all after it are thrown away. ``lookup`` guesses from the text so far,
``draft`` asks a smaller model, ``odds`` remembers how well guesses did, and ``plan`` decides
whether a step should try any.
"""

from kolo.engine.speculation.draft import DraftModel, check_pair
from kolo.engine.speculation.plan import Guesses, Speculation

__all__ = ["DraftModel", "Guesses", "Speculation", "check_pair"]
