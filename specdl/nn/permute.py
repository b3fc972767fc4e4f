"""`Tensor.permute` as a module, so that `nn.Sequential` can hold it."""

from torch import Tensor, nn


class Permute(nn.Module):
    """Reorders the axes; the batch is axis 0."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.dims))
