"""`python -m marsfolio` is the command line."""

from marsfolio.cli import main

if __name__ == "__main__":
    main()
