"""Histograms as a few bytes: msgpack of the sum, then each bucket's distance from the one before
and its count. Most distances and counts are small, and small integers are one byte each."""

from __future__ import annotations

from itertools import accumulate

import msgspec

from kolo.monitor.histogram import Histogram

_decoder = msgspec.msgpack.Decoder(list[int])


def pack(histogram: Histogram) -> bytes:
    numbers = [histogram.sum_millionths]
    last = 0
    for bucket, count in sorted(histogram.counts.items()):
        numbers += (bucket - last, count)
        last = bucket
    return msgspec.msgpack.encode(numbers)


def unpack(packed: bytes) -> Histogram:
    """Raises ValueError (msgspec's among them) for what ``pack`` did not make."""
    numbers = _decoder.decode(packed)
    if len(numbers) % 2 == 0:
        raise ValueError(f"a packed histogram of {len(numbers)} numbers")
    buckets = accumulate(numbers[1::2])
    return Histogram.of(dict(zip(buckets, numbers[2::2], strict=True)), numbers[0])


def merged(one: bytes | None, other: bytes | None) -> bytes | None:
    """As an SQL function: all values of both."""
    if one is None or other is None:
        return one if other is None else other
    histogram = unpack(one)
    histogram.merge(unpack(other))
    return pack(histogram)
