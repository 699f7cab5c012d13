"""LoRA training of the language model as a ranker: softmax over the retriever's own lists, its score a fixed offset.

Or, where it is asked for titles, as a language model of histories.

One optimizer step reads a few trees. The loss of a list is -log softmax(offset + weight * log-odds) of what was taken.
Validation is on whole lists that neither the retriever nor the adapter has seen: how much likelier the softmax of the
sum makes what was taken than the offsets alone do. The best adapter by it is kept. All of a run's state goes into one
file, so a run that was interrupted or killed goes on from there.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from tqdm import tqdm

from llmrec.errors import ConfigError, MissingExtraError
from llmrec.files import replace_file
from llmrec.learning.examples import Example
from llmrec.learning.lessons import Lessons, fingerprint_of
from llmrec.models.lora import LoraLearner
from llmrec.ranking.fusion import PRIOR_LLM

__all__ = ["AdapterOptions", "AdapterTraining", "list_losses", "odds_of", "require_board", "train_adapter"]

_logger = logging.getLogger(__name__)

_WEIGHTS = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""By so many times of its weight a model that learns texts is validated, and the best counts: nothing in its training
gives what it says of items a scale, as a list's softmax does."""


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """How to train.

    Args:
        epochs: Passes over the lists.
        learning_rate: Of AdamW at its highest, after the warm-up; it falls to zero along a line.
        warm_up: Share of the steps in which it rises.
        weight_decay: Of AdamW.
        trees: Read in a step, by all processes together.
        validations: How often in an epoch the adapter is validated.
        patience: Stop after so many validations without a better one.
        seed: Same examples, options, seed and machine: same adapter.
        pull: What a nat of divergence from what the adapter said at the beginning costs, list by list: KL(before, now).
            A pull to the last adapter keeps what it knows while it takes in what is new (PESO, ICLR 2026, has such a
            pull; here it is one of outputs).
        weight: What the log-odds count beside the offsets. Fusion finds the weight that serves.
    """

    epochs: int = 1
    learning_rate: float = 5e-4
    warm_up: float = 0.06
    weight_decay: float = 0.0
    trees: int = 8
    validations: int = 4
    patience: int = 3
    seed: int = 7
    pull: float = 0.0
    weight: float = PRIOR_LLM


@dataclass(slots=True)
class AdapterTraining:
    """Where a run stands.

    Args:
        step: Steps taken.
        lists: Lists learnt from.
        tokens: Tokens read in training.
        trimmed: Lists whose history did not fit whole.
        capped: Pieces of foreign text that were shortened.
        losses: The mean list's loss less that of its offsets alone, since the validation before.
        gains: At each validation, by how much the log chance of what was taken rises over the offsets alone (of
            texts: at the best weight); the first one is before anything was learnt.
        at: How many lists it had learnt from at each validation.
        best_step: The step of the best validation; 0: none was better than what it began with.
        seconds: Interruptions apart.
        best: The best adapter, what it began with included.
    """

    step: int = 0
    lists: int = 0
    tokens: int = 0
    trimmed: int = 0
    capped: int = 0
    losses: list[float] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    best_step: int = 0
    seconds: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict)

    def summary(self) -> dict[str, object]:
        """What a release's manifest tells of it."""
        return {name: value for name, value in asdict(replace(self, best={})).items() if name != "best"}


def list_losses(odds: Tensor, example: Example, weight: float = 1.0) -> Tensor:
    """-log softmax(offset + weight * log-odds) of the first item of each list, [lists]; of texts, nats a token."""
    if example.kind == "text":
        return -odds
    logits = weight * odds + torch.as_tensor(example.offsets, dtype=torch.float32, device=odds.device)
    return torch.stack([-torch.log_softmax(part, 0)[0] for part in torch.split(logits, list(example.lengths))])


def _opinions(read: Tensor, example: Example) -> Tensor:
    """What the model says of each item, [items], from what was read at the leaves."""
    if example.kind != "likelier":
        return read
    behind, alone = read.chunk(2)
    lines = example.tree.children[0].children
    return (behind - alone) * torch.tensor([len(line.ids) for line in lines], device=read.device).sqrt()


