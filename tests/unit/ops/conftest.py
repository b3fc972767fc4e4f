"""Settings of the operators' tests: small tensors need one thread, and the first call of an operator is slow."""

from __future__ import annotations

import torch
from hypothesis import settings

settings.register_profile("operators", deadline=None, derandomize=True)
settings.load_profile("operators")
torch.set_num_threads(1)
