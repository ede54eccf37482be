"""The network: dense layers that join frames in threes, and what it is trained to say."""

import jax
import jax.numpy as jnp
import numpy as np

from scenes import BONES, FRAMES, POINTS

WIDTH = 256
BONE_COUNT = len(BONES)
INPUTS = 3 * len(POINTS)
# Layers in the order in which they are written: name, inputs, outputs.
LAYERS = [
    ("first", 3 * INPUTS + 1, WIDTH),
    ("join1", 3 * WIDTH, WIDTH),
    ("deep1", WIDTH, WIDTH),
    ("join2", 3 * WIDTH, WIDTH),
    ("deep2", WIDTH, WIDTH),
    ("top1", WIDTH, WIDTH),
    ("top2", WIDTH, WIDTH),
]
# Of each bone two depths, two logarithms of scales and the log odds of the first.
OUTPUTS = 5 * BONE_COUNT
LEAST_SCALE, GREATEST_SCALE = 0.02, 0.7


def fresh(key):
    parameters = {}
    for name, inputs, outputs in LAYERS + [("out", WIDTH, OUTPUTS), ("points", WIDTH, 3 * len(POINTS))]:
        key, one = jax.random.split(key)
        scale = np.sqrt(2 / inputs) if name not in ("out", "points") else 0.3 * np.sqrt(1 / inputs)
        parameters[name] = {"weight": jax.random.normal(one, (inputs, outputs)) * scale, "bias": jnp.zeros(outputs)}
        if name not in ("out", "points"):
            parameters[name] |= {"gain": jnp.ones(outputs), "shift": jnp.zeros(outputs)}
    start = np.concatenate([np.full(BONE_COUNT, v, np.float32) for v in (-0.4, 0.4, -1.5, -1.5, 0.0)])
    parameters["out"]["bias"] = jnp.array(start)
    return parameters


def layer(parameters, x):
    """Dense, normalised over its outputs, and x relu6(x + 3) / 6."""
    x = x @ parameters["weight"] + parameters["bias"]
    mean = x.mean(-1, keepdims=True)
    x = (x - mean) * jax.lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
    x = x * parameters["gain"] + parameters["shift"]
    return x * jnp.clip(x + 3, 0, 6) / 6


def features(parameters, inputs, size):
    """[batch, WIDTH] of windows [batch, FRAMES, INPUTS] and sizes [batch]."""
    count = len(inputs)
    x = inputs.reshape(count, FRAMES // 3, 3 * INPUTS)
    x = jnp.concatenate([x, jnp.broadcast_to(size[:, None, None], (count, FRAMES // 3, 1))], -1)
    x = layer(parameters["first"], x)
    for join, deep in (("join1", "deep1"), ("join2", "deep2")):
        threes = x.reshape(count, -1, 3 * WIDTH)
        x = layer(parameters[join], threes) + threes[..., WIDTH:2 * WIDTH]
        x = layer(parameters[deep], x) + x
    x = x[:, 0]
    for name in ("top1", "top2"):
        x = layer(parameters[name], x) + x
    return x


def answer(parameters, inputs, size):
    """Two depths, two scales [batch, BONES, 2], the log odds of the first [batch, BONES], and key points [batch, points, 3]."""
    x = features(parameters, inputs, size)
    out = (x @ parameters["out"]["weight"] + parameters["out"]["bias"]).reshape(len(x), 5, BONE_COUNT)
    points = (x @ parameters["points"]["weight"] + parameters["points"]["bias"]).reshape(len(x), -1, 3)
    depth = jnp.moveaxis(out[:, :2], 1, -1)
    scale = jnp.exp(jnp.clip(jnp.moveaxis(out[:, 2:4], 1, -1), np.log(LEAST_SCALE), np.log(GREATEST_SCALE)))
    return depth, scale, out[:, 4], points


def surprise(depth, scale, odds, true):
    """Negative log-likelihood of the true depths [batch, BONES]: a mixture of two Laplace distributions."""
    share = jnp.stack([jax.nn.log_sigmoid(odds), jax.nn.log_sigmoid(-odds)], -1)
    each = share - jnp.abs(true[..., None] - depth) / scale - jnp.log(2 * scale)
    return -jax.nn.logsumexp(each, axis=-1)


def moments(depth, scale, odds):
    """Mean and standard deviation of the mixture."""
    first = jax.nn.sigmoid(odds)
    share = jnp.stack([first, 1 - first], -1)
    mean = (share * depth).sum(-1)
    return mean, jnp.sqrt((share * (2 * scale**2 + depth**2)).sum(-1) - mean**2)
