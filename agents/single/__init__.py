"""Single agents trained by stable-baselines3: what an ensemble is compared with."""
