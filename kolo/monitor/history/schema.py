"""The tables, as numbered migrations: the file's ``user_version`` says which have been applied.

A migration is never changed once released; a new column is a new migration.
"""

from __future__ import annotations

import sqlite3

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

    -- step_s is 60, 600, 3600 or 21600; at is when that span began, a multiple of it.
    CREATE TABLE engine_figures (
        step_s INTEGER NOT NULL, name INTEGER NOT NULL REFERENCES names, at INTEGER NOT NULL,
        done INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        cancelled INTEGER NOT NULL DEFAULT 0,
        rejected INTEGER NOT NULL DEFAULT 0,
        prompt_tokens INTEGER NOT NULL DEFAULT 0,
        cached_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        draft_tokens INTEGER NOT NULL DEFAULT 0,
        draft_accepted INTEGER NOT NULL DEFAULT 0,
        preemptions INTEGER NOT NULL DEFAULT 0,
        running_n INTEGER NOT NULL DEFAULT 0,
        running_sum REAL NOT NULL DEFAULT 0, running_max REAL NOT NULL DEFAULT 0,
        waiting_n INTEGER NOT NULL DEFAULT 0,
        waiting_sum REAL NOT NULL DEFAULT 0, waiting_max REAL NOT NULL DEFAULT 0,
        kv_share_n INTEGER NOT NULL DEFAULT 0,
        kv_share_sum REAL NOT NULL DEFAULT 0, kv_share_max REAL NOT NULL DEFAULT 0,
        memory_bytes_n INTEGER NOT NULL DEFAULT 0,
        memory_bytes_sum REAL NOT NULL DEFAULT 0, memory_bytes_max REAL NOT NULL DEFAULT 0,
        device_bytes_n INTEGER NOT NULL DEFAULT 0,
        device_bytes_sum REAL NOT NULL DEFAULT 0, device_bytes_max REAL NOT NULL DEFAULT 0,
        cpu_percent_n INTEGER NOT NULL DEFAULT 0,
        cpu_percent_sum REAL NOT NULL DEFAULT 0, cpu_percent_max REAL NOT NULL DEFAULT 0,
        queue_ms BLOB, ttft_ms BLOB, itl_ms BLOB, e2e_ms BLOB,
        PRIMARY KEY (step_s, name, at)
    ) WITHOUT ROWID;

    CREATE TABLE gpu_figures (
        step_s INTEGER NOT NULL, name INTEGER NOT NULL REFERENCES names, at INTEGER NOT NULL,
        gpu_utilization_percent_n INTEGER NOT NULL DEFAULT 0,
        gpu_utilization_percent_sum REAL NOT NULL DEFAULT 0,
        gpu_utilization_percent_max REAL NOT NULL DEFAULT 0,
        gpu_memory_used_bytes_n INTEGER NOT NULL DEFAULT 0,
        gpu_memory_used_bytes_sum REAL NOT NULL DEFAULT 0,
        gpu_memory_used_bytes_max REAL NOT NULL DEFAULT 0,
        gpu_power_w_n INTEGER NOT NULL DEFAULT 0,
        gpu_power_w_sum REAL NOT NULL DEFAULT 0, gpu_power_w_max REAL NOT NULL DEFAULT 0,
        gpu_temperature_c_n INTEGER NOT NULL DEFAULT 0,
        gpu_temperature_c_sum REAL NOT NULL DEFAULT 0,
        gpu_temperature_c_max REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (step_s, name, at)
    ) WITHOUT ROWID;

    CREATE TABLE host_figures (
        step_s INTEGER NOT NULL, name INTEGER NOT NULL REFERENCES names, at INTEGER NOT NULL,
        covered_s REAL NOT NULL DEFAULT 0,
        host_cpu_percent_n INTEGER NOT NULL DEFAULT 0,
        host_cpu_percent_sum REAL NOT NULL DEFAULT 0, host_cpu_percent_max REAL NOT NULL DEFAULT 0,
        host_memory_used_bytes_n INTEGER NOT NULL DEFAULT 0,
        host_memory_used_bytes_sum REAL NOT NULL DEFAULT 0,
        host_memory_used_bytes_max REAL NOT NULL DEFAULT 0,
        server_memory_bytes_n INTEGER NOT NULL DEFAULT 0,
        server_memory_bytes_sum REAL NOT NULL DEFAULT 0,
        server_memory_bytes_max REAL NOT NULL DEFAULT 0,
        server_cpu_percent_n INTEGER NOT NULL DEFAULT 0,
        server_cpu_percent_sum REAL NOT NULL DEFAULT 0,
        server_cpu_percent_max REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (step_s, name, at)
    ) WITHOUT ROWID;

    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL, kind TEXT NOT NULL, level TEXT NOT NULL, engine TEXT,
        text TEXT NOT NULL, reason TEXT NOT NULL
    );
    CREATE INDEX events_at ON events (at);

    -- An engine from load to unload. server is the process that ran it: pid and start time.
    CREATE TABLE runs (
        engine TEXT NOT NULL, loaded_at REAL NOT NULL,
        path TEXT NOT NULL, load_ms REAL NOT NULL, server TEXT NOT NULL,
        ended_at REAL, reason TEXT NOT NULL,
        done INTEGER NOT NULL, failed INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
        PRIMARY KEY (engine, loaded_at)
    ) WITHOUT ROWID;
    CREATE INDEX runs_at ON runs (loaded_at);
    """,
)


class NewerSchema(sqlite3.DatabaseError):
    """The file was written by a later version."""


def migrate(connection: sqlite3.Connection) -> None:
    """Apply what is missing, each migration whole or not at all. Raises NewerSchema, or what
    SQLite raises."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise NewerSchema(f"its schema is version {version}, known are {len(MIGRATIONS)}")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version = {number};COMMIT;")
