"""Where examples come from, how they are split, and what is done to them before the network sees them."""
