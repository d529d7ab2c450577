"""What has been: figures per minute, events and engine runs, kept in SQLite.

``recorder`` makes figures of snapshots on the event loop, ``writer`` owns the one thread and
``store`` the one connection that write, ``reader`` answers from read-only connections of its own.
"""
