"""What training aims at: losses, optimizers, schedulers and metrics, each declared in one place."""
