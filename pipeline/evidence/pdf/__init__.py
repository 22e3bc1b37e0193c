"""The report and the pages of a bundle as PDF/A: fonts.py finds what to write with, render.py makes the file, pages.py says what is on it."""
