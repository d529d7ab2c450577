"""Carrying out ``kolo bench``: who is measured, the run, and what becomes of it."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

import kolo
from kolo.beacon import find_server
from kolo.beacon import key_for as key_of_server
from kolo.bench.acquaint import Address, Manner, acquaint
from kolo.bench.client import Client
from kolo.bench.host import Hindrances, file_sha256, read_host
from kolo.bench.private import private_server
from kolo.bench.result import Gpu, Run
from kolo.bench.runner import Plan, Runner
from kolo.bench.shelf import Shelf
from kolo.bench.summary import summarize
from kolo.bench.verdict import exit_code_of, notes_on
from kolo.bench.watch import ReadGpus, server_pid
from kolo.cli import loop
from kolo.cli.bench_plan import addresses_of, body_of, depths_of, for_targets, key_for, plan_of
from kolo.cli.bench_progress import Ticker
from kolo.cli.bench_reports import write_report
from kolo.cli.boundary import Stopped
from kolo.cli.output import talk
from kolo.config import Settings, load_settings
from kolo.errors import KoloError, UsageError
from kolo.monitor.gpu import gpus_of_this_machine
from kolo.paths import find_paths

OWN = "kolo"
"""What the target is called that no --url names."""


def run(
    *,
    form: str,
    save: str | None,
    overwrite: bool,
    quiet: bool,
    urls: tuple[str, ...],
    local: bool,
    models: tuple[str, ...],
    api_keys: tuple[str, ...],
    body: str | None,
    api: Any,
    cached: bool,
    timeout_s: float,
    engine_too: bool,
    depths: str | None,
    shape: str | None,
    keep: bool,
    ctx_tokens: int | None,
    parallel: int | None,
    threads: int | None,
    gpu_layers: int | None,
    **work: Any,
) -> int:
    """Measure, report, keep; the exit code. Stopped on the way, it reports what there is."""
    plan = plan_of(**work)
    given = {"ctx": ctx_tokens, "parallel": parallel, "threads": threads, "gpu_layers": gpu_layers}
    params = {name: value for name, value in given.items() if value is not None}
    if keep and shape is None:
        raise UsageError("--keep is for the model of --shape", hint="leave it out")
    if depths is not None and not engine_too:
        raise UsageError("--depth is for --engine", hint="--engine, or leave it out")
    own = local or not urls or shape is not None
    _check(plan, own=own, params=params, engine_too=engine_too)
    shelf = Shelf(find_paths(os.environ).state)
    if overwrite and save is None:
        raise UsageError("--overwrite goes with --save", hint="--save NAME")
    if save is not None:
        shelf.check_free(save, overwrite=overwrite)
    settings = load_settings()
    setting = _Setting(
        settings=settings,
        plan=plan,
        addresses=addresses_of(urls, models, api_keys, reserved=OWN if own else None),
        own=own,
        private=local or bool(params) or shape is not None,
        model=for_targets(models, [OWN])(OWN) or settings.default_model,
        api_key=key_for(OWN, api_keys, [OWN]) if own else "",
        params=params,
        manner=Manner(
            api=api, body=body_of(body), seed=plan.seed, cached=cached, silence_s=timeout_s
        ),
        shape=shape,
        keep=keep,
        engine_too=engine_too,
        depths=depths_of(depths),
        ticker=Ticker(quiet=quiet),
    )
    document = Run(
        kolo=kolo.__version__,
        started=time.time(),
        seed=plan.seed,
        planned_rounds=plan.rounds,
        cached=cached,
        goals=[goal.text for goal in plan.goals],
        sweep=plan.sweep,
        body=setting.manner.body,
        host=read_host([]),
        workloads=[workload.info for workload in plan.workloads],
    )
    code = 0
    failure: KoloError | None = None
    try:
        with setting.ticker:
            loop.run(setting.measure(document))
    except Stopped as stopped:
        document.partial, code = True, stopped.exit_code
    except KoloError as error:  # what was measured before it is not lost
        document.partial, failure = True, error
    if any(cell.rounds for cell in document.cells) or document.engine:
        _conclude(document, shelf, save, form)
        code = code or exit_code_of(document)
    if failure is not None:
        raise failure
    return code


def _conclude(document: Run, shelf: Shelf, save: str | None, form: str) -> None:
    """Do the sums, keep the run, and write it."""
    document.notes += notes_on(document)
    document.summary = summarize(document)
    shelf.keep(document, save)
    write_report(document, form)
    if document.partial:
        talk("stopped: this is what was measured until then")


def _check(plan: Plan, *, own: bool, params: dict[str, Any], engine_too: bool) -> None:
    """UsageError for what needs a server of the run's own, and has none."""
    if params and not own:
        raise UsageError(
            f"--{next(iter(params)).replace('_', '-')} is for a server of the run's own",
            hint="--local, or leave it out",
        )
    if engine_too and not own:
        raise UsageError("--engine measures a model of this machine", hint="--local besides --url")
    if engine_too and any(load.rate is not None for load in plan.loads):
        raise UsageError("--engine is as wide as there are users", hint="-c, in place of --rate")
    if engine_too and not any(each.info.kind == "fixed" for each in plan.workloads):
        raise UsageError("--engine goes with the workload fixed", hint="-w fixed")


