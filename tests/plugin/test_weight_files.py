"""Files of weights that a user names for a plugin's model."""

import pytest
import torch
from safetensors.torch import save_file

from latentkit.errors import DataError, IntegrityError, UserError
from latentkit.plugin import read_weights, with_sha256
from latentkit.plugin.downloads import no_downloads, saved_weights_follow


def test_weights_are_read_by_name(tmp_path):
    save_file({"a.weight": torch.ones(2, 3)}, tmp_path / "w.safetensors")
    assert torch.equal(read_weights(tmp_path / "w.safetensors")["a.weight"], torch.ones(2, 3))


@pytest.mark.parametrize("ending", [".pt", ".pth", ".bin", ".ckpt", ""])
def test_any_other_file_is_refused_because_it_may_run_code(tmp_path, ending):
    with pytest.raises(UserError, match=r"is no \.safetensors file, and other files of weights"):
        read_weights(tmp_path / f"w{ending}")


def test_missing_damaged_and_infinite_weights_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(UserError, match=r"cannot read weights .*w\.safetensors"):
        read_weights(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="is not a safetensors file"):
        read_weights(path)
    save_file({"a": torch.tensor([1.0, torch.inf])}, path)
    with pytest.raises(DataError, match="a holds NaN or infinity: use other weights"):
        read_weights(path)


def test_a_run_that_exists_reads_only_the_file_that_it_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({"a": torch.ones(2)}, "w.safetensors")
    path, sha256 = with_sha256("w.safetensors", "")
    assert path == str(tmp_path / "w.safetensors")
    with no_downloads("model"):
        assert read_weights(path, sha256)["a"].tolist() == [1, 1]
        assert read_weights(path, None)["a"].tolist() == [1, 1]
        for read in (read_weights, lambda path: with_sha256(path, "")):
            with pytest.raises(IntegrityError, match="does not say which SHA-256 it has"):
                read(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(IntegrityError, match="is not the file that the model was set up with"):
        read_weights(path, sha256)
    with saved_weights_follow():
        assert with_sha256("none.safetensors", "") == ("none.safetensors", "")
    with pytest.raises(DataError, match=r"cannot read .*none"):
        with_sha256("none.safetensors", "")
