"""HTTP client of a running server: its own verbs, and requests for answers.

``http`` moves bytes and turns every failure into one of our errors, ``sse`` reads event streams,
``engines`` lists, loads and unloads, ``question`` and ``answer`` put a Generate into OpenAI's
words and take the reply out of them, ``connection`` is what ``kolo.connect`` hands out.
"""
