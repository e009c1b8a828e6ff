"""The audit with which a personalization programme starts: which systems there are, and what they hold of whom."""
