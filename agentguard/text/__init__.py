"""Reading one text in several ways: views with a map back to the original, folds for comparing, sanitising."""
