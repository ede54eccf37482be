#!/usr/bin/env python3
"""Trains the lifter on motion capture and writes its weights.

    make train DATA=FILE

README.md tells what the file must hold. Everything is drawn from one seed. What is printed at the end belongs into the model card.
"""

import argparse
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np

import network
import scenes
from poses import Poses

HERE = pathlib.Path(__file__).resolve().parent
SEED = 27
STEPS = 9_000
BATCH = 256
# The rate rises, stays, and falls in a straight line over the last part of the steps.
RATE, WARM_UP, FALL = 1.2e-3, 200, 0.3
DECAY = 1e-3
BETAS = (0.9, 0.99)
# The weights that are kept are a mean of the last ones: of about so many steps.
MEAN_OVER = 1000
# Weight of the key points' distance, in metres, beside the likelihood of the depths.
POINTS_WEIGHT = 3.0
VALIDATION_WINDOWS = 12_000
# Windows whose inputs and outputs are kept for a test.
EXAMPLES = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the recordings")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / "lifter")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    training, validation = Drawn(Poses(arguments.data, False)), Drawn(Poses(arguments.data, True))
    print(f"{len(training.joints)} frames to train on, {len(validation.joints)} to validate on", flush=True)
    key, first = jax.random.split(jax.random.key(SEED))
    parameters = network.fresh(first)
    parameters = train(parameters, training, validation, key, arguments.steps, arguments.out / "state.npz")
    parameters = rounded(parameters)
    report = validate(parameters, validation)
    print(report)
    (arguments.out / "validation.txt").write_text(report + "\n")
    write(parameters, arguments.out / "lifter.f16")
    write_examples(parameters, validation, arguments.out / "examples.json")
    (arguments.out / "state.npz").unlink(missing_ok=True)


def rounded(parameters):
    """As they will be read."""
    return jax.tree.map(lambda p: p.astype(jnp.float16).astype(jnp.float32), parameters)


class Drawn:
    """Poses from which windows are drawn."""

    def __init__(self, poses):
        self.joints, self.first, self.last = (jnp.array(a) for a in (poses.joints, poses.first, poses.last))
        self.cumulative = jnp.array(np.cumsum(poses.weight), jnp.float32)
        self.names, self.activity = tuple(poses.names), poses.activity

    def windows(self, key, count):
        return scenes.batch(key, self.joints, self.first, self.last, self.cumulative, count, self.names)


def loss(parameters, windows):
    inputs, size, true, points = windows
    depth, scale, odds, found = network.answer(parameters, inputs, size)
    off = jnp.linalg.norm(found - points, axis=-1).mean()
    return network.surprise(depth, scale, odds, true).mean() + POINTS_WEIGHT * off, off


