"""Short trials that choose what an adaptation cannot know beforehand: the field of view, and whether pairs help.

A trial is the beginning of the adaptation by its recipe: the chosen one goes on from there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from fedfactory.methods.ours.encoder import SOURCE
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.methods.ours.target import adapt
from fedfactory.methods.ours.target_data import TargetClient, target_networks
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_file


@dataclass(frozen=True)
class Recipe:
    """What a trial tries.

    Attributes:
        frame: from the target's field of view to the source's.
        pairs: whether factory pairs take part.
    """

    frame: FieldOfView
    pairs: bool

    def applied_to(self, p: TargetParameters) -> TargetParameters:
        """Parameters of an adaptation by this recipe: slices of M_t and synthetic ones take the place of pairs."""
        if self.pairs:
            return p
        b = p.batch
        batch = replace(b, source=b.source + b.pairs, labelled=b.labelled + b.pairs, pairs=0)
        return replace(p, batch=batch, pairs_by_trial=False)


class Trials:
    """Trials of one adaptation, judged on the target's validation volumes.

    Args:
        site: the target.
        perceptual: LPIPS.
        seed: of weights and batches.
        scratch: folder of this very training, where finished trials are noted.
        progress: updated every step of a trial.

    Attributes:
        tried: validation Dice of each recipe that was tried.
    """

    def __init__(self, site: TargetClient, perceptual: nn.Module, seed: int, scratch: Path, progress: Progress):
        self.tried: dict[Recipe, float] = {}
        self._site, self._perceptual, self._seed, self._progress = site, perceptual, seed, progress
        self._scratch, self._notes = scratch, scratch / "tried.json"
        # Of a training that was killed: Dice in the order of the trials, which is always the same.
        self._known: list[float] = json.loads(self._notes.read_text()) if self._notes.is_file() else []

    def choose(self) -> Recipe:
        """The best field of view, the first of equals; then whether it does better with pairs.

        Where pairs are themselves on trial, fields of view are tried without: wrong pairs would choose a wrong one.
        Nothing is tried without a choice.
        """
        p = self._site.p
        on_trial = p.pairs_by_trial
        chosen = self._best([Recipe(frame, p.batch.pairs > 0 and not on_trial) for frame in self._site.frames()])
        return self._best([chosen, Recipe(chosen.frame, True)]) if on_trial else chosen

    def _best(self, recipes: Sequence[Recipe]) -> Recipe:
        if len(recipes) == 1:
            return recipes[0]
        for recipe in recipes:
            if recipe not in self.tried:
                self.tried[recipe] = self._dice(recipe)
        return max(recipes, key=self.tried.__getitem__)

    def begun(self, recipe: Recipe) -> Checkpoints | None:
        """Where the adaptation by a recipe goes on from; None if it was not tried. What the others left is removed."""
        for number, tried in enumerate(self.tried):
            if tried != recipe:
                shutil.rmtree(self._folder(number), ignore_errors=True)
        return self._checkpoints(list(self.tried).index(recipe), recipe) if recipe in self.tried else None

    def _checkpoints(self, number: int, recipe: Recipe) -> Checkpoints:
        return Checkpoints(self._folder(number), str(recipe))

    def _folder(self, number: int) -> Path:
        return self._scratch / f"trial{number}"

    def _dice(self, recipe: Recipe) -> float:
        number = len(self.tried)
        if number == len(self._known):
            self._known.append(self._try(recipe, self._checkpoints(number, recipe)))
            with new_file(self._notes) as file:
                file.write_text(json.dumps(self._known))
        return self._known[number]

    def _try(self, recipe: Recipe, checkpoints: Checkpoints) -> float:
        site, p = self._site, recipe.applied_to(self._site.p)
        translator, branch = target_networks(site.source, site.look, p, self._seed)
        source_branch, data = site.source.branches[SOURCE], site.data(recipe.frame, recipe.pairs)
        history = adapt(
            translator,
            source_branch,
            branch,
            data,
            p,
            self._perceptual,
            self._seed,
            checkpoints,
            self._progress,
            until=p.trial,
        )
        # A trial is worth its best state, as the adaptation would take it: the start among them, which fields of view
        # show differently.
        return max((value for _, _, value in history.validations), default=0.0)
