"""The trainer of sentence-transformers, kept to a plan: checkpoints that are known to be whole, the best kept, NaN stopped.

Imported when something is taught, for it needs torch and the trainers.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, cast

import torch
from datasets import Dataset
from safetensors import SafetensorError
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging as their_logging

from rag.errors import RagError, SpecError
from rag.files import Progress
from ragline_train.pseudo import Case
from ragline_train.teaching.lessons import Lessons
from ragline_train.teaching.memory import Trial, tried
from ragline_train.teaching.run_folder import RunFolder, Told
from ragline_train.teaching.task import Example, Settings, Task, in_batches

log = logging.getLogger(__name__)
_TRIED = 3
"""Questions kept apart that say what asking holds: some dozens of passages, more than are read at once."""


class NotFinite(RagError):
    """The loss is no number any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """`told`: from the start on. `stopped`: why it ended before the last step; empty where it did not."""

    told: tuple[Told, ...]
    stopped: str = ""

    @property
    def best(self) -> Told:
        """The first of the highest."""
        return max(self.told, key=lambda each: (each.ndcg, -each.step))


def in_order(dataset: Any, *, batch_size: int, drop_last: bool, **_: Any) -> Any:
    """Batches as they are laid out."""
    return DefaultBatchSampler(SequentialSampler(dataset), batch_size=batch_size, drop_last=drop_last)


@contextmanager
def on_threads(n: int) -> Iterator[None]:
    """torch works on so many threads, and transformers draws no bars: ours tell of the steps."""
    before, noise = torch.get_num_threads(), cast(Any, their_logging)
    shown = noise.is_progress_bar_enabled()
    torch.set_num_threads(n)
    noise.disable_progress_bar()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if shown:
            noise.enable_progress_bar()


def trial(task: Task, lessons: Lessons, settings: Settings, folder: RunFolder) -> Trial:
    """One step over the longest examples, without an update, and the longest questions that choose."""
    longest = sorted(task.examples, key=lambda each: -len(str(each)))[: settings.batch]
    rows = [longest[at % len(longest)] for at in range(settings.batch)]
    trainer = _trainer(task, rows, settings, folder, steps=1, every=1)

    def step() -> None:
        task.model.train()
        trainer.compute_loss(task.model, next(iter(trainer.get_train_dataloader()))).backward()

    apart = sorted(lessons.choosing, key=lambda case: -sum(len(each.text) for each in case.candidates))[:_TRIED]
    found = tried(
        step,
        lambda: _asked(task, apart),
        parameters=sum(each.numel() for each in task.loss.parameters() if each.requires_grad),
    )
    task.loss.zero_grad(set_to_none=True)
    return found


def fit(
    task: Task,
    lessons: Lessons,
    settings: Settings,
    folder: RunFolder,
    *,
    steps: int,
    say: Callable[[Told], None],
    progress: Progress,
) -> Fitted:
    """Teach; go on with the newest whole checkpoint where there is one.

    Raises:
        SpecError: a checkpoint cannot be written; what was whole before is kept.
    """
    every = max(1, steps // settings.tellings)
    rows = in_batches(task.examples, task.keys, n=steps, batch=settings.batch, seed=settings.seed)
    checkpoint, damaged = folder.last_whole()
    for name in damaged:
        log.warning("'%s' is not as it was written; the run goes on from the one before", name)
        _remove(folder.checkpoints / name)
    told = folder.told(until=0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2]))
    if not told:
        told = [replace(_told(task, lessons, 0, None), telling=_asked(task, lessons.telling))]
        folder.tell(told[0])
        say(told[0])
    trainer = _trainer(task, rows, settings, folder, steps=steps, every=every)
    watcher = _Watcher(task, lessons, folder, told, every=every, patience=settings.patience, say=say, progress=progress)
    trainer.add_callback(watcher)
    hook = task.loss.register_forward_hook(watcher.saw)
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except NotFinite as error:
        watcher.stopped = str(error)
    except (OSError, SafetensorError, RuntimeError) as cause:
        if isinstance(cause, RuntimeError) and "write" not in str(cause):
            raise
        raise SpecError(
            f"a checkpoint cannot be written in '{folder.path}': {cause}. What was whole before is kept: make room, and go on"
            " by --resume"
        ) from cause
    finally:
        hook.remove()
    return Fitted(told=tuple(told), stopped=watcher.stopped)


