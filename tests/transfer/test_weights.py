"""Saved weights: which are read, which are refused, and which parameters get them."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from latentkit.errors import BrokenEnvironmentError, DataError, UserError
from latentkit.runs.initial_weights import bare_name, find_weights, match, read_saved_weights

TENSORS = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}


def names(*shapes, **named):
    return {name.replace("__", "."): torch.zeros(shape) for name, shape in named.items()}


def test_equal_names_are_matched_and_other_shapes_are_not_used():
    source = names(a__weight=(2, 3), b__weight=(4,), c=(1,))
    found = match(source, names(a__weight=(2, 3), b__weight=(5,), d=(1,)))
    assert found.sources == {"a.weight": "a.weight"}
    assert found.by_name == 1
    assert found.missing == ("b.weight", "d")
    assert found.unused == ("b.weight", "c")
    assert found.other_shape == (("b.weight", (5,), (4,)),)


@pytest.mark.parametrize("prefix", ["", "encoder.", "module.", "model.encoder.", "_orig_mod."])
def test_prefixes_are_removed_from_both_names(prefix):
    found = match(names(**{f"{prefix}0.weight": (2,)}), names(network__encoder__0__weight=(2,)))
    assert found.sources == {"network.encoder.0.weight": f"{prefix}0.weight"}
    assert found.by_name == 0


def test_an_ambiguous_name_is_not_matched():
    found = match(names(encoder__0=(2,), model__0=(2,)), names(network__0=(2,)))
    assert not found.sources
    assert not found.finds_weights
    assert match(names(encoder__0=(2,), decoder__0=(2,)), names(network__0=(2,))).finds_weights


def test_a_counter_alone_does_not_count_as_a_match():
    both = names(norm__num_batches_tracked=())
    assert not match(both, both).finds_weights
    assert bare_name("module.module.encoder.x.encoder.y") == "x.encoder.y"


@pytest.mark.parametrize("nested", [None, "state_dict", "model_state_dict", "model"])
def test_torch_checkpoints_are_read_with_weights_only(tmp_path, nested):
    path = tmp_path / "weights.pt"
    torch.save(TENSORS if nested is None else {nested: TENSORS, "epoch": 3}, path)
    assert set(read_saved_weights(path).tensors) == set(TENSORS)


def test_a_pickle_is_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    for name, save in (
        ("a.pt", torch.save),
        ("b.pkl", lambda x, p: p.write_bytes(pickle.dumps(x))),
    ):
        save(Harmful(), tmp_path / name)
        with pytest.raises(UserError, match=r"cannot be read weights-only, .* run code: save"):
            read_saved_weights(tmp_path / name)
    assert not (tmp_path / "harm").exists()


def test_a_torch_version_with_unsafe_loading_reads_no_checkpoint(tmp_path, monkeypatch):
    torch.save(TENSORS, tmp_path / "weights.pt")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(BrokenEnvironmentError, match=r"pip install 'torch>=2.10'"):
        read_saved_weights(tmp_path / "weights.pt")


@pytest.mark.parametrize("document", [[1, 2], {"epoch": 3}, {"state_dict": {}}, torch.ones(3)])
def test_a_file_without_a_state_dict_is_refused(tmp_path, document):
    torch.save(document, tmp_path / "weights.pt")
    with pytest.raises(UserError, match="holds no state dict"):
        read_saved_weights(tmp_path / "weights.pt")


def test_a_file_that_is_not_safetensors_is_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="is not a safetensors file"):
        read_saved_weights(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    save_file({**TENSORS, "b": torch.tensor([1.0, value])}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"w\.safetensors: b holds NaN or infinity"):
        read_saved_weights(tmp_path / "w.safetensors")


def test_a_name_that_is_neither_a_file_nor_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no file and no run 'nobody'"):
        find_weights("nobody", tmp_path)
