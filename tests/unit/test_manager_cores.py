"""How the processor is shared among busy engines."""

from __future__ import annotations

from functools import partial

from kolo.manager.cores import Cores


class Machine:
    """What each engine was last told, and how often."""

    def __init__(self, n_cores: int) -> None:
        self.cores = Cores()
        self.n_cores = n_cores
        self.shares: dict[str, int] = {}
        self.told = 0

    def tell(self, engine: str, share: int) -> None:
        self.shares[engine] = share
        self.told += 1

    def join(self, engine: str) -> None:
        self.cores.join(engine, self.n_cores, partial(self.tell, engine))


def test_an_engine_alone_has_every_core_without_being_told() -> None:
    machine = Machine(4)
    machine.join("a")
    assert machine.shares == {}


def test_two_have_half_each_and_the_one_left_has_all_again() -> None:
    machine = Machine(4)
    machine.join("a")
    machine.join("b")
    assert machine.shares == {"a": 2, "b": 2}
    machine.cores.leave("a")
    assert machine.shares["b"] == 4


def test_what_does_not_divide_goes_to_the_first_and_nobody_has_none() -> None:
    machine = Machine(4)
    for engine in "abc":
        machine.join(engine)
    assert machine.shares == {"a": 2, "b": 1, "c": 1}
    for engine in "defgh":
        machine.join(engine)
    assert set(machine.shares.values()) == {1}


def test_one_that_comes_back_is_told_only_what_is_new() -> None:
    machine = Machine(2)
    machine.join("a")
    machine.join("b")
    told = machine.told
    machine.cores.leave("b")
    machine.join("b")
    assert machine.shares == {"a": 1, "b": 1}
    assert machine.told == told + 2  # to the first, that it has all, and that it has half
    machine.cores.forget("b")
    assert machine.shares["a"] == 2


def test_leaving_twice_or_without_having_joined_is_nothing() -> None:
    machine = Machine(2)
    machine.cores.leave("a")
    machine.cores.forget("a")
    assert machine.told == 0
