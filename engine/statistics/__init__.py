"""What a result is worth: intervals, Sharpe ratios that allow for luck and choice, and a no-skill null."""
