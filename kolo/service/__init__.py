"""Kolo under systemd: the unit, the manager that runs it, and what a service tells it."""
