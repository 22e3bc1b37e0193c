"""The demonstration: a made-up securities and insurance firm whose saved pages show every kind of record, with the truth written beforehand.

Before: pipeline/sealing.py. After: the operator, who ingests what `pipeline.demo.generate` wrote. Nothing else imports this package.
"""
