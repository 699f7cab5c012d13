"""The program `llmrec`, also as `python -m llmrec`."""

import sys

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        # Loading takes most of a second, in which Ctrl-C must not show a traceback.
        from llmrec.service.cli import main as run

        return run()
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
