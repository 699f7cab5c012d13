"""Training of the sequence encoder: next-item prediction by softmax cross-entropy over the whole catalogue.

Every position of every sequence is a target. Above `FULL_SOFTMAX` items the softmax is over the batch's own targets
and a uniform sample, with each logit corrected by the log of how often it is drawn (logQ, Bengio and Senecal 2003).
What is validated and kept is a running average of the weights (Polyak and Juditsky 1992), which is better than any of
them and less noisy. Training stops when validation N@10 has not improved for a while, and keeps the best average. After
every epoch all of its state goes into one file, so a run that was interrupted or killed goes on from there; the random
numbers of an epoch follow from the seed and its number, so it goes on exactly.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from llmrec.config import EncoderSettings
from llmrec.errors import ConfigError
from llmrec.files import replace_file
from llmrec.retrieval.encoder import EncoderConfig, EventBatch, SequenceEncoder
from llmrec.retrieval.losses import linear_cross_entropy, sampled_cross_entropy
from llmrec.retrieval.sequences import EventArrays, batches_by_length

__all__ = [
    "FULL_SOFTMAX",
    "HELD_OUT_BELOW",
    "HELD_OUT_FROM",
    "VALIDATION_USERS",
    "EncoderTraining",
    "TrainingExamples",
    "TrainingOptions",
    "held_out_key",
    "train",
    "validation_users",
]

HELD_OUT_BELOW = "8"
HELD_OUT_FROM = 3
"""A user with fewer events has none to spare for validation."""

FULL_SOFTMAX = 50_000
_SAMPLED = 8_192
VALIDATION_USERS = 2_000
"""So many are held out at most."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How to train.

    Args:
        epochs: How many at most.
        patience: Stop after so many epochs without a better validation N@10.
        batch_size: Users a step.
        learning_rate: Of AdamW, after a warm-up of 100 steps.
        weight_decay: Of AdamW.
        label_smoothing: Share of the target's mass spread over all items.
        averaged_epochs: The kept weights are an average over about so many of the latest epochs; 0: the latest ones.
        seed: Same data, options, seed and machine: same weights.
        device: Where.
        bfloat16: Compute the network in bfloat16; weights, the loss and validation stay in float32. On a CPU it is
            hardly quicker (LOG.md).
    """

    epochs: int = 100
    patience: int = 8
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    averaged_epochs: float = 5.0
    seed: int = 7
    device: str = "cpu"
    bfloat16: bool = False

    @classmethod
    def of(cls, settings: EncoderSettings, *, seed: int, device: str) -> TrainingOptions:
        """What the settings say, and bfloat16 on a GPU."""
        wanted = settings.model_dump(include=set(cls.__slots__))
        return cls(**wanted, seed=seed, device=device, bfloat16=torch.device(device).type == "cuda")


@dataclass(frozen=True, slots=True)
class TrainingExamples:
    """What to learn from.

    Args:
        users: Each user's events, oldest first, without the one held out for validation.
        targets: For each user the row of the item that came next, or -1.
        texts: Text vectors of all items, float32 [items, text_dimension].
        kinds: How many kinds of events there are.
        fingerprint: What identifies the data, so that a checkpoint of other data is not taken up.
    """

    users: Sequence[EventArrays]
    targets: NDArray[np.int64]
    texts: NDArray[np.float32]
    kinds: int
    fingerprint: str

    @classmethod
    def holding_out(
        cls,
        users: Sequence[EventArrays],
        user_ids: Sequence[str],
        texts: NDArray[np.float32],
        *,
        kinds: int,
        fingerprint: str,
        learnt: Collection[str] = (),
    ) -> TrainingExamples:
        """Hold the newest event of some users out for validation; all others' events are learnt from to the last.

        Args:
            users: The events of each.
            user_ids: Their ids.
            texts: The text vector of each item row.
            kinds: How many kinds of events there are.
            fingerprint: Of all that.
            learnt: Users whose newest event is known to what the training begins with; none of them is held out.
        """
        asked = validation_users([len(user) for user in users], user_ids)
        asked = {place for place in asked if user_ids[place] not in learnt}
        return cls(
            users=[user[:-1] if place in asked else user for place, user in enumerate(users)],
            targets=np.array([user.rows[-1] if place in asked else -1 for place, user in enumerate(users)]),
            texts=texts,
            kinds=kinds,
            fingerprint=fingerprint,
        )


@dataclass(slots=True)
class EncoderTraining:
    """Where a run stands: how far, how good, the best weights so far, and the seconds it took, interruptions apart.

    Validation N@10 decides what is best, and the mean reciprocal rank where that is equal; both are -1 with nobody to
    validate on.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    best_mrr: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def train(
    examples: TrainingExamples,
    config: EncoderConfig,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    start_from: dict[str, Tensor] | None = None,
    progress: bool = False,
) -> tuple[SequenceEncoder, EncoderTraining]:
    """Train an encoder, or go on where an interrupted run of the same data and options stopped.

    Args:
        examples: What to learn from.
        config: The shape of the encoder.
        options: How to train.
        checkpoint: The file that an interrupted run goes on from; the caller removes it once the result is safe.
        start_from: Weights to begin with instead of random ones, where their shapes fit (a warm start).
        progress: Show a bar on a terminal.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are the caller's
        run = _Run(examples, config, options)
        run.warm_start(start_from or {})
        if checkpoint is not None:
            run.resume(checkpoint)
        hidden = None if progress else True
        with tqdm(total=options.epochs, initial=run.state.epoch, unit="epoch", disable=hidden) as bar:
            while run.state.epoch < options.epochs and not run.is_over():
                run.epoch()
                bar.update()
                bar.set_postfix(loss=f"{run.state.losses[-1]:.3f}", best=f"{run.state.best_ndcg:.4f}")
                if checkpoint is not None:
                    run.save(checkpoint)
        return run.finished(), run.state


class _Run:
    """One training run."""

    def __init__(self, examples: TrainingExamples, config: EncoderConfig, options: TrainingOptions) -> None:
        self.examples = examples
        self.options = options
        self.state = EncoderTraining()
        torch.manual_seed(options.seed)
        items, text_dimension = examples.texts.shape
        self.model = SequenceEncoder(config, items=items, text_dimension=text_dimension, kinds=examples.kinds)
        self.model.to(options.device)
        self.average = AveragedModel(self.model, avg_fn=self._average)
        # The shapes too: another version of llmrec may build another network of the same settings.
        shapes = {name: list(weight.shape) for name, weight in self.model.state_dict().items()}
        self.identity = json.dumps([examples.fingerprint, asdict(config), asdict(options), shapes], sort_keys=True)
        self.texts = torch.from_numpy(examples.texts).to(options.device)
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=options.learning_rate, weight_decay=options.weight_decay, betas=(0.9, 0.98)
        )
        self.places = np.array([place for place, user in enumerate(examples.users) if len(user) > 1], dtype=np.int64)
        self.steps = 0
        self.steps_per_epoch = math.ceil(len(self.places) / options.batch_size)
        counts = np.bincount(np.concatenate([user.rows for user in examples.users]), minlength=items)
        self.popularity = torch.from_numpy(counts / counts.sum()).to(options.device, torch.float32)

    def warm_start(self, weights: dict[str, Tensor]) -> None:
        """Begin with given weights, where their shapes fit."""
        own = self.model.state_dict()
        fitting = {name: weight for name, weight in weights.items() if name in own and own[name].shape == weight.shape}
        self.model.load_state_dict(fitting, strict=False)
        self.averaged.load_state_dict(self.model.state_dict())

    @property
    def averaged(self) -> SequenceEncoder:
        """The model with averaged weights."""
        assert isinstance(self.average.module, SequenceEncoder)
        return self.average.module

    def is_over(self) -> bool:
        return not len(self.places) or self.state.epoch - self.state.best_epoch >= self.options.patience

    def epoch(self) -> None:
        """One pass over all users, and validation.

        Raises:
            ConfigError: The loss grew beyond all numbers.
        """
        start, number = time.perf_counter(), self.state.epoch + 1
        torch.manual_seed(self.options.seed * 100_003 + number)
        generator = np.random.default_rng([self.options.seed, number])
        longest = self.model.config.max_events
        lengths = np.array([min(len(self.examples.users[place]), longest) for place in self.places])
        self.model.train()
        total = targets = 0.0
        for batch in batches_by_length(lengths, self.options.batch_size, generator):
            users = [self._window(self.examples.users[place], generator) for place in self.places[batch]]
            loss, count = self._step(EventBatch.of(users, self.options.device), generator)
            total, targets = total + loss * count, targets + count
        if not math.isfinite(total):
            raise ConfigError("the training's loss is not a number any more", hint="lower learning_rate in [encoder]")
        self.state.epoch = number
        self.state.losses.append(total / targets)
        self._validate(number)
        self.state.seconds += time.perf_counter() - start

    def _window(self, user: EventArrays, generator: np.random.Generator) -> EventArrays:
        """The newest events of a long sequence most of the time, else a stretch of it from anywhere."""
        spare = len(user) - (self.model.config.max_events + 1)
        if spare <= 0:
            return user
        start = spare if generator.random() < 0.5 else int(generator.integers(spare + 1))
        return user[start : start + self.model.config.max_events + 1]

    def _step(self, events: EventBatch, generator: np.random.Generator) -> tuple[float, int]:
        inputs, target = _shifted(events)
        items = self.model.item_vectors(self.texts)
        with torch.autocast(torch.device(self.options.device).type, torch.bfloat16, enabled=self.options.bfloat16):
            states = self.model(inputs, items)[inputs.mask]
        loss = self._loss(states.float(), items, target[inputs.mask], generator)
        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * min(1.0, self.steps / 100)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        return float(loss.detach()), len(states)

    def _average(self, average: Tensor, latest: Tensor, seen: Tensor | int) -> Tensor:
        """An exponential average; at the beginning over what there is so far."""
        steps = min(self.options.averaged_epochs * self.steps_per_epoch, (float(seen) + 10) / 9)
        return average.lerp(latest, 1 / max(steps, 1))

    def _loss(self, states: Tensor, items: Tensor, target: Tensor, generator: np.random.Generator) -> Tensor:
        if len(items) <= FULL_SOFTMAX:
            return linear_cross_entropy(states, items, target, self.options.label_smoothing)
        drawn = torch.from_numpy(generator.integers(len(items), size=_SAMPLED)).to(target.device)
        return sampled_cross_entropy(states, items, target, drawn, self.popularity)

    def _validate(self, number: int) -> None:
        places = [
            place
            for place, target in enumerate(self.examples.targets)
            if target >= 0 and len(self.examples.users[place])
        ]
        ranks = list(self._ranks(places))
        if ranks:
            quality = (
                _mean(1 / math.log2(rank + 2) if rank < 10 else 0.0 for rank in ranks),
                _mean(1 / (rank + 1) for rank in ranks),
            )
        else:
            quality = (-1.0, float(number))  # nobody to ask: the newest weights are as good as any
        if quality > (self.state.best_ndcg, self.state.best_mrr):
            self.state.best_ndcg, self.state.best_mrr = quality
            self.state.best_epoch = number
            self.state.best = {name: weight.detach().clone() for name, weight in self.averaged.state_dict().items()}

    @torch.inference_mode()
    def _ranks(self, places: Sequence[int]) -> Iterator[int]:
        """The place, from 0, of each user's held-out item among all items they have not met."""
        model, longest = self.averaged.eval(), self.model.config.max_events
        items = model.item_vectors(self.texts)
        order = sorted(places, key=lambda place: len(self.examples.users[place]))
        for start in range(0, len(order), 128):
            part = order[start : start + 128]
            users = [self.examples.users[place][-longest:] for place in part]
            events = EventBatch.of(users, self.options.device)
            states = model(events, items)[torch.arange(len(part)), events.mask.sum(dim=1) - 1]
            scores = states @ items.T
            for row, place in zip(scores, part, strict=True):
                target = int(self.examples.targets[place])
                wanted = row[target].clone()
                row[torch.from_numpy(self.examples.users[place].rows).to(row.device)] = -torch.inf
                row[target] = wanted
                yield int((row >= wanted).sum()) - 1  # what ties with it counts against it

    def save(self, path: Path) -> None:
        """All of the run's state in one file, replaced at once."""
        state = self.state
        tensors = {f"model.{name}": weight for name, weight in self.model.state_dict().items()}
        tensors |= {f"average.{name}": weight for name, weight in self.averaged.state_dict().items()}
        tensors |= {f"best.{name}": weight for name, weight in state.best.items()}
        for place, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": value for name, value in moments.items()}
        about = {
            "identity": self.identity, "epoch": state.epoch, "best_epoch": state.best_epoch,
            "best_ndcg": state.best_ndcg, "best_mrr": state.best_mrr, "losses": state.losses, "steps": self.steps,
            "seconds": state.seconds,
        }  # fmt: skip
        contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        replace_file(path, save_tensors(contiguous, {"about": json.dumps(about)}))

    def resume(self, path: Path) -> None:
        """Take up an interrupted run, if the file holds one of the same data, shape and options."""
        if not path.exists():
            return
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads(file.metadata()["about"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            _logger.warning("the interrupted training in %s cannot be read, starting anew: %s", path, error)
            return
        if about["identity"] != self.identity:
            _logger.info("the interrupted training in %s was of other data or settings; starting anew", path)
            return
        self.model.load_state_dict(_under("model.", tensors))
        self.averaged.load_state_dict(_under("average.", tensors))
        self.average.n_averaged.fill_(about["steps"])
        moments = self.optimizer.state_dict()
        for name, tensor in _under("optimizer.", tensors).items():
            place, _, moment = name.partition(".")
            moments["state"].setdefault(int(place), {})[moment] = tensor
        self.optimizer.load_state_dict(moments)
        self.steps = about["steps"]
        self.state = EncoderTraining(
            about["epoch"],
            about["best_epoch"],
            about["best_ndcg"],
            about["best_mrr"],
            _under("best.", tensors),
            about["losses"],
            about["seconds"],
        )

    def finished(self) -> SequenceEncoder:
        if self.state.best:
            self.model.load_state_dict(self.state.best)
        return self.model.eval()


def validation_users(lengths: Iterable[int], user_ids: Sequence[str]) -> set[int]:
    """Places of about half of the users with `HELD_OUT_FROM` events, `VALIDATION_USERS` at most.

    A hash of the id decides, so that a later fit asks the same ones: what it begins with has not learnt their answers.

    Args:
        lengths: How many events each user has.
        user_ids: Their ids.
    """
    drawn = {
        held_out_key(user_id): place
        for place, (events, user_id) in enumerate(zip(lengths, user_ids, strict=True))
        if events >= HELD_OUT_FROM
    }
    return {drawn[key] for key in sorted(key for key in drawn if key < HELD_OUT_BELOW)[:VALIDATION_USERS]}


def held_out_key(user_id: str) -> str:
    """Its order decides who is held out: the first of those below `HELD_OUT_BELOW`, about half of all."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def _shifted(events: EventBatch) -> tuple[EventBatch, Tensor]:
    """All events but the last of each sequence as inputs, and the item after each of them as target."""
    inputs = EventBatch(
        rows=events.rows[:, :-1],
        kinds=events.kinds[:, :-1],
        values=events.values[:, :-1],
        has_value=events.has_value[:, :-1],
        gaps=events.gaps[:, :-1],
        mask=events.mask[:, 1:],
    )
    return inputs, events.rows[:, 1:]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
