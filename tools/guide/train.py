"""Train guide: tokenizer first, then the network, on fresh samples from the corpus.

    python tools/guide/train.py --out build/guide

writes `tokenizer.json` and `weights.pt` there. With the same seed and number of threads, the
same samples come in the same order.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from corpus import Corpus, Document
from model import Guide, Muon, Shape
from tokenizers import Tokenizer
from tokens import FIM_MIDDLE, PAD, TURN_END, TURN_START, train_tokenizer

LONGEST = 2048
OTHER_WEIGHT = 0.1
FIRST_WEIGHT = 3.0


def weigh(ids: list[int], header: list[int], document: Document) -> list[float]:
    """How much each token counts: answers fully, the rest a little, plain text fully.

    The first tokens of an answer count most: with them guide chooses what to say, and after
    them it only recites. The rest still counts a little because it teaches how people write;
    not more, because guide need not learn which question comes next. Of a text torn apart for
    infill, only the part to fill in counts, and of forced JSON not how it opens.
    """
    if document.plain:
        return [1.0] * len(ids)
    if FIM_MIDDLE in ids:
        middle = ids.index(FIM_MIDDLE) + 1
        return [0.0] * middle + [1.0] * (len(ids) - middle)
    weights = [OTHER_WEIGHT] * len(ids)
    at = 0
    while at < len(ids):
        if ids[at : at + len(header)] == header:
            at += len(header)
            first = at
            while at < len(ids):
                weights[at] = FIRST_WEIGHT if at < first + 4 else 1.0
                if document.forced:
                    weights[at] = 0.0 if at < first + 2 else 1.0
                if ids[at] == TURN_END:
                    break
                at += 1
        at += 1
    return weights


def batches(
    corpus: Corpus, tokenizer: Tokenizer, size: int, rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of about `size` tokens; samples of like length share one, so little is padding.

    Every sample starts at position zero with nothing before it, as a request does.
    """
    header = tokenizer.encode("<|im_start|>assistant\n").ids
    assert header[0] == TURN_START
    while True:
        pool = []
        for _ in range(2000):
            document = corpus.document(rng)
            ids = tokenizer.encode(document.text).ids[:LONGEST]
            pool.append((ids, weigh(ids, header, document)))
        pool.sort(key=lambda sample: len(sample[0]))
        groups: list[list[tuple[list[int], list[float]]]] = [[]]
        for sample in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(sample[0]) > size:
                groups.append([])
            groups[-1].append(sample)
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(ids) for ids, _ in group)
            tokens = torch.full((len(group), longest), PAD)
            weights = torch.zeros(len(group), longest)
            for row, (ids, counts) in enumerate(group):
                tokens[row, : len(ids)] = torch.tensor(ids)
                weights[row, : len(ids)] = torch.tensor(counts)
            yield tokens, weights


def train(options: argparse.Namespace) -> None:
    """Run the whole training and write its two files."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus()

    path = options.out / "tokenizer.json"
    if options.keep_tokenizer:
        tokenizer = Tokenizer.from_file(str(path))
    else:
        rng = random.Random(options.seed)
        tokenizer = train_tokenizer(corpus.document(rng).text for _ in range(12000))
        tokenizer.save(str(path))

    shape = Shape(vocab=tokenizer.get_vocab_size())
    model = Guide(shape)
    if options.start:
        model.load_state_dict(torch.load(options.start, weights_only=True))
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embd" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim == 1 or "embd" in n]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=0.02, momentum=0.95, decay=0.1),
        torch.optim.AdamW(others, lr=0.004, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]

    source = batches(corpus, tokenizer, options.batch, random.Random(options.seed + 1))
    started, seen, smooth = time.monotonic(), 0, 0.0
    for step in range(options.steps):
        left = 1 - step / options.steps
        if options.minutes:
            left = min(left, 1 - (time.monotonic() - started) / (60 * options.minutes))
            if left <= 0:
                break
        factor = options.rate * min(1.0, (step + 1) / 40, left / 0.6)
        tokens, weights = next(source)
        loss = model(tokens, weights)
        loss.backward()
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad()
        seen += tokens.numel()
        smooth = loss.item() if not step else 0.96 * smooth + 0.04 * loss.item()
        if step % 25 == 0 or step == options.steps - 1:
            spent = time.monotonic() - started
            speed = f"{seen / spent:6.0f} tok/s  {spent:5.0f} s"
            print(f"{step:5d}  loss {smooth:.3f}  {speed}", flush=True)
        if step % 50 == 49:
            torch.save(model.state_dict(), options.out / "weights.part.pt")
    torch.save(model.state_dict(), options.out / "weights.pt")


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/guide"))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--minutes", type=float, help="end after this time, however many steps")
    parser.add_argument("--batch", type=int, default=3072, help="tokens in a batch")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", type=Path, help="weights to start from")
    parser.add_argument("--keep-tokenizer", action="store_true", help="use the one in --out")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
