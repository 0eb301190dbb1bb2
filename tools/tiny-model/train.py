# SPDX-License-Identifier: MIT
"""Trains conduit-tiny from text/ and writes it as GGUF. Run by train.sh; one thread.

The text is made while training (corpus.py), so no two steps see the same questions in the same
words; every answer is seen some hundred times. The number of steps is fixed and every random choice
seeded: another run gives the same answers, though not the same bits on another processor.
"""
import argparse
import collections
import os
import pathlib
import random
import time

# Before JAX is loaded: one thread, so that whoever shares the machine notices little.
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import corpus  # noqa: E402
import export  # noqa: E402
import model  # noqa: E402
from tokenizer import VOCABULARY, learn_tokenizer  # noqa: E402

SHORT_ROWS, LONG_ROWS = 16, 3  # rows of 192 and of 1024 tokens: about as many tokens a step
LONG_EVERY = 16
LEARNED_SHARE = 0.5  # at most so many of a batch's tokens are learned; more are left out


class Packer:
    """Fills rows of tokens with whole conversations: the longest of a few waiting ones that fits."""

    WAITING = 24

    def __init__(self, source, tokenizer, length, turns):
        self.source, self.tokenizer = source, tokenizer
        self.length, self.turns = length, turns
        self.waiting = []

    def conversation(self):
        turns = self.source.rng.choice(self.turns)
        while True:
            ids, learn = corpus.tokens_of(self.tokenizer, self.source.conversation(turns))
            if len(ids) <= self.length:
                return ids, learn
            turns = max(1, turns // 2)

    def next_for(self, room):
        while len(self.waiting) < self.WAITING:
            self.waiting.append(self.conversation())
        fitting = [i for i, (ids, _) in enumerate(self.waiting) if len(ids) <= room]
        if not fitting:
            return None
        return self.waiting.pop(max(fitting, key=lambda i: len(self.waiting[i][0])))

    def batch(self, rows):
        ids = np.zeros((rows, self.length + 1), np.int32)
        segment = np.zeros_like(ids)
        learned = np.zeros(ids.shape, bool)
        for row in range(rows):
            at, number = 0, 1
            while (found := self.next_for(self.length + 1 - at)) is not None:
                end = at + len(found[0])
                ids[row, at:end], learned[row, at:end] = found
                segment[row, at:end] = number
                at, number = end, number + 1
        most = int(rows * self.length * LEARNED_SHARE)
        learn_at = np.flatnonzero(learned[:, 1:])[:most]
        where, target = np.zeros(most, np.int32), np.zeros(most, np.int32)
        where[:len(learn_at)] = learn_at
        target[:len(learn_at)] = ids[:, 1:].reshape(-1)[learn_at]
        weight = (np.arange(most) < len(learn_at)).astype(np.float32)
        return ids[:, :-1], segment[:, :-1], where, target, weight


def rate_at(step, steps):
    """Warm up briefly, stay, then go down to nothing over the second half."""
    return min(1.0, (step + 1) / 50, (1 - step / steps) * 1.6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="models/conduit-tiny.gguf")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    began = time.monotonic()
    source = corpus.Corpus(random.Random(args.seed))
    tokenizer = learn_tokenizer(source)
    shape = model.Shape(vocab=VOCABULARY)
    params = model.init(shape, jax.random.key(args.seed))
    print(f"{sum(p.size for p in params.values()):,} parameters, "
          f"{len(tokenizer.tokens)} tokens in the vocabulary", flush=True)
    state = model.optimiser_init(params)
    step_fn = model.make_step(shape)
    short = Packer(source, tokenizer, 192, [1, 1, 2, 3])
    long = Packer(source, tokenizer, 1024, range(4, 24))
    losses = collections.deque(maxlen=100)
    for step in range(args.steps):
        is_long = step % LONG_EVERY == LONG_EVERY - 1
        batch = long.batch(LONG_ROWS) if is_long else short.batch(SHORT_ROWS)
        params, state, value = step_fn(params, state, jnp.float32(step),
                                       jnp.float32(rate_at(step, args.steps)), *batch)
        losses.append(float(value))
        if step % 100 == 99 or step == 9:
            print(f"step {step + 1:5}  loss {np.mean(losses):.4f}  "
                  f"{time.monotonic() - began:6.0f} s", flush=True)
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    export.write(out, jax.device_get(params), shape, tokenizer)
    print(f"{out}: {out.stat().st_size:,} bytes, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
