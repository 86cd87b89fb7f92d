"""Files of weights that a user names for a plugin's model."""

import pytest
import torch
from safetensors.torch import save_file

from latentkit.errors import DataError, UserError
from latentkit.plugin import read_weights


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
    with pytest.raises(DataError, match="a holds NaN or infinity"):
        read_weights(path)
