"""Is everything as it must be: what ``kolo doctor`` looks at, and what to do where it is not.

``report`` is what comes out; ``examine`` runs the checks, each with a deadline and none able to
hide another; ``subject`` is what they share. The checks: ``software`` (Python, libraries,
llama.cpp against the CPU), ``hardware`` (GPUs, memory, disk), ``places`` (folders, settings),
``network`` (port, monitor socket, server), ``running`` (service, one token from a model).

A check is a function of the subject that yields findings, and imports what it needs itself: a
library that is missing is a finding of one check, and not the end of all.
"""

from __future__ import annotations

from kolo.doctor.examine import examine
from kolo.doctor.report import Finding, Report, State

__all__ = ["Finding", "Report", "State", "examine"]
