"""Weights from elsewhere: checkpoints of other programs fitted to a network's own names and layouts."""
