"""One made-up engine: it loads, takes requests into its slots, reads prompts and writes answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

from kolo.snapshot import Engine, Failure, Kv, Model, Process, Request, RequestState, Slot
from kolo.top.demo.cast import CLIENTS, STAGES, Role
from kolo.top.demo.tally import Tally, Tick

MAX_QUEUE = 256


@dataclass
class Asked:
    """A request on its way."""

    id: int
    at_s: float
    prompt: int
    cached: int
    answer: int
    user: str
    client: str
    slot: int | None = None
    begun_s: float = 0.0
    read: float = 0.0
    first_s: float = 0.0
    written: float = 0.0


class Player:
    def __init__(self, role: Role, random: Random, pid: int) -> None:
        self.role, self.random, self.pid = role, random, pid
        self.state = "loaded" if role.awake else "unloaded"
        self.tally = Tally()
        self.tally.loads = int(role.awake)
        self.error: Failure | None = None
        self.stage, self.progress = "", 0.0
        self.loading_s = 0.0
        self.loaded_s = -3600.0 * random.uniform(0.2, 5.0)
        self.used_s = 0.0
        self.burst_s = 0.0
        self._ids = 0
        self._held = [random.randrange(role.n_ctx // 4) for _ in range(role.parallel)]
        self._queue: deque[Asked] = deque()
        self._slots: list[Asked | None] = [None] * role.parallel

    # What befalls it ---------------------------------------------------------------------

    def begin_load(self) -> None:
        self.state, self.stage, self.progress, self.error = "loading", STAGES[0][0], 0.0, None
        self.loading_s = 0.0

    def crash(self) -> int:
        """How many requests it takes with it."""
        lost = len(self.running) + len(self._queue)
        tick = Tick(self.used_s, failed=lost)
        self.tally.add(tick)
        self.tally.crashes += 1
        self._rest("failed")
        self.error = Failure(
            message="the worker died: signal 11 (segmentation fault)",
            hint="Its log may say why.",
        )
        return lost

    def evict(self) -> None:
        self.tally.unloads += 1
        self._rest("unloaded")

    def _rest(self, state: str) -> None:
        self.state = state
        self._queue.clear()
        self._slots = [None] * self.role.parallel
        self._held = [0] * self.role.parallel

    @property
    def running(self) -> list[Asked]:
        return [asked for asked in self._slots if asked is not None]

    @property
    def waiting(self) -> int:
        return len(self._queue)

    # A moment ----------------------------------------------------------------------------

    def step(self, now_s: float, dt_s: float, ease: float) -> str | None:
        """Live through ``dt_s``; the stage of a load that begins, or ``loaded``."""
        if self.state == "loading":
            return self._load(now_s, dt_s)
        if self.state != "loaded":
            return None
        tick = Tick(now_s)
        self._receive(now_s, dt_s, ease)
        self._admit(now_s, tick)
        self._read(now_s, dt_s, tick)
        self._write(now_s, dt_s, tick)
        if self._slots.count(None) < len(self._slots):
            self.used_s = now_s
        self.tally.add(tick)
        return None

    def _load(self, now_s: float, dt_s: float) -> str | None:
        self.loading_s += dt_s
        begin_s = 0.0
        for stage, length_s in STAGES:
            if self.loading_s < begin_s + length_s:
                entered = stage != self.stage
                self.stage, self.progress = stage, (self.loading_s - begin_s) / length_s
                return stage if entered else None
            begin_s += length_s
        self.state, self.stage, self.progress = "loaded", "", 0.0
        self.loaded_s = self.used_s = now_s
        self.tally.loads += 1
        return "loaded"

    def _receive(self, now_s: float, dt_s: float, ease: float) -> None:
        rate = self.role.asked_per_s * ease * (6.0 if now_s < self.burst_s else 1.0)
        if self.random.random() < rate * dt_s:
            prompt = int(self.random.lognormvariate(6.3, 0.9)) + 12
            prompt = min(prompt, self.role.n_ctx // 2)
            cached = int(prompt * self.random.choice((0, 0, 0.35, 0.6, 0.85)))
            answer = min(int(self.random.lognormvariate(5.4, 0.8)) + 4, self.role.n_ctx // 3)
            self._ids += 1
            self._queue.append(
                Asked(self._ids, now_s, prompt, cached, answer, *self.random.choice(CLIENTS))
            )

    def _admit(self, now_s: float, tick: Tick) -> None:
        for at, busy in enumerate(self._slots):
            if busy is None and self._queue:
                asked = self._queue.popleft()
                asked.slot, asked.begun_s, asked.read = at, now_s, float(asked.cached)
                self._slots[at] = asked
                tick.queue_ms.append((now_s - asked.at_s) * 1000)

    def _read(self, now_s: float, dt_s: float, tick: Tick) -> None:
        reading = [asked for asked in self.running if not asked.first_s]
        for asked in reading[:2]:
            before = int(asked.read)
            asked.read = min(
                asked.read + self.role.prefill_per_s * dt_s / len(reading[:2]), asked.prompt
            )
            tick.computed += int(asked.read) - before
            tick.prefill_s += dt_s / len(reading[:2])
            if asked.read >= asked.prompt:
                asked.first_s, asked.written = now_s + self.random.uniform(0.01, 0.09), 1.0
                tick.output += 1
                tick.ttft_ms.append((asked.first_s - asked.at_s) * 1000)

    def _write(self, now_s: float, dt_s: float, tick: Tick) -> None:
        writing = [asked for asked in self.running if asked.first_s and asked.first_s < now_s]
        if not writing:
            return
        reading = len(self.running) - len(writing)
        speed = self.role.decode_per_s / (1 + 0.12 * (len(writing) - 1) + 0.3 * min(reading, 2))
        speed *= self.random.uniform(0.93, 1.07)
        for asked in writing:
            before = int(asked.written)
            asked.written = min(asked.written + speed * dt_s, asked.answer)
            tick.output += int(asked.written) - before
            tick.decode_s += dt_s
            tick.itl_ms.append(1000 / speed * self.random.uniform(0.9, 1.15))
            gone = self.random.random() < 0.002 * dt_s
            if asked.written >= asked.answer or gone:
                self._end(asked, now_s, tick, gone)

    def _end(self, asked: Asked, now_s: float, tick: Tick, gone: bool) -> None:
        assert asked.slot is not None
        self._slots[asked.slot] = None
        self._held[asked.slot] = asked.prompt + int(asked.written)
        tick.prompt += asked.prompt
        tick.cached += asked.cached
        if gone:
            tick.cancelled += 1
        else:
            tick.done += 1
            tick.e2e_ms.append((now_s - asked.at_s) * 1000)

    # What is seen of it ------------------------------------------------------------------

    def engine(self, now_s: float, start_at: float) -> Engine:
        role = self.role
        alive = self.state == "loaded"
        idle_s = max(now_s - self.used_s, 0.0)
        ttl_s = None if role.pinned else 600.0
        busy = len(self.running)
        return Engine(
            id=role.id,
            state=self.state,  # type: ignore[arg-type]
            stage=self.stage,
            progress=self.progress if self.state == "loading" else None,
            error=self.error if self.state == "failed" else None,
            source="config",
            path=f"/srv/models/{role.id}.gguf",
            model=self._model() if alive else None,
            loaded_at=start_at + self.loaded_s if alive else None,
            load_ms=6800.0 if alive else None,
            pinned=role.pinned,
            ttl_s=ttl_s,
            expires_s=max(ttl_s - idle_s, 0.0) if alive and ttl_s and not busy else None,
            idle_s=0.0 if busy else idle_s,
            process=self._process(busy) if alive else None,
            memory_bytes=int(role.size_bytes * 0.06) + 410_000_000 if alive else None,
            device_bytes=int(role.size_bytes * 1.12) if alive else None,
            running=busy,
            waiting=self.waiting,
            max_queue=MAX_QUEUE,
            slots=[self._slot(at) for at in range(role.parallel)] if alive else None,
            kv=self._kv() if alive else None,
            stats_age_s=0.1 if alive else None,
            preemptions=0 if alive else None,
            windows=self.tally.windows(now_s),
            totals=self.tally.totals(),
        )

    def requests(self, now_s: float) -> list[Request]:
        found = [self._request(asked, now_s) for asked in (*self.running, *self._queue)]
        return sorted(found, key=lambda request: -request.age_s)

    def _request(self, asked: Asked, now_s: float) -> Request:
        state: RequestState = "queued"
        if asked.slot is not None:
            state = "decode" if asked.first_s else "prefill"
        written_s = now_s - asked.first_s
        queued = state == "queued"
        return Request(
            id=asked.id,
            engine=self.role.id,
            state=state,
            age_s=now_s - asked.at_s,
            slot=asked.slot,
            prompt_tokens=None if queued else asked.prompt,
            prompt_done=None if queued else int(asked.read),
            cached_tokens=None if queued else asked.cached,
            output_tokens=int(asked.written),
            tokens_per_s=asked.written / written_s if asked.first_s and written_s > 0 else None,
            ttft_ms=(asked.first_s - asked.at_s) * 1000 if asked.first_s else None,
            user=asked.user,
            client=asked.client,
        )

    def _slot(self, at: int) -> Slot:
        asked = self._slots[at]
        if asked is None:
            return Slot(id=at, held_tokens=self._held[at])
        return Slot(
            id=at,
            state="decode" if asked.first_s else "prefill",
            request=asked.id,
            held_tokens=int(asked.read + asked.written),
            prompt_tokens=asked.prompt,
            prompt_done=int(asked.read),
            cached_tokens=asked.cached,
            output_tokens=int(asked.written),
        )

    def _kv(self) -> Kv:
        role = self.role
        busy = [asked for asked in self._slots if asked is not None]
        idle = sum(self._held[at] for at, asked in enumerate(self._slots) if asked is None)
        return Kv(
            total_tokens=role.parallel * role.n_ctx,
            used_tokens=sum(int(asked.read + asked.written) for asked in busy),
            cached_tokens=idle,
            bytes=role.parallel * role.n_ctx * 131_072 // 4,
        )

    def _model(self) -> Model:
        role = self.role
        return Model(
            architecture=role.architecture,
            quant=role.quant,
            n_params=role.n_params,
            size_bytes=role.size_bytes,
            n_ctx=role.n_ctx,
            n_ctx_train=131_072,
            parallel=role.parallel,
            n_layer=36,
            gpu_layers=37,
            devices=[f"CUDA{role.gpu}"],
            threads=8,
            can_chat=role.decode_per_s > 1,
            can_embed=role.decode_per_s <= 1,
        )

    def _process(self, busy: int) -> Process:
        return Process(
            pid=self.pid,
            cpu_percent=2.0 + 24.0 * min(busy, 3) + self.random.uniform(0, 3),
            rss_bytes=int(self.role.size_bytes * 0.06) + 410_000_000,
        )
