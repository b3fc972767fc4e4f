"""`Tensor.reshape` as a module, so that `nn.Sequential` can hold it."""

from torch import Tensor, nn


class Reshape(nn.Module):
    """Gives every example of the batch another shape; one size may be -1."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.shape)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.shape))
