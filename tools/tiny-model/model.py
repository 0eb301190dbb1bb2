# SPDX-License-Identifier: MIT
"""conduit-tiny as JAX sees it: a llama-architecture transformer, its loss and its optimiser.

It must compute what llama.cpp computes for `general.architecture = llama`: RMS norms before the
attention and the feed-forward block, rotary positions on *neighbouring* pairs of a head's numbers
(ggml's "norm" rope), SwiGLU, no biases, an output matrix of its own.

Several conversations are packed into one row; `segment` says which token belongs to which, and no
token sees another segment. Since rotary positions are relative, a conversation may stand anywhere.

Matrices are optimised by Muon (momentum, orthogonalised by a Newton-Schulz iteration), which needs
about half the steps of Adam here; embeddings, output and norms by Adam.
"""
import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Shape:
    vocab: int
    dim: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 384
    context: int = 2048
    rope_base: float = 10000.0
    eps: float = 1e-5


MATRICES = ("wq", "wk", "wv", "wo", "gate", "up", "down")


def init(shape, key):
    keys = iter(jax.random.split(key, 16))
    d, h, n = shape.dim, shape.hidden, shape.layers

    def matrix(rows, cols, scale=1.0):
        return jax.random.normal(next(keys), (n, rows, cols)) * scale * rows ** -0.5

    return {
        "embed": jax.random.normal(next(keys), (shape.vocab, d)) * 0.3,
        "output": jnp.zeros((shape.vocab, d)),
        "norm": jnp.ones(d),
        "norm1": jnp.ones((n, d)), "norm2": jnp.ones((n, d)),
        "wq": matrix(d, d), "wk": matrix(d, d), "wv": matrix(d, d), "wo": matrix(d, d, 0.3),
        "gate": matrix(d, h), "up": matrix(d, h), "down": matrix(h, d, 0.3),
    }


def rms(x, weight, eps):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps) * weight


def rope_tables(shape, length):
    size = shape.dim // shape.heads
    freq = shape.rope_base ** (-jnp.arange(0, size, 2) / size)
    angle = jnp.arange(length)[:, None] * freq
    return jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]


def rope(x, cos, sin):
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


def hidden_states(params, shape, ids, segment):
    """ids, segment: [batch, length] -> [batch * length, dim], normalised for the output matrix.

    Tokens stay in one dimension outside the attention: XLA's CPU code is a third faster so.
    """
    batch, length = ids.shape
    size = shape.dim // shape.heads
    cos, sin = rope_tables(shape, length)
    sees = jnp.tril(jnp.ones((length, length), bool)) & (segment[:, :, None] == segment[:, None])
    x = params["embed"][ids.reshape(-1)]
    for n in range(shape.layers):
        y = rms(x, params["norm1"][n], shape.eps)
        q, k, v = ((y @ params[w][n]).reshape(batch, length, shape.heads, size)
                   for w in ("wq", "wk", "wv"))
        q, k = rope(q, cos, sin), rope(k, cos, sin)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * size ** -0.5
        scores = jax.nn.softmax(jnp.where(sees[:, None], scores, -1e9))
        y = jnp.einsum("bhqk,bkhd->bqhd", scores, v).reshape(-1, shape.dim)
        x = x + y @ params["wo"][n]
        y = rms(x, params["norm2"][n], shape.eps)
        x = x + (jax.nn.silu(y @ params["gate"][n]) * (y @ params["up"][n])) @ params["down"][n]
    return rms(x, params["norm"], shape.eps)


def loss(params, shape, ids, segment, where, target, weight):
    """Mean cross entropy at the flat positions `where` (only there the model learns to write)."""
    x = hidden_states(params, shape, ids, segment)[where]
    logits = x @ params["output"].T
    picked = jnp.take_along_axis(logits, target[:, None], 1)[:, 0]
    return jnp.sum((jax.nn.logsumexp(logits, -1) - picked) * weight) / jnp.sum(weight)


def orthogonal(g):
    """Newton-Schulz: [layers, rows, cols] -> the nearest matrix with singular values around 1."""
    turn = g.shape[1] > g.shape[2]
    x = g.swapaxes(1, 2) if turn else g
    x = x / (jnp.linalg.norm(x, axis=(1, 2), keepdims=True) + 1e-7)
    for _ in range(5):
        a = x @ x.swapaxes(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.swapaxes(1, 2) if turn else x


def optimiser_init(params):
    return {"m": {name: jnp.zeros_like(p) for name, p in params.items()},
            "v": {name: jnp.zeros_like(p) for name, p in params.items() if name not in MATRICES}}


def optimise(params, grads, state, step, rate):
    """One step; `rate` goes from 1 to 0 over the training."""
    m, v, new = {}, {}, {}
    total = jnp.sqrt(sum(jnp.sum(g * g) for g in grads.values()))
    clip = jnp.minimum(1.0, 1.0 / (total + 1e-6))
    for name, p in params.items():
        g = grads[name] * clip
        if name in MATRICES:
            m[name] = 0.95 * state["m"][name] + g
            update = orthogonal(g + 0.95 * m[name])
            scale = max(1.0, p.shape[2] / p.shape[1]) ** 0.5
            new[name] = p * (1 - rate * 0.02 * 0.05) - rate * 0.02 * scale * update
            continue
        m[name] = 0.9 * state["m"][name] + 0.1 * g
        v[name] = 0.98 * state["v"][name] + 0.02 * g * g
        update = m[name] / (1 - 0.9 ** (step + 1))
        update /= jnp.sqrt(v[name] / (1 - 0.98 ** (step + 1))) + 1e-9
        speed = {"embed": 0.01, "output": 0.005}.get(name, 0.003)
        new[name] = p - rate * speed * update
    return new, {"m": m, "v": v}


def make_step(shape):
    def step(params, state, number, rate, *batch):
        value, grads = jax.value_and_grad(loss)(params, shape, *batch)
        params, state = optimise(params, grads, state, number, rate)
        return params, state, value

    return jax.jit(step, donate_argnums=(0, 1))