class _Watcher(TrainerCallback):  # type: ignore[misc]
    """Tells the gain when it is time, keeps the best, seals checkpoints, and ends a run that gains nothing more."""

    def __init__(
        self,
        task: Task,
        lessons: Lessons,
        folder: RunFolder,
        told: list[Told],
        *,
        every: int,
        patience: int,
        say: Callable[[Told], None],
        progress: Progress,
    ) -> None:
        self._task, self._lessons, self._folder, self._told = task, lessons, folder, told
        self._every, self._patience, self._say, self._progress = every, patience, say, progress
        self._losses: list[float] = []
        self._step = 0
        self.stopped = ""

    def saw(self, module: object, given: object, loss: Any) -> None:
        """A loss, before anything is changed by it."""
        parts = [*loss.values()] if isinstance(loss, dict) else [loss]
        value = sum(float(part.detach()) for part in parts)
        if not math.isfinite(value):
            raise NotFinite(f"the loss is {value} after {self._step} steps. A lower learning rate may help")
        self._losses.append(value)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._step = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._step = state.global_step
        self._progress("train", state.global_step, state.max_steps)
        if state.global_step % self._every and state.global_step < state.max_steps:
            return
        now = _told(self._task, self._lessons, state.global_step, fmean(self._losses) if self._losses else None)
        self._losses.clear()
        if now.ndcg > max(each.ndcg for each in self._told):
            self._keep(now.step)
            now = replace(now, telling=_asked(self._task, self._lessons.telling))
        self._told.append(now)
        self._folder.tell(now)
        self._say(now)
        since = len(self._told) - 1 - self._told.index(max(self._told, key=lambda each: (each.ndcg, -each.step)))
        if since >= self._patience and state.global_step < state.max_steps:
            self.stopped = f"nothing gained over {since} tellings, so it ended after {state.global_step} steps"
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._folder.seal(self._folder.checkpoints / f"checkpoint-{state.global_step}")

    def _keep(self, step: int) -> None:
        place = self._folder.best(step)
        draft = place.with_name(f"{place.name}.new")
        _remove(draft)
        self._task.save(draft)
        _remove(place)
        draft.rename(place)
        self._folder.keep_only(step)


def _trainer(
    task: Task, rows: Sequence[Example], settings: Settings, folder: RunFolder, *, steps: int, every: int
) -> Any:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arguments = task.arguments(
        output_dir=str(folder.checkpoints),
        max_steps=steps,
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.learning_rate or task.learning_rate,
        warmup_steps=math.ceil(0.1 * steps),
        weight_decay=0.01,
        seed=settings.seed,
        use_cpu=True,
        batch_sampler=in_order,
        prompts=dict(task.prompts) or None,
        save_steps=every,
        save_total_limit=2,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    task.model.model_card_data.local_files_only = True  # a card would look things up on a hub
    trainer = _without_card(task.trainer)(
        model=task.model, args=arguments, train_dataset=Dataset.from_dict(columns), loss=task.loss
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout
    return trainer


def _without_card(trainer: Any) -> Any:
    """The trainer without the callback that makes its own card: that one reads the data once more, and quotes it."""

    class Plain(trainer):  # type: ignore[misc]
        def add_model_card_callback(self, default_args_dict: object) -> None:
            """None."""

    return Plain


def _told(task: Task, lessons: Lessons, step: int, loss: float | None) -> Told:
    values = _asked(task, lessons.choosing)
    return Told(step=step, ndcg=fmean(values), per_question=values, loss=loss)


def _asked(task: Task, cases: Sequence[Case]) -> tuple[float, ...]:
    """nDCG@10 of each, without dropout; no random number is drawn for it."""
    with torch.random.fork_rng(devices=[]):
        task.model.eval()
        values = task.measure(cases)
        task.model.train()
    return tuple(round(value, 6) for value in values)


def _remove(path: Any) -> None:
    if path.exists():
        shutil.rmtree(path)
