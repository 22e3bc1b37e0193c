"""`python -m pipeline.cli` is `liuhen`."""

from pipeline.cli import main

main()
