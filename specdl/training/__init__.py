"""Trains, evaluates and uses the network of a compiled spec."""
