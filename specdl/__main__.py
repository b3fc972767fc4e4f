"""`python -m specdl`."""

from specdl.cli import main

main()
