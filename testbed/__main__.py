"""`testbed` and `python -m testbed`."""

import sys

try:
    from testbed.cli import main
except KeyboardInterrupt:  # while all that is imported: nothing has begun
    sys.exit(130)  # EXIT_INTERRUPTED, which may not be there yet

if __name__ == "__main__":
    main()
