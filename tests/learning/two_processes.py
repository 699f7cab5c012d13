"""What `accelerate launch` runs in the test of two processes: a training on the lessons of `test_training`."""

import json
import os
import sys
from pathlib import Path

from llmrec.learning.training import train_adapter
from llmrec.models import TransformersLM, resolve
from tests.learning.test_training import OPTIONS, SHAPE, lessons

base, out = sys.argv[1:]
lm = TransformersLM.load(resolve(base, "language-model"), device="cpu", dtype="float32")
learner = lm.learner(SHAPE)
state = train_adapter(learner, lessons(), OPTIONS)
sums = {name: float(weight.detach().abs().sum()) for name, weight in learner.adapter.items()}
(Path(out) / f"{os.environ['RANK']}.json").write_text(json.dumps({"gains": state.gains, "sums": sums}))
