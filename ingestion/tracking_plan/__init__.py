"""The tracking plan: which events exist and what each must say, in files that their owners edit."""
