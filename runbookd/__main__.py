"""``python -m runbookd`` is the command ``runbookd``."""

from runbookd.cli.main import main

if __name__ == "__main__":
    main()
