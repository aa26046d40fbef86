"""Paper trading: what a user says becomes a desk, and a journal becomes a run folder."""
