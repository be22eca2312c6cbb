"""Finding attacks, secrets and personal data in text, and taking them out again."""
