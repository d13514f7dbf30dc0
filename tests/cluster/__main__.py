"""`python -m cluster ...`: see `cluster.cli`."""

from cluster.cli import main

if __name__ == "__main__":
    main()
