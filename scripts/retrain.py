"""Retrain the language model's adapter on what users did, for a timer; the release goes live only if it is better.

    python scripts/retrain.py -w DIR [--task rank|answer] [--json OUT]

The same as `llmrec retrain -w DIR`; `accelerate launch scripts/retrain.py -w DIR` trains in several processes, whether
there is anything new or not. The task `answer` learns from thumbs how reasons are worded, in one process.
Exit status: 0 the new release is live, or nothing new was there to learn from, 3 it is not better, 75 another run holds
the workspace, 2 any other expected error. A run that was interrupted goes on at the next call.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import llmrec
from llmrec.errors import BusyError, LlmrecError, NothingNewError
from llmrec.files import replace_file
from llmrec.learning import retrain, retrain_answers
from llmrec.service.evaluating import Outputs
from llmrec.service.learning_commands import EXIT_NOT_PASSED
from llmrec.service.printing import print_error, say

_EXIT_EXPECTED, _EXIT_BUSY, _EXIT_INTERRUPTED = 2, 75, 130


def main() -> int:
    """Run once; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workspace", type=Path, required=True, metavar="DIR")
    parser.add_argument("--task", choices=["rank", "answer"], default="rank")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what came of it into a file")
    options = parser.parse_args()
    outputs = Outputs(options.json)
    try:
        outputs.check()
        with llmrec.Recommender.open(options.workspace) as rec:
            run = retrain(rec) if options.task == "rank" else retrain_answers(rec)
    except NothingNewError as error:
        say(str(error))
        _keep(options.json, {"release": None, "promoted": False, "reason": str(error)})
        return 0
    except LlmrecError as error:
        print_error(error, as_json=False)
        return _EXIT_BUSY if isinstance(error, BusyError) else _EXIT_EXPECTED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    if run is None:
        return 0  # another process of the same run tells of it
    _keep(options.json, run.to_dict())
    say(f"release {run.release.version} {'is live' if run.promoted else 'is not better'}: {run.reason}")
    return 0 if run.promoted else EXIT_NOT_PASSED


def _keep(path: Path | None, told: Mapping[str, object]) -> None:
    if path is not None:
        replace_file(path, json.dumps(told, indent=2).encode())


if __name__ == "__main__":
    sys.exit(main())
