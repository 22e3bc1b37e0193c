"""The demonstration: a made-up securities and insurance firm, saved pages with every kind of record, and the truth written beforehand.

Before: pipeline/sealing.py. After: the operator, who ingests what `pipeline.demo.generate` wrote. Nothing else imports this package.
"""
