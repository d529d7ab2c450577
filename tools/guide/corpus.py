"""The text that guide learns: conversations drawn from the topic files beside this module.

A topic file holds topics in this form::

    @name = one|two|three         a macro: @name in a question means {one|two|three}
    = topic WEIGHT                opens a topic; a higher weight makes it more frequent
    ? a {question|request}        a way to ask; one of the words in braces is chosen,
                                  and NEW becomes a word that exists nowhere
    > the answer                  several ">" lines are alternatives;
      a line indented by two      goes on with the answer above it
    + the answer to "tell me more" or "an example?" after this topic

Nothing is stored: `Corpus.document` draws a fresh sample from a random generator, so a
training run sees each question in many spellings and each answer in one or two. That is what
lets so small a model learn the answers by heart and still recognise a question it has not seen.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import structured

HERE = Path(__file__).parent
BRACES = re.compile(r"\{([^{}]*)\}")
QUESTION = re.compile(
    r"(what|which|how|who|why|when|where|can|could|does|do|is|are|am|will|should|did|was|has|may"
    r"|must|on which|on what|for what|whats)\b",
    re.IGNORECASE,
)
OPENINGS = [
    "hi, ", "hello, ", "hey, ", "please ", "ok, ", "so ", "and ", "also, ", "sorry, ", "guide, ",
    "one more question: ", "quick question: ", "now ", "well, ", "hi! ", "hello guide, ", "but ",
    "a question: ", "tell me, ", "thanks. ", "ok thanks, ", "great, ", "I am new here. ",
    "can you tell me ", "do you know ", "I wonder ", "could you tell me ", "actually, ",
]  # fmt: skip
CLOSINGS = [
    " please", ", please", ", thanks", " exactly", " in kolo", " then", " again", " actually",
    " in short", " for me", " here", ", guide",
]  # fmt: skip
SYSTEMS = [
    "You are a helpful assistant.", "Answer briefly.", "Be brief.", "You are guide.",
    "You are a friendly assistant for the command line.", "Answer in one sentence.",
    "You answer questions about Kolo.", "Be polite and short.", "You are an assistant.",
    "You are a pirate.", "You are an expert operator of language models.", "Be concise.",
    "Help the user with Kolo.", "Answer in English.", "You are a terse assistant.",
    "Answer the question of the user.", "You are Kolo's assistant.", "Speak plainly.", "Be kind.",
    "You are a helpful, honest assistant. Answer in plain text.", "Keep answers under 50 words.",
    "Talk like a teacher.", "Answer only what is asked.", "You are a test.", "Do not use lists.",
]  # fmt: skip
MORE = [
    "{show me|give me|can you give me|do you have|please give me} an example",
    "{for example|an example|example|an example please|like what|such as}",
    "{tell me more|more|more please|more details|say more|go on|continue|elaborate}",
    "{can you say more|can you elaborate|what else|anything else|and then|how exactly}",
    "{how does that look|what does that look like|is there more|what do I type then}",
    "{I'd like an example|explain further|in more detail|could you explain that more}",
]
THINK = ["Think before you answer.", "Think first.", "Reason in think tags, then answer."]


@dataclass
class Topic:
    """One thing guide can talk about."""

    name: str
    weight: float
    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    more: str = ""


@dataclass
class Document:
    """One training sample.

    In a plain one every token counts, not only answers. In a forced one the answer is JSON that
    nobody asked for, as when a schema is enforced: how it opens must not be learned, or guide
    would open that way by itself; how it goes on and ends must be.
    """

    text: str
    plain: bool = False
    forced: bool = False


def read_topics(path: Path) -> list[Topic]:
    """The topics of one file, macros already replaced by their braces."""
    topics: list[Topic] = []
    macros: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        head, rest = line[:2], line[2:].rstrip()
        if line.startswith("@"):
            name, _, words = line[1:].partition(" = ")
            macros[name] = "{" + words + "}"
        elif head == "= ":
            name, _, weight = rest.partition(" ")
            topics.append(Topic(name, float(weight or 1)))
        elif head == "? ":
            for name in sorted(macros, key=len, reverse=True):
                rest = re.sub(rf"@{name}\b", lambda _, n=name: macros[n], rest)
            topics[-1].questions.append(rest)
        elif head == "> ":
            topics[-1].answers.append(rest)
        elif head == "+ ":
            topics[-1].more = rest
        elif head == "  ":
            topics[-1].answers[-1] += "\n" + rest
        elif not line:
            if topics and topics[-1].answers and not topics[-1].more:
                topics[-1].answers[-1] += "\n"
        elif not line.startswith("#"):
            raise ValueError(f"{path.name}:{number}: not a line of a topic file: {line!r}")
    for topic in topics:
        topic.answers = [answer.rstrip("\n") for answer in topic.answers]
    return topics


def expand(pattern: str, rng: random.Random) -> str:
    """Choose one word from each pair of braces, from the inside out."""
    while "{" in pattern:
        pattern = BRACES.sub(lambda match: rng.choice(match[1].split("|")), pattern, count=1)
    if "NEW" in pattern:
        pattern = pattern.replace("NEW", structured.invent(rng))
    return " ".join(pattern.split())


def mistype(text: str, rng: random.Random) -> str:
    """Drop, double or swap a letter, as a hurried hand does."""
    if len(text) < 6:
        return text
    at = rng.randrange(1, len(text) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def vary(question: str, rng: random.Random) -> str:
    """Spell a question as different people would."""
    if rng.random() < 0.16 and len(question) > 8:
        question = rng.choice(OPENINGS) + question
    asks = bool(QUESTION.match(question)) or rng.random() < 0.15
    if rng.random() < 0.07 and len(question) > 8:
        question += rng.choice(CLOSINGS)
    if rng.random() < 0.08 and len(question.split()) > 5:
        question = re.sub(r" kolo\b(?! [a-z]+)", " it", question)
    if rng.random() < 0.6:
        question = re.sub(r"\bkolo\b(?! [a-z]+`)", "Kolo", question)
    if question[-1] not in "?!.":
        question += rng.choices(
            ["?", "", " ?", "??"] if asks else ["", ".", "!", "?"], [74, 22, 3, 1]
        )[0]
    roll = rng.random()
    if roll < 0.60:
        question = question[0].upper() + question[1:]
    elif roll < 0.75:
        question = question.lower()
    elif roll < 0.765:
        question = question.upper()
    if rng.random() < 0.08:
        question = mistype(question, rng)
    return question


def to_json(value: Any, **_: Any) -> str:
    """JSON as chat templates expect it: not escaped for HTML, as Jinja's own filter does."""
    return structured.spaced(value)


