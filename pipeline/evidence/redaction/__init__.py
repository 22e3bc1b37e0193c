"""The redacted set of a bundle: rules.py says what in a text is masked, masking.py makes the set, leaks.py looks for what was masked."""
