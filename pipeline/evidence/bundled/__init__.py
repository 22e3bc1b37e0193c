"""What travels in every bundle: verify.py, the pages that explain it. Nothing here imports the product."""
