"""The `marsfolio` setting: ten risk profiles trained through the simulator, and their controller."""
