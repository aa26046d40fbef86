"""How to learn: networks, the ten-agent ensemble, its controller, training and checkpoints."""