@dataclass(kw_only=True)
class _Setting:
    """Everything that was asked for, and the order in which it is done."""

    settings: Settings
    plan: Plan
    addresses: list[Address]
    own: bool
    """A target that no --url names: the running server, or one of the run's own."""
    private: bool
    """It has to be of the run's own."""
    model: str
    api_key: str
    params: dict[str, Any]
    manner: Manner
    shape: str | None
    keep: bool
    engine_too: bool
    depths: tuple[int, ...]
    ticker: Ticker

    async def measure(self, run: Run) -> None:
        """Fill ``run``. What was measured when it is cancelled stays in it."""
        async with AsyncExitStack() as held:
            if self.shape is not None:
                await self._make_shape(run, held)
            await self._measure_servers(run)
            if self.engine_too:
                await self._measure_engine(run)

    async def _measure_servers(self, run: Run) -> None:
        """Those that are asked over HTTP; one of the run's own is gone afterwards."""
        read_gpus = await _gpus(run)
        async with AsyncExitStack() as held:
            addresses = [*([await self._own(held)] if self.own else []), *self.addresses]
            clients = [await self._meet(address, run, held) for address in addresses]
            await self._check_files(run, clients)
            hindrances = Hindrances()
            try:
                runner = Runner(run, clients, self.plan, self.ticker.tell, read_gpus)
                await runner.go()
            finally:
                hindrances.add_to(run.host)

    async def _own(self, held: AsyncExitStack) -> Address:
        """The server that runs, or one started for the run: said either way."""
        if not self.private:
            found = await self._running()
            if found is not None:
                talk(f"measuring {found.model} on the server at {found.url}", faint=True)
                return found
        self.ticker.say(f"loading {self.model} into a server of its own")
        server = await held.enter_async_context(
            private_server(
                self.model, self.params, timeout_s=float(self.settings.manager.load_timeout_s)
            )
        )
        self.ticker.clear()
        talk(f"measuring {server.model} on a server of its own at {server.url}", faint=True)
        return Address(name=OWN, url=server.url, kind="private", model=server.model, pid=server.pid)

    async def _running(self) -> Address | None:
        """The running server if it has the model."""
        url = find_server(self.settings)
        if url is None:
            return None
        from kolo.client.engines import find_engine
        from kolo.client.http import Http
        from kolo.client.names import file_of

        path = file_of(self.model, self.settings)
        async with Http(url) as http:
            engine = await find_engine(http, str(path or self.model))
        if engine is None:
            talk(f"the server at {url} does not have {self.model}", faint=True)
            return None
        key = self.api_key or key_of_server(url)
        return Address(name=OWN, url=url, kind="kolo", model=engine.engine_id, api_key=key)

    async def _meet(self, address: Address, run: Run, held: AsyncExitStack) -> Client:
        self.ticker.say(f"asking {address.name} at {address.url}")
        client = await acquaint(address, self.manner)
        held.callback(client.endpoint.close)
        if client.pid is None:
            client.pid = server_pid(client.endpoint.host, client.endpoint.port)
        run.targets.append(client.target)
        return client

    async def _check_files(self, run: Run, clients: list[Client]) -> None:
        """Which model it was, for those whose file is on this machine."""
        cache = find_paths(os.environ).cache / "sha256.json"
        for target, client in zip(run.targets, clients, strict=True):
            if target.model_path and client.pid is not None:
                self.ticker.say(f"reading {os.path.basename(target.model_path)}")
                path = Path(target.model_path)
                target.model_bytes, target.model_sha256 = await asyncio.to_thread(
                    file_sha256, path, cache
                )

    async def _make_shape(self, run: Run, held: AsyncExitStack) -> None:
        from kolo.bench.shapes import made

        assert self.shape is not None
        path, run.shape = await held.enter_async_context(
            made(self.shape, self.ticker.say, keep=self.keep)
        )
        self.model = str(path)

    async def _measure_engine(self, run: Run) -> None:
        """The same lengths and widths, inside a worker, with nothing else running."""
        from kolo.bench.layers import EngineWork
        from kolo.bench.probe import measure

        fixed = next(info for info in run.workloads if info.kind == "fixed")
        widths = {cell.load.concurrency for cell in run.cells if cell.load.concurrency}
        work = EngineWork(
            target=OWN,
            model=self.model,
            settings=replace(self.settings, engine=replace(self.settings.engine, **self.params)),
            widths=tuple(sorted(widths)) or (1,),
            prompt_tokens=fixed.prompt_tokens or 1,
            output_tokens=fixed.output_tokens or 1,
            # First the depth that the whole path is set against.
            depths=tuple(dict.fromkeys((fixed.prompt_tokens or 1, *self.depths))),
            repetitions=max(self.plan.rounds, 3),
            seed=self.plan.seed,
        )
        await measure(work, self.ticker.say, run.engine.append)


async def _gpus(run: Run) -> ReadGpus | None:
    """A reader of this machine's GPUs; None where there is none."""
    read = gpus_of_this_machine()
    found = await asyncio.to_thread(read)
    run.host.gpus = [
        Gpu(name=gpu.name, memory_bytes=gpu.memory_total_bytes, driver=gpu.driver or "")
        for gpu in found
    ]
    return read if found else None