@torch.no_grad()
def odds_of(learner: LoraLearner, example: Example) -> np.ndarray:
    """What the model says of an example's items as the adapter is now, float64 [items]."""
    return _opinions(learner([example.tree]), example).cpu().double().numpy()


def list_divergences(before: Tensor, now: Tensor, example: Example, weight: float = 1.0) -> Tensor:
    """KL(before, now) of the chances of each list's items, [lists]."""
    offsets = torch.as_tensor(example.offsets, dtype=torch.float32, device=now.device)
    parts = [torch.split(weight * odds + offsets, list(example.lengths)) for odds in (before, now)]
    chances = [(torch.log_softmax(old, 0), torch.log_softmax(new, 0)) for old, new in zip(*parts, strict=True)]
    return torch.stack([(old.exp() * (old - new)).sum() for old, new in chances])


def train_adapter(
    learner: LoraLearner,
    lessons: Lessons,
    options: AdapterOptions,
    *,
    checkpoint: Path | None = None,
    board: Path | None = None,
    progress: bool = False,
) -> AdapterTraining:
    """Train the learner's adapter, or go on where an interrupted run of the same identity and options stopped.

    Afterwards the learner has its best adapter. Under `accelerate launch` each process reads its share of the trees.

    Args:
        learner: The model.
        lessons: What to learn from.
        options: How to train.
        checkpoint: The file that an interrupted run goes on from; the caller removes it once the result is safe.
        board: Directory for TensorBoard; None: no such record.
        progress: Show a bar on a terminal.

    Raises:
        ConfigError: There is nothing to learn from, or the loss grew beyond all numbers.
        MissingExtraError: TensorBoard is wanted and not installed.
    """
    run = _Run(learner, lessons, options, checkpoint, board)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are the caller's
        run.go(progress=progress)
    return run.state


