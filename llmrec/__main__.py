"""`python -m llmrec`: the command line."""

import sys

from llmrec.service.cli import main

sys.exit(main())
