"""What is measured of one request, against a server whose delays are exact."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from benching import FakeOpenAI, Script, Step, run_virtual, serving, steady

from kolo.bench.request import CHAT, COMPLETIONS, Answer, Ask, perform
from kolo.bench.wire import Endpoint

ASK = Ask(path=COMPLETIONS, body={})


def ask_once(script: Script, ask: Ask = ASK, *, silence_s: float = 600.0) -> Answer:
    async def main() -> Answer:
        async with FakeOpenAI(lambda body: script) as server:
            endpoint = Endpoint(server.url)
            began = asyncio.get_running_loop().time()
            try:
                return await perform(endpoint, ask, b"{}", round_began=began, silence_s=silence_s)
            finally:
                endpoint.close()

    return run_virtual(main())


def test_times_are_those_of_the_server() -> None:
    sample = ask_once(steady(5, first_s=0.5, gap_s=0.1)).sample
    assert sample.error is None
    assert sample.ttft_ms == pytest.approx(500)
    assert sample.e2e_ms == pytest.approx(900)
    assert sample.gaps_ms == pytest.approx([100] * 4)
    assert (sample.output_tokens, sample.prompt_tokens) == (5, 8)
    assert (sample.finish, sample.counted) == ("length", "usage")


def test_pieces_of_one_read_are_one_arrival_and_all_counted() -> None:
    script = Script([Step(0.2, ["a", "b", "c"]), Step(0.3, ["d"])])
    sample = ask_once(script).sample
    assert sample.gaps_ms == pytest.approx([300])
    assert (sample.output_tokens, sample.counted) == (4, "pieces")


def test_a_role_is_no_first_token() -> None:
    role = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    script = Script([Step(0.1, raw=role), Step(0.4, ["a"]), Step(0.1, ["b"])])
    sample = ask_once(script, Ask(path=CHAT, body={})).sample
    assert sample.ttft_ms == pytest.approx(500)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_thought_is_a_first_token(field: str) -> None:
    thought = b'data: {"choices":[{"delta":{"%s":"hm"}}]}\n\n' % field.encode()
    script = Script([Step(0.1, raw=thought), Step(0.4, ["a"])])
    sample = ask_once(script, Ask(path=CHAT, body={})).sample
    assert sample.ttft_ms == pytest.approx(100)


def test_an_answer_without_text_has_no_first_token_and_is_no_error() -> None:
    sample = ask_once(Script([Step(0.1)], finish="stop"), Ask(path=CHAT, body={})).sample
    assert (sample.error, sample.ttft_ms, sample.finish) == (None, None, "stop")


def test_what_the_server_tells_of_itself_is_kept() -> None:
    script = steady(2)
    script.timings = {"queue_ms": 3.5, "prompt_ms": 7.25, "cache_n": 4}
    sample = ask_once(script).sample
    assert (sample.queue_ms, sample.prefill_ms, sample.cached_tokens) == (3.5, 7.25, 4)


def test_an_event_cut_anywhere_is_read_whole() -> None:
    event = b'data: {"choices":[{"text":"\xc3\xa9"}]}\r\n\r\n'
    for at in range(1, len(event)):
        script = Script([Step(0.1, raw=event[:at]), Step(0.1, raw=event[at:])])
        answer = ask_once(script, Ask(path=COMPLETIONS, body={}, keep_text=True))
        assert answer.sample.error is None
        assert answer.text == "é"


def broken(status: int = 200, body: Any = None, **more: Any) -> Script:
    return Script([Step(0.1, ["a"])], status=status, body=body, **more)


def raw(data: bytes) -> Script:
    return Script([Step(0.1, raw=data)])


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (broken(cut=True), "cut", "closed the connection inside"),
        (broken(finish=None), "", ""),  # [DONE] alone ends it
        (broken(401, {"error": {"message": "bad key"}}), "auth", "401: bad key"),
        (broken(404, {"error": "model 'x' not found"}), "not_found", "model 'x' not found"),
        (broken(400, {"detail": "too long"}), "refused", "too long"),
        (broken(429, {}), "busy", "429"),
        (broken(503, {"error": {"message": "full"}}), "busy", "full"),
        (broken(500, {"error": {"message": "oh"}}), "server_error", "oh"),
        (raw(b'data: {"error":{"message":"died"}}\n\n'), "server_error", "died"),
        (raw(b"data: <html>\n\n"), "protocol", "no chunk of OpenAI's"),
    ],
)
def test_what_goes_wrong_has_a_kind(script: Script, kind: str, words: str) -> None:
    sample = ask_once(script).sample
    assert (sample.error or "") == kind
    assert words in sample.detail
    assert sample.error is None or sample.ttft_ms is None


def test_a_stream_that_ends_without_its_end_is_cut() -> None:
    async def main() -> Answer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            event = b'data: {"choices":[{"text":"a"}]}\n\n'
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(event)
            writer.write(head + event)

        async with serving(serve) as url:
            endpoint = Endpoint(url)
            answer = await perform(endpoint, ASK, b"{}", round_began=0.0)
            endpoint.close()
            return answer

    assert run_virtual(main()).sample.error == "cut"


def test_silence_ends_in_a_timeout() -> None:
    script = Script([Step(0.1, ["a"]), Step(30, ["b"])])
    sample = ask_once(script, silence_s=2.0).sample
    assert (sample.error, sample.detail) == ("timeout", "nothing came for 2 s")


def test_nobody_there_is_unreachable() -> None:
    async def main() -> Answer:
        return await perform(Endpoint("http://127.0.0.1:1"), ASK, b"{}", round_began=0.0)

    sample = run_virtual(main()).sample
    assert (sample.error, sample.detail) == ("unreachable", "Connection refused")


@pytest.mark.parametrize("reply", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 huh\r\n\r\n"])
def test_a_stranger_on_the_port_is_a_protocol_error(reply: bytes) -> None:
    async def main() -> Answer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(reply)
            await reader.read()

        async with serving(serve) as url:
            return await perform(Endpoint(url), ASK, b"{}", round_began=0.0)

    assert run_virtual(main()).sample.error == "protocol"


def test_a_check_turns_a_wrong_answer_into_an_error() -> None:
    def check(text: str, cut: bool) -> str:
        return f"{text!r} {cut}"

    sample = ask_once(steady(2), Ask(path=COMPLETIONS, body={}, check=check)).sample
    assert (sample.error, sample.detail) == ("invalid_output", "'t0 t1 ' True")


def with_endpoint(play: Callable[[Endpoint, FakeOpenAI], Any]) -> Any:
    async def main() -> Any:
        async with FakeOpenAI(lambda body: steady(2)) as server:
            endpoint = Endpoint(server.url, {"Authorization": "Bearer k"})
            try:
                return await play(endpoint, server)
            finally:
                endpoint.close()

    return run_virtual(main())


def test_connections_are_used_again_and_headers_sent() -> None:
    async def play(endpoint: Endpoint, server: FakeOpenAI) -> None:
        for _ in range(3):
            answer = await perform(endpoint, ASK, b"{}", round_began=0.0)
            assert answer.sample.error is None
        assert server.connections == 1
        assert all("Authorization: Bearer k" in head for head in server.headers)

    with_endpoint(play)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_a_base_url_may_end_in_the_version(path: str) -> None:
    async def main() -> int:
        async with FakeOpenAI(lambda body: steady(2)) as server:
            endpoint = Endpoint(server.url + path)
            reply = await endpoint.ask("GET", "/v1/models")
            endpoint.close()
            return reply.status

    assert run_virtual(main()) == 200


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async def main() -> None:
        served = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal served
            await reader.readuntil(b"\r\n\r\n")
            served += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await reader.read(1)  # the next request gets no answer

        async with serving(serve) as url:
            endpoint = Endpoint(url)
            for _ in range(2):
                assert (await endpoint.ask("GET", "/")).body == b"ok"
            endpoint.close()
        assert served == 2

    run_virtual(main())


def test_a_cancelled_request_closes_its_connection() -> None:
    async def play(endpoint: Endpoint, server: FakeOpenAI) -> None:
        asking = asyncio.create_task(perform(endpoint, ASK, b"{}", round_began=0.0))
        await asyncio.sleep(0.1)
        assert server.active == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await perform(endpoint, ASK, b"{}", round_began=0.0)).sample.error is None
        assert server.connections == 2

    with_endpoint(play)