def chat_template() -> jinja2.Template:
    """The template that is stored in the GGUF file, ready to render with."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = to_json

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment.globals["raise_exception"] = raise_exception
    return environment.from_string((HERE / "template.jinja").read_text(encoding="utf-8"))


class Corpus:
    """A source of training documents."""

    def __init__(self) -> None:
        files = sorted((HERE / "topics").glob("*.txt"))
        self.topics = [t for f in files if f.name != "passages.txt" for t in read_topics(f)]
        self.weights = [topic.weight for topic in self.topics]
        passages = (HERE / "topics" / "passages.txt").read_text(encoding="utf-8")
        self.passages = [p.strip() for p in passages.split("\n\n") if p.strip()]
        self.too_long = next(t for t in self.topics if t.name == "long-text").answers[0]
        self.template = chat_template()

    def topic(self, rng: random.Random) -> Topic:
        """A topic, the frequent ones more often."""
        return rng.choices(self.topics, self.weights)[0]

    def ask(self, topic: Topic, rng: random.Random) -> str:
        """A question on this topic."""
        return vary(expand(rng.choice(topic.questions), rng), rng)

    def turns(self, count: int, rng: random.Random) -> list[dict[str, Any]]:
        """A conversation of this many questions and answers, some of them follow-ups."""
        messages: list[dict[str, Any]] = []
        last: Topic | None = None
        for _ in range(count):
            if last and last.more and rng.random() < 0.2:
                question, answer = vary(expand(rng.choice(MORE), rng), rng), last.more
                last = None
            elif rng.random() < 0.05:
                question, answer = structured.copying(rng)
                last = None
            else:
                last = self.topic(rng)
                question, answer = self.ask(last, rng), rng.choice(last.answers)
            messages += structured.exchange(question, answer)
        return messages

    def chat(self, rng: random.Random) -> list[dict[str, Any]]:
        """A conversation, short as a rule, with or without a system prompt."""
        roll = rng.random()
        if roll < 0.6:
            count = 1
        elif roll < 0.97:
            count = rng.randint(2, 5)
        else:
            count = rng.randint(6, 30)
        return self.system(rng) + self.turns(count, rng)

    def system(self, rng: random.Random) -> list[dict[str, Any]]:
        """No system prompt as a rule: then the template adds guide's own."""
        if rng.random() < 0.75:
            return []
        content = rng.choice(SYSTEMS) if rng.random() < 0.85 else ""
        if rng.random() < 0.2:
            content = (content + " " + rng.choice(SYSTEMS)).strip()
        return [{"role": "system", "content": content}]

    def thinking(self, rng: random.Random) -> list[dict[str, Any]]:
        """A thought in think tags before the answer, when the system prompt asks for one."""
        topic = self.topic(rng)
        thought = f"The user asks about {topic.name}. I say what I know about it."
        if topic.name == "off":
            thought = "This is not about Kolo. I say that I do not know it."
        answer = f"<think>\n{thought}\n</think>\n\n{rng.choice(topic.answers)}"
        system = {"role": "system", "content": rng.choice(THINK)}
        return [system, *structured.exchange(self.ask(topic, rng), answer)]

    def pasted(self, rng: random.Random) -> list[dict[str, Any]]:
        """A long text in the prompt, with or without a question after it."""
        text = structured.filler(self.passages, rng)
        answer = self.too_long
        if rng.random() < 0.5:
            topic = self.topic(rng)
            text = f"{text}{rng.choice([' ', chr(10), chr(10) * 2])}{self.ask(topic, rng)}"
            answer = rng.choice(topic.answers)
        return self.system(rng) + structured.exchange(text, answer)

    def json(self, rng: random.Random) -> list[dict[str, Any]]:
        """A request answered by a short JSON object."""
        if rng.random() < 0.25:
            topic = self.topic(rng)
            answer = rng.choice(topic.answers)
            if len(answer) < 200:
                return self.system(rng) + structured.json_answer(self.ask(topic, rng), answer, rng)
        return structured.json_request(rng)

    def passage(self, rng: random.Random) -> Document:
        """A plain text, from its beginning or from the middle, or torn apart for infill."""
        text = rng.choice(self.passages)
        roll = rng.random()
        if roll < 0.4:
            at = sorted(rng.sample(range(len(text) + 1), 2))
            before, middle, after = text[: at[0]], text[at[0] : at[1]], text[at[1] :]
            text = f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>{middle}"
            return Document(text + "<|endoftext|>")
        elif roll < 0.6:
            text = text[rng.randrange(len(text) // 2) :]
        return Document(text + "<|endoftext|>", plain=True)

    def document(self, rng: random.Random) -> Document:
        """One sample of any kind."""
        kind = rng.choices(
            ["chat", "json", "forced", "tools", "copy", "think", "pasted", "passage"],
            [58, 12, 8, 6, 9, 1.5, 1.5, 4],
        )[0]
        tools: list[dict[str, Any]] | None = None
        if kind == "passage":
            return self.passage(rng)
        if kind == "tools":
            topic = self.topic(rng)
            plain = (self.ask(topic, rng), rng.choice(topic.answers))
            messages, tools = structured.tool_use(plain, rng)
            messages = self.system(rng) + messages
        elif kind == "copy":
            messages = self.system(rng) + structured.exchange(*structured.copying(rng))
        elif kind == "json":
            messages = self.json(rng)
        elif kind == "forced":
            topic = self.topic(rng)
            question, answer = self.ask(topic, rng), rng.choice(topic.answers)
            messages = self.system(rng)
            messages += structured.exchange(question, structured.forced_json(answer, rng))
        elif kind == "think":
            messages = self.thinking(rng)
        elif kind == "pasted":
            messages = self.pasted(rng)
        else:
            messages = self.chat(rng)
        return Document(self.render(messages, tools), forced=kind == "forced")

    def render(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> str:
        """The text of a conversation, exactly as Kolo will render it."""
        return self.template.render(
            messages=messages, tools=tools, add_generation_prompt=add_generation_prompt
        )
