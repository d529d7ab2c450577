"""Measuring: loads on servers and engines, what they took, and what can be said of it.

The way of a run: ``acquaint`` gets to know each target (``private`` starts one), ``workloads`` and
``constrained`` make sessions of requests out of ``prompts``, ``load`` plays them by users or at a
rate, ``request`` keeps the times of each over ``wire`` and ``framing``, ``watch`` and ``host`` see
what the machine does, and ``runner`` has the targets take turns. All of it fills the one document
in ``result``.

What is made of a document: ``metrics`` has every figure with its formula, ``stats`` the
percentiles and intervals, ``summary`` the rows, ``goals`` and ``compare`` the judgements,
``verdict`` the doubts and the exit code, ``tables`` the cells that ``report_text`` and
``report_html`` lay out; ``shelf`` keeps it.

Below HTTP: ``layers`` says what ``probe`` (an engine timed inside its worker) and ``shapes`` (a
model of a known shape with random weights, by ``synth``) are asked through; ``outlook`` tells what
a machine would do with a model.
"""
