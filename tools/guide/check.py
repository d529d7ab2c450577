"""Ask the finished model what people would ask, through llama.cpp, and print the answers to read.

    python tools/guide/check.py --model kolo/models/data/guide.gguf

With `--tokens` it also compares llama.cpp's tokens with those of the `tokenizers` library, over
a sample of the corpus and over text in many scripts. A number at the end says how many of the
answers at temperature 0 hold the word that a right answer must hold.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

from corpus import Corpus
from llama_cpp import Llama, LlamaGrammar

# A question, most of them worded as nowhere in the corpus, and a word of the right answer.
QUESTIONS = [
    ("What is Kolo?", "GGUF"),
    ("How do I start the server?", "kolo serve"),
    ("Which command shows live tokens per second?", "kolo top"),
    ("Hi", "Kolo"),
    ("Thanks", "welcome"),
    ("Who are you?", "guide"),
    ("How do I use my own model?", "-m"),
    ("What is TTFT?", "first token"),
    ("what is a GGUF?", "file format"),
    ("hey there, can you tell me what this thing is good for", "Kolo"),
    ("I have a model file on my disk, how do I talk to it?", "-m"),
    ("How can I get an HTTP endpoint up?", "kolo serve"),
    ("on which port will it be listening", "8080"),
    ("how do i get json back from it", "--schema"),
    ("my model crashed, what now?", "worker"),
    ("How do I see which models are currently loaded?", "kolo ps"),
    ("remove a model from memory please", "kolo unload"),
    ("Explain KV cache to me", "KV cache"),
    ("What does ITL stand for?", "inter-token"),
    ("difference between TTFT and ITL?", "first"),
    ("Can I use it in a bash script?", "kolo complete"),
    ("How do I pipe a file into the model?", "stdin"),
    ("limit the answer to 20 tokens", "-n"),
    ("What does --temp do?", "temperature"),
    ("how to make the output deterministic", "--seed"),
    ("How can I abort a running answer?", "Ctrl-C"),
    ("Does Ctrl-C kill the whole program?", "stops the answer"),
    ("how do i exit", "Ctrl-D"),
    ("How do I download a new model?", "kolo pull"),
    ("measure how fast my model is", "kolo bench"),
    ("What's a quant?", "bits"),
    ("what does n_ctx mean", "tokens"),
    ("Tell me what a token is.", "piece of text"),
    ("Are you ChatGPT?", "guide"),
    ("What can't you do?", "only know Kolo"),
    ("Write a poem about the autumn", "only know"),
    ("What's the weather like in Lisbon?", "only know"),
    ("What is 17 * 23?", "only know"),
    ("Write a Python function that reverses a list", "only know"),
    ("Who won the second world war?", "only know"),
    ("What is the best way to cook rice?", "only know"),
    ("Who is the president of Finland?", "only know"),
    ("What is a stapler?", "only know"),
    ("Is Kolo free?", "Apache"),
    ("How many requests can it handle at once?", "batching"),
    ("good bye", "oodbye"),
    ("Say banana", "banana"),
    ("Count to 10", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
    ("Give me JSON for a person with name, age and tags", '"name":'),
    ("Describe a server as JSON", "{"),
    ("What is Kolo? Answer as JSON with the key answer.", '{"answer":'),
]
CONVERSATION = [
    "hello!", "what is kolo top", "show me an example", "and how do I stop an answer?", "thanks!",
    "tell me about the French revolution", "ok. what is a gguf file then?", "tell me more", "bye",
]  # fmt: skip
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "count": {"type": "integer"},
    },
    "required": ["title", "tags", "count"],
}
SCRIPTS = "naïve 北京 😀 Привет مرحبا ਪੰਜਾਬੀ \t\r\n  x  12345 don't I'LL 3.14 ﷽ é \u200b <|nothing|>"


class Asker:
    """The model and its template."""

    def __init__(self, path: Path) -> None:
        self.llama = Llama(str(path), n_ctx=4096, n_threads=2, verbose=False, seed=1)
        self.corpus = Corpus()

    def ask(
        self, messages: list[dict[str, str]], temperature: float, tools: list[dict] | None = None
    ) -> str:
        """The answer to a conversation."""
        return self.complete(self.corpus.render(messages, tools, True), temperature)

    def complete(
        self,
        text: str,
        temperature: float = 0.0,
        limit: int = 400,
        grammar: LlamaGrammar | None = None,
    ) -> str:
        """What follows a text, within a grammar when one is given."""
        prompt = self.llama.tokenize(text.encode(), add_bos=False, special=True)
        made: list[int] = []
        ends = (self.llama.token_eos(), self.corpus_end())
        stream = self.llama.generate(
            prompt,
            temp=temperature,
            top_k=0,
            top_p=1.0,
            min_p=0.0,
            repeat_penalty=1.0,
            grammar=grammar,
        )
        for token in stream:
            if token in ends or len(made) == limit:
                break
            made.append(token)
        return self.llama.detokenize(made, special=True).decode(errors="replace")

    def corpus_end(self) -> int:
        """The token that ends a plain text."""
        return self.llama.tokenize(b"<|endoftext|>", add_bos=False, special=True)[0]


def compare_tokens(asker: Asker, tokenizer_file: Path) -> int:
    """How many texts are cut differently by the two tokenizers."""
    from tokenizers import Tokenizer

    tokenizer, rng = Tokenizer.from_file(str(tokenizer_file)), random.Random(99)
    texts = [asker.corpus.document(rng).text for _ in range(3000)]
    texts += [SCRIPTS, SCRIPTS.upper(), " ", "\n\n\n  \n", bytes(range(1, 128)).decode()]
    wrong = 0
    for text in texts:
        ours = asker.llama.tokenize(text.encode(), add_bos=False, special=True)
        wrong += ours != tokenizer.encode(text).ids
        wrong += asker.llama.detokenize(ours, special=True).decode() != text
    return wrong


def main() -> int:
    """Print everything; the exit code is 0 when all answers at temperature 0 hold their word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("kolo/models/data/guide.gguf"))
    parser.add_argument("--tokens", type=Path, help="a tokenizer.json to compare with")
    parser.add_argument("--warm", type=float, default=0.7, help="the second temperature")
    options = parser.parse_args()
    asker = Asker(options.model)
    right = warm = 0
    for question, word in QUESTIONS:
        cold_answer = asker.ask([{"role": "user", "content": question}], 0.0)
        warm_answer = asker.ask([{"role": "user", "content": question}], options.warm)
        right += word in cold_answer
        warm += word in warm_answer
        print(f"{'  ' if word in cold_answer else '! '}Q: {question}\n    0: {cold_answer}")
        if warm_answer != cold_answer:
            print(f"  {' ' if word in warm_answer else '!'} {options.warm}: {warm_answer}")

    print("\nA conversation")
    messages: list[dict[str, str]] = []
    for question in CONVERSATION:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": asker.ask(messages, 0.0)})
        print(f"> {question}\n  {messages[-1]['content']}")

    print("\nA tool")
    messages = [{"role": "user", "content": "What is the weather in Trento?"}]
    print(asker.ask(messages, 0.0, [TOOL]))
    print("\nA schema")
    system = {"role": "system", "content": "JSON schema:\n" + json.dumps(SCHEMA)}
    print(asker.ask([system, {"role": "user", "content": "Describe a book."}], 0.0))
    print("\nThe schema enforced, whatever the question")
    for question in ("What is Kolo?", "Describe a book.", "Name a city", "Write a poem", "Hi"):
        text = asker.corpus.render([{"role": "user", "content": question}], None, True)
        for temperature in (0.0, 1.0):
            grammar = LlamaGrammar.from_json_schema(json.dumps(SCHEMA), verbose=False)
            print(asker.complete(text, temperature, 200, grammar))
    print("\nPlain text")
    for start in ("Once upon a time", "A token is", "The server", "Hello, my name is"):
        print(start + asker.complete(start, limit=60).replace("\n", " "))
    print("\nA long prompt")
    for length in (500, 1500, 3500):
        text = "stone river " * (length // 3) + "\nWhat is Kolo?"
        print(length, asker.ask([{"role": "user", "content": text}], 0.0))

    if options.tokens:
        print(f"\ntexts cut differently: {compare_tokens(asker, options.tokens)}")
    print(f"\nright: {right} of {len(QUESTIONS)} at 0, {warm} at {options.warm}")
    return 0 if right == len(QUESTIONS) else 1


if __name__ == "__main__":
    sys.exit(main())
