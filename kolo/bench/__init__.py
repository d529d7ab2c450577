"""Measuring: loads on servers and engines, what they took, and what can be said of it.

``result`` is the document of a run, which every report and comparison is made from. ``workload``
says what is asked, ``load`` when, ``wire`` and ``request`` send it and keep the times, ``target``
knows who is asked, ``runner`` takes turns; ``stats``, ``metrics``, ``summary`` and ``compare``
do the sums, ``report_*`` write them down, ``shelf`` keeps runs.
"""