class _Run:
    """One training run."""

    def __init__(
        self,
        learner: LoraLearner,
        lessons: Lessons,
        options: AdapterOptions,
        checkpoint: Path | None,
        board: Path | None,
    ) -> None:
        self.learner = learner
        self.options = options
        self.lessons = lessons
        self.state = AdapterTraining()
        self.checkpoint = checkpoint
        self.accelerator = _accelerator(learner, board)
        self.epoch, self.examples = 0, lessons.epoch(0)
        told = fingerprint_of([*self.examples, *lessons.validation])
        self.identity = json.dumps([lessons.identity, told, asdict(options), _shapes(learner)], sort_keys=True)
        if not self.examples:
            raise ConfigError("there is no list to learn from", hint="give more behaviour, or more candidates")
        self.steps_per_epoch = math.ceil(len(self.examples) / options.trees)
        self.steps = options.epochs * self.steps_per_epoch
        self.weights = list(learner.adapter.values())
        self.beginning = {name: weight.detach().clone() for name, weight in learner.adapter.items()}
        optimizer = torch.optim.AdamW(
            self.weights, lr=options.learning_rate, weight_decay=options.weight_decay, betas=(0.9, 0.98)
        )
        self.model, self.optimizer = self.accelerator.prepare(learner, optimizer)
        # The offsets alone are what there is to beat.
        self.before = _mean_loss(_offsets_only(example) for example in lessons.validation)
        self.waiting: list[float] = []

    def go(self, *, progress: bool) -> None:
        torch.manual_seed(self.options.seed)
        self._resume()
        if not self.state.gains:  # what there is without this training
            start = time.perf_counter()
            self._validate()
            self.state.seconds += time.perf_counter() - start
        every = max(1, round(self.steps_per_epoch / self.options.validations))
        hidden = None if progress and self.accelerator.is_main_process else True
        with tqdm(total=self.steps, initial=self.state.step, unit="step", disable=hidden) as bar:
            while self.state.step < self.steps and not self._is_over():
                start = time.perf_counter()
                self._step()
                if self.state.step % every == 0 or self.state.step == self.steps:
                    self._validate()
                self.state.seconds += time.perf_counter() - start
                if self.state.step % every == 0 or self.state.step == self.steps:
                    self._save()
                bar.update()
                bar.set_postfix(gain=f"{self.state.gains[-1]:+.4f}" if self.state.gains else "-")
        with torch.no_grad():
            _put(self.learner.adapter, self.state.best)
        # The wrapped model goes before the process group: if its reducer held the group last, it would end the group's
        # threads while it keeps the interpreter's lock, for which they may wait (pytorch/pytorch#56297).
        self.model = self.learner
        self.accelerator.free_memory()
        self.accelerator.end_training()

    def _is_over(self) -> bool:
        gains = self.state.gains
        return bool(gains) and len(gains) - 1 - int(np.argmax(gains)) >= self.options.patience

    def _trees(self) -> list[Example]:
        """Those of the next step, the same for every process."""
        epoch, place = divmod(self.state.step, self.steps_per_epoch)
        if epoch != self.epoch:
            self.epoch, self.examples = epoch, self.lessons.epoch(epoch)
        order = np.random.default_rng([self.options.seed, epoch]).permutation(len(self.examples))
        # Each epoch draws other items, so it may have a tree more or less than the first.
        places = np.arange(place * self.options.trees, (place + 1) * self.options.trees)
        last = len(self.examples) if epoch == 0 else places[-1] + 1
        return [self.examples[order[one % len(order)]] for one in places[places < last]]

    def _step(self) -> None:
        """One step of the optimizer.

        Raises:
            ConfigError: The loss is not a number.
        """
        trees = self._trees()
        lists = sum(len(one.lengths) for one in trees)
        own = trees[self.accelerator.process_index :: self.accelerator.num_processes]
        self.model.train()
        # Gradients are averaged over processes, the loss over all lists of the step.
        scale = self.accelerator.num_processes / lists
        for place, example in enumerate(own):
            with self._in_sync(last=place == len(own) - 1):
                before = self._said_at_first(example)
                odds = _opinions(self.model([example.tree]), example)
                losses = list_losses(odds, example, self.options.weight)
                pulled = 0.0 if before is None else list_divergences(before, odds, example, self.options.weight).sum()
                self.accelerator.backward((losses.sum() + self.options.pull * pulled) * scale)
            self.waiting += (losses.detach().cpu().double().numpy() - _offsets_only(example)).tolist()
        if not own:  # the last step of an epoch may have too few trees: all processes must still meet
            with self._in_sync(last=True):
                self.accelerator.backward(self.model([trees[0].tree]).sum() * 0)
        if not np.isfinite(self.waiting).all():
            raise ConfigError("the training's loss is not a number any more", hint="lower learning.learning_rate")
        self.accelerator.clip_grad_norm_(self.weights, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        state = self.state
        state.step += 1
        state.lists += lists
        state.tokens += sum(one.tree.tokens for one in trees)
        state.trimmed += sum(one.trimmed for one in trees)
        state.capped += sum(one.capped for one in trees)

    @torch.no_grad()
    def _said_at_first(self, example: Example) -> Tensor | None:
        """What the adapter said at the beginning; None: nothing pulls there.

        To be asked before the pass whose gradients count, because the weights are exchanged for it.
        """
        if not self.options.pull:
            return None
        own = self.learner.adapter
        now = {name: weight.detach().clone() for name, weight in own.items()}
        _put(own, self.beginning)
        said = _opinions(self.learner([example.tree]), example)
        _put(own, now)
        return said

    def _in_sync(self, *, last: bool) -> AbstractContextManager[object]:
        """Processes add up their gradients at the last tree of a step."""
        found: AbstractContextManager[object] = nullcontext() if last else self.accelerator.no_sync(self.model)
        return found

    def _learning_rate(self) -> float:
        """Of the next step: up along a line, then down along one that is at zero after the last."""
        rising = max(1, round(self.options.warm_up * self.steps))
        up, down = (self.state.step + 1) / rising, (self.steps - self.state.step) / (self.steps - rising + 1)
        return self.options.learning_rate * min(up, down)

    @torch.no_grad()
    def _gain(self) -> float:
        """By how much whole lists are likelier than by their offsets alone; each process asks about its share."""
        self.model.eval()
        own = self.lessons.validation[self.accelerator.process_index :: self.accelerator.num_processes]
        learns_texts = bool(self.lessons.validation) and self.lessons.validation[0].kind == "likelier"
        weights = self.options.weight * np.array(_WEIGHTS if learns_texts else (1.0,))
        total = torch.zeros(len(weights) + 1, dtype=torch.float64, device=self.accelerator.device)
        for one in own:
            odds = _opinions(self.learner([one.tree]), one)
            losses = [list_losses(odds, one, float(weight)).sum() for weight in weights]
            total += torch.stack([*losses, losses[0].new_tensor(len(one.lengths))]).double()
        *summed, lists = self.accelerator.reduce(total, reduction="sum").tolist()
        return self.before - min(summed) / lists if lists else float(self.state.step)

    def _validate(self) -> None:
        """Measure, and keep what is better than all before.

        Raises:
            ConfigError: The gain is not a number.
        """
        gain = self._gain()
        if not math.isfinite(gain):
            raise ConfigError("the training's loss is not a number any more", hint="lower learning.learning_rate")
        self.state.losses.append(float(np.mean(self.waiting)) if self.waiting else 0.0)
        self.waiting = []
        if gain > max(self.state.gains, default=-math.inf):
            self.state.best_step = self.state.step
            self.state.best = {name: weight.detach().cpu().clone() for name, weight in self.learner.adapter.items()}
        self.state.gains.append(gain)
        self.state.at.append(self.state.lists)
        found = {"gain": gain, "loss": self.state.losses[-1], "learning_rate": self._learning_rate()}
        self.accelerator.log(found, step=self.state.step)
        _logger.info("step %d of %d after %.0f s: %s", self.state.step, self.steps, self.state.seconds, found)

    def _save(self) -> None:
        if self.checkpoint is None or not self.accelerator.is_main_process:
            return
        tensors = {f"adapter.{name}": weight.detach().cpu() for name, weight in self.learner.adapter.items()}
        tensors |= {f"best.{name}": weight for name, weight in self.state.best.items()}
        for place, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": value.cpu() for name, value in moments.items()}
        about = {"identity": self.identity, "state": self.state.summary(), "waiting": self.waiting}
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        held = {name: tensor.contiguous() for name, tensor in tensors.items()}
        replace_file(self.checkpoint, save_tensors(held, {"about": json.dumps(about)}))

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.is_file():
            return
        try:
            with safe_open(self.checkpoint, "pt") as file:
                about = json.loads(file.metadata()["about"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            _logger.warning("%s cannot be read, so the training begins anew: %s", self.checkpoint, error)
            return
        if about["identity"] != self.identity:
            _logger.warning("%s is of another training, so this one begins anew", self.checkpoint)
            return
        own = self.learner.adapter
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(tensors[f"adapter.{name}"])
        best = {name.removeprefix("best."): one for name, one in tensors.items() if name.startswith("best.")}
        self.state = replace(AdapterTraining(**about["state"]), best=best)
        self.waiting = about["waiting"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, place, moment = name.split(".")
                moments.setdefault(int(place), {})[moment] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})


def _accelerator(learner: LoraLearner, board: Path | None) -> Accelerator:
    device = next(learner.model.parameters()).device
    if board is None:
        return Accelerator(cpu=device.type == "cpu")
    require_board()
    accelerator = Accelerator(cpu=device.type == "cpu", log_with="tensorboard", project_dir=board)
    accelerator.init_trackers("llmrec")
    return accelerator


def require_board() -> None:
    """Refuse to go on without what a record for TensorBoard needs.

    Raises:
        MissingExtraError: It is not installed.
    """
    if not find_spec("tensorboard"):
        raise MissingExtraError("tensorboard", extra="board", purpose="learning.tensorboard")


def _put(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Write weights into an adapter; those that are not given stay."""
    for name, weight in weights.items():
        own[name].copy_(weight)


def _shapes(learner: nn.Module) -> dict[str, list[int]]:
    return {name: list(weight.shape) for name, weight in learner.named_parameters() if weight.requires_grad}


def _offsets_only(example: Example) -> np.ndarray:
    """The losses of a model that says nothing, float64 [lists]."""
    return list_losses(torch.zeros(len(example.offsets)), example).double().numpy()


def _mean_loss(losses: Iterator[np.ndarray]) -> float:
    found = list(losses)
    return float(np.mean(np.concatenate(found))) if found else 0.0
