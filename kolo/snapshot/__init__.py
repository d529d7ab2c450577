"""What the monitor socket says: JSON lines, each one object whose ``type`` says what it is.

::

    server → client   hello       once, first: who speaks, in which version of this protocol
                      event       what happened: those that are kept at once, then as they come
                      snapshot    everything there is to see, once per interval
                      dropped     how much this client missed because it read too slowly
                      refused     instead of all else, before the server hangs up
    client → server   ask         optional, at any time: ``{"interval_s": 0.5}``

So ``socat - UNIX-CONNECT:SOCKET | jq`` shows a server. A recording is the same lines in a file.

Units are in the names: ``_s`` and ``_ms`` times, ``_at`` unix time in seconds, ``_bytes``,
``_percent`` 0 to 100, ``_share`` 0 to 1, ``_per_s`` rates. What is not known is null, and a rate is
null when nothing ran, so that 0 always means none. A reader ignores fields it does not know;
``PROTOCOL`` rises when a field changes its meaning or goes away.
"""

from kolo.snapshot.engines import (
    Download,
    Engine,
    EngineState,
    Failure,
    Kv,
    Model,
    Request,
    RequestState,
    Slot,
)
from kolo.snapshot.machine import Disk, Gpu, GpuProcess, Host, Process, without_readings
from kolo.snapshot.messages import (
    INTERVAL_S,
    LONGEST_S,
    PROTOCOL,
    SHORTEST_S,
    Ask,
    Dropped,
    Event,
    EventKind,
    Hello,
    Level,
    Message,
    Refused,
    Server,
    Snapshot,
    decode,
    decode_ask,
    encode,
)
from kolo.snapshot.numbers import Summary, Totals, Window, Windows

__all__ = [
    "INTERVAL_S",
    "LONGEST_S",
    "PROTOCOL",
    "SHORTEST_S",
    "Ask",
    "Disk",
    "Download",
    "Dropped",
    "Engine",
    "EngineState",
    "Event",
    "EventKind",
    "Failure",
    "Gpu",
    "GpuProcess",
    "Hello",
    "Host",
    "Kv",
    "Level",
    "Message",
    "Model",
    "Process",
    "Refused",
    "Request",
    "RequestState",
    "Server",
    "Slot",
    "Snapshot",
    "Summary",
    "Totals",
    "Window",
    "Windows",
    "decode",
    "decode_ask",
    "encode",
    "without_readings",
]
