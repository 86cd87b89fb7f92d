"""The values of a whole batch, where several processes train on shares of it."""

from __future__ import annotations

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


def whole_batch(values: Tensor) -> Tensor:
    """Return the values of all images of a batch, for a loss that compares images of a batch.

    If a run has several processes, each computes the loss of its share of a batch, and latentkit
    takes the mean over all images. A term that is no such mean, such as a contrastive one or the
    maximum of a batch's mean and a bound, needs the values of all images. With one process, they
    are the given values.

    Args:
        values: (B, ...), a row for each image of this process's share.

    Returns:
        The rows of all images, in the order of the batch; gradients reach every process.
    """
    # The training of several processes overrides this function, as a torch function mode may.
    if has_torch_function_unary(values):
        found: Tensor = handle_torch_function(whole_batch, (values,), values)
        return found
    return values
