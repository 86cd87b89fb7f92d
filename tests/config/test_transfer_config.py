import pytest

from latentkit.config import build_config
from latentkit.errors import UserError
from latentkit.registry.catalogue import default_registry


def built(**tables):
    return build_config(tables, default_registry())


def test_a_run_has_no_transfer_and_no_initial_weights_by_default():
    config = built()
    assert config.transfer is None
    assert config.init is None
    assert not {"transfer", "init"} & set(config.as_dict())


def test_a_transfer_is_written_and_read_back():
    init = {"path": "w.safetensors", "sha256": ""}
    config = built(transfer={"labels": ["1%", 50], "hidden": 8}, init=init)
    assert config.transfer.labels == (0.01, 50)
    assert config.transfer.hidden == (8,)
    again = build_config(config.as_dict(), default_registry())
    assert again == config
    assert again.identity_sha256() == config.identity_sha256()


def test_finetuning_needs_an_encoder_and_scratch_accepts_none():
    with pytest.raises(UserError, match="mode finetune needs an encoder"):
        built(transfer={})
    with pytest.raises(UserError, match="mode scratch starts from random weights"):
        built(transfer={"mode": "scratch"}, init={"path": "w.safetensors"})
    assert built(transfer={"mode": "scratch"}).init is None


def test_a_file_that_asks_for_zero_labels_is_refused():
    with pytest.raises(UserError, match=r"transfer: labels = .* should be a share such as 10%"):
        built(transfer={"mode": "scratch", "labels": [0]})
