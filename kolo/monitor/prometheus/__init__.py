"""The numbers of a server as Prometheus reads them."""

from kolo.monitor.prometheus.exposition import Names, exposition
from kolo.monitor.prometheus.families import FAMILIES, View, Watched
from kolo.monitor.prometheus.text import CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "FAMILIES", "Names", "View", "Watched", "exposition"]
