"""Made-up runs with the cards and arrays that comparisons read, and no folder on disk."""

from types import SimpleNamespace

import numpy as np

from latentkit.evaluation.encoder_rows import RunFiles

N = 400


def hits(share, seed=0):
    """Return whether each of N images is a hit: the same images first for every share."""
    order = np.random.default_rng(seed).permutation(N)
    return order < round(share * N)


def figure(values):
    value, error = float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))
    return {
        "value": value,
        "standard_error": error,
        "low": value - 2 * error,
        "high": value + 2 * error,
    }


def space(found):
    """Return a space of the card in which all probes have the same hits."""
    one = figure(found)
    shares = [{"share": share, "n_labels": 9, "accuracy": one} for share in (0.01, 0.1, 1.0)]
    return {"linear": shares, "knn": shares, "kmeans": {"accuracy": one, "nmi": one, "ari": one}}


def made_up(
    name="ae",
    *,
    seed=0,
    knn=0.8,
    pca=0.7,
    raw=0.7,
    mse=0.01,
    pca_mse=0.02,
    labels=True,
    images="same",
    epochs=1,
    older=False,
    maps=(),
    size=2,
    **config,
):
    """Return a run; ``mse`` is None without a decoder, and accuracies are shares of hits."""
    found = {"latents": hits(knn), "pca": hits(pca), "raw_pixels": hits(raw)}
    noise = np.random.default_rng(1).normal(size=N) * 1e-4
    card = {"latent_dim": size, "n_images": N, "baselines": {}}
    arrays = {}
    if labels:
        card["representation"] = {"spaces": {key: space(of) for key, of in found.items()}}
        arrays = {"knn_hits": found["latents"].astype(float)}
        if not older:
            arrays |= {f"{key}_knn_hits": found[key] for key in ("pca", "raw_pixels")}
    if mse is not None:
        arrays |= {"mse": mse + noise, "pca_mse": pca_mse + noise[::-1]}
        card["reconstruction"] = {"mse": figure(arrays["mse"])}
        card["baselines"] = {"pca": {"mse": figure(arrays["pca_mse"])}}
    files = {
        "data.json": {"digest": {"test": images, "train": images}},
        "history.json": {"epochs": [{"seconds": 2.0 + seed, "memory_bytes": 10**8}] * epochs},
        "encoding.json": {"seconds_per_image": 1e-6, "parameters": 1234},
    }
    for key, trust in maps:
        quality = {"trustworthiness": {"value": trust, "standard_error": 0.0}}
        files[f"embeddings/{key}.json"] = {"map": key, "quality": quality}
    there = set(files) - ({"encoding.json"} if older else set())
    manifest = SimpleNamespace(
        id=f"{name}-{seed}",
        seed=seed,
        config={"seed": seed, "model": {"name": name, "latent_dim": size}, **config},
        artefacts=there,
        stages={},
    )
    folder = SimpleNamespace(
        manifest=manifest, json=files.__getitem__, outdated_by=lambda path: None, path=manifest.id
    )
    return RunFiles(folder, card, arrays)


def transfer(parent, accuracy, *, mode="finetune", images="same"):
    """Return a transfer of a made-up run with 10 % of the labels."""
    chosen = {"parent": parent.folder.manifest.id, "mode": mode}
    run = made_up("transfer", images=images, dataset={"name": "other"}, transfer=chosen)
    card = {
        "kind": "transfer",
        "parent": parent.folder.manifest.id,
        "mode": mode,
        "labels": {"asked": "10%"},
        "after": {"accuracy": figure(hits(accuracy))},
    }
    return RunFiles(run.folder, card, {})
