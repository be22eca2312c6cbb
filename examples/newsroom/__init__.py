"""A crew of three in a small newsroom, with a poisoned source: run unguarded and guarded, side by side."""
