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

SHORT, SHORT_ROWS = 192, 16  # most steps: rows of a few conversations, one to three turns each
LONG, LONG_ROWS = 2048, 1    # every LONG_EVERY steps: the whole context, long answers, many turns
LONG_EVERY = 20
LEARNED_SHARE = 0.5  # at most so many of a batch's tokens are learned; more are left out


class Packer:
    """Fills rows with whole conversations: the longest of a few waiting ones that fits."""

    WAITING = 24

    def __init__(self, tokenizer, make_conversation, length):
        self.tokenizer, self.make, self.length = tokenizer, make_conversation, length
        self.waiting = []

    def conversation(self):
        while True:
            ids, learn = corpus.tokens_of(self.tokenizer, self.make())
            if len(ids) <= self.length:
                return ids, learn

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
    parser.add_argument("--steps", type=int, default=3200)
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
    short = Packer(tokenizer, source.short_conversation, SHORT)
    long = Packer(tokenizer, source.long_conversation, LONG)
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