def train(parameters, training, validation, key, steps, kept):
    """Adam with decoupled weight decay. What was begun is gone on with: `kept` is a file with the state so far."""
    zero = jax.tree.map(jnp.zeros_like, parameters)
    state, done = (parameters, zero, zero, parameters), 0
    if kept.exists():
        stored = np.load(kept)
        done = int(stored["done"])
        state = jax.tree.unflatten(jax.tree.structure(state), [jnp.array(stored[f"s{i}"]) for i in range(len(jax.tree.leaves(state)))])

    @jax.jit
    def step(state, windows, n):
        parameters, first, second, mean = state
        (value, off), gradient = jax.value_and_grad(loss, has_aux=True)(parameters, windows)
        length = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda g: g * jnp.minimum(1, 5 / length), gradient)
        rate = RATE * jnp.clip((n + 1) / WARM_UP, 0, 1) * jnp.clip((steps - n) / (FALL * steps), 0.01, 1)
        first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, gradient)
        second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g**2, second, gradient)

        def moved(p, m, v):
            m, v = m / (1 - BETAS[0] ** (n + 1)), v / (1 - BETAS[1] ** (n + 1))
            return p - rate * (m / (jnp.sqrt(v) + 1e-8) + DECAY * p * (p.ndim > 1))

        parameters = jax.tree.map(moved, parameters, first, second)
        share = jnp.maximum(1 / MEAN_OVER, 1 / (n + 1))
        mean = jax.tree.map(lambda a, p: a + share * (p - a), mean, parameters)
        return (parameters, first, second, mean), (value, off)

    began, shown = time.time(), []
    for n in range(done, steps):
        windows, _ = training.windows(jax.random.fold_in(key, n), BATCH)
        state, (value, off) = step(state, windows, n)
        shown.append((float(value), 1000 * float(off)))
        if (n + 1) % 250 == 0 or n + 1 == steps:
            held, _ = validation.windows(jax.random.key(SEED + 1), 2000)
            value, off = loss(state[3], held)
            mean = np.mean(shown, 0)
            print(f"{n + 1:6} {time.time() - began:6.0f} s: training {mean[0]:.3f} {mean[1]:.1f} mm, validation {value:.3f} {1000 * off:.1f} mm",
                  flush=True)
            shown = []
            leaves = {f"s{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
            np.savez(kept, done=n + 1, **leaves)
            write(rounded(state[3]), kept.with_name("lifter.f16"))
    return state[3]


def validate(parameters, validation):
    """The tables of the model card: depth errors as shares of a bone's length, by bone and by activity, and how well they are foretold."""
    errors, sigmas, activities, off = [], [], [], []
    for k in range(VALIDATION_WINDOWS // 2000):
        (inputs, size, true, points), middle = validation.windows(jax.random.key(SEED + 2 + k), 2000)
        depth, scale, odds, found = network.answer(parameters, inputs, size)
        mean, sigma = network.moments(depth, scale, odds)
        errors.append(np.abs(np.array(mean - true)))
        sigmas.append(np.array(sigma))
        off.append(1000 * np.array(jnp.linalg.norm(found - points, axis=-1).mean(-1)))
        activities.append(validation.activity[np.array(middle)])
    error, sigma, off, activity = map(np.concatenate, (errors, sigmas, off, activities))
    rows = ["bone           error   within 1 sigma   2 sigma   surest half's error"]
    for b, name in enumerate(scenes.BONE_NAMES):
        sure = sigma[:, b] <= np.median(sigma[:, b])
        rows.append(f"{name:13}{error[:, b].mean():7.3f}{100 * (error[:, b] < sigma[:, b]).mean():15.0f} %"
                    f"{100 * (error[:, b] < 2 * sigma[:, b]).mean():8.0f} %{error[sure, b].mean():22.3f}")
    rows.append(f"{'all':13}{error.mean():7.3f}{100 * (error < sigma).mean():15.0f} %{100 * (error < 2 * sigma).mean():8.0f} %")
    order = np.argsort(sigma, axis=0)
    tenths = [np.take_along_axis(error, part, 0).mean() for part in np.array_split(order, 10)]
    rows.append("error by tenth, surest first: " + " ".join(f"{t:.3f}" for t in tenths))
    rows.append("activity                      windows   error   within 1 sigma   key points, mm")
    for kind in sorted(set(activity)):
        of = activity == kind
        rows.append(f"{kind:30}{of.sum():7}{error[of].mean():8.3f}{100 * (error[of] < sigma[of]).mean():15.0f} %{off[of].mean():17.1f}")
    return "\n".join(rows)


def write(parameters, path):
    """All layers in the network's order, each weight row by row [inputs, outputs], bias, gain, shift: float16, little-endian."""
    parts = []
    for name, _, _ in network.LAYERS:
        parts += [parameters[name][part] for part in ("weight", "bias", "gain", "shift")]
    parts += [parameters["out"][part] for part in ("weight", "bias")]
    with open(path, "wb") as file:
        for part in parts:
            file.write(np.asarray(part, "<f2").tobytes())


def write_examples(parameters, validation, path):
    """What is seen in some windows and what the network answers, with which another implementation is compared."""
    v = validation
    joints, keys, _ = scenes.drawn(jax.random.key(SEED + 100), v.joints, v.first, v.last, v.cumulative, EXAMPLES, v.names)
    sights = [scenes.sight(*one, v.names)[:2] for one in zip(joints, keys)]
    inputs, size = map(jnp.stack, zip(*(scenes.features(*sight) for sight in sights)))
    with jax.default_matmul_precision("float32"):
        x = network.features(parameters, inputs, size)
        out = x @ parameters["out"]["weight"] + parameters["out"]["bias"]
    listed = lambda a: np.round(np.asarray(a, float), 6).tolist()
    rows = [{"rays": listed(rays), "confidence": listed(sure), "outputs": listed(o)} for (rays, sure), o in zip(sights, out)]
    path.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
