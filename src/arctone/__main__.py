"""`python -m arctone` is the program `arctone`."""

from arctone.cli.main import main

if __name__ == "__main__":
    main()
