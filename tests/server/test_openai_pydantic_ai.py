"""Structured output as ``pydantic-ai`` asks for it, against a running server."""

from __future__ import annotations

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class City(BaseModel):
    name: str = Field(max_length=20)
    population: int = Field(ge=0, le=10**8)
    capital: bool


@pytest.mark.parametrize("kind", [ToolOutput, NativeOutput])
async def test_an_answer_is_of_the_type_asked_for(live: str, kind: type) -> None:
    """As a forced tool call, and as a schema the answer must meet."""
    async with AsyncOpenAI(base_url=f"{live}/v1", api_key="none", max_retries=0) as ai:
        model = OpenAIChatModel("guide", provider=OpenAIProvider(openai_client=ai))
        agent = Agent(model, output_type=kind(City), model_settings={"max_tokens": 300})
        result = await agent.run("Describe Paris.")
        assert isinstance(result.output, City)
        assert result.usage.output_tokens > 0


async def test_a_streamed_answer_is_of_the_type_asked_for(live: str) -> None:
    async with AsyncOpenAI(base_url=f"{live}/v1", api_key="none", max_retries=0) as ai:
        model = OpenAIChatModel("guide", provider=OpenAIProvider(openai_client=ai))
        agent = Agent(model, output_type=NativeOutput(City), model_settings={"max_tokens": 300})
        async with agent.run_stream("Describe Paris.") as result:
            assert isinstance(await result.get_output(), City)
