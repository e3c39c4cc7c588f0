"""Resume after a kill, and what an adaptation may change."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedfactory.evaluation.dice import mean_foreground_dice
from fedfactory.methods.ours.encoder import SOURCE, TARGET
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.losses import content_share
from fedfactory.methods.ours.model import Stored
from fedfactory.methods.ours.parameters import BatchParameters
from fedfactory.methods.ours.rendering import own_look
from fedfactory.methods.ours.samples import Samples, moved_back, moved_by, symmetry_of
from fedfactory.methods.ours.segmenter import BranchSegmenter, Compared, mean_of
from fedfactory.methods.ours.source import assess, train_source
from fedfactory.methods.ours.synthetic import make_synthetic_set
from fedfactory.methods.ours.target import Step, adapt
from fedfactory.methods.ours.target_data import TargetClient, TargetData, target_networks
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from tests.adaptation.conftest import (
    SCHEDULE,
    SOURCE_PARAMETERS,
    SYNTHETIC_PARAMETERS,
    TARGET_PARAMETERS,
    PlainDistance,
)
from tests.conftest import KillAt, Killed
from tests.test_training import equal, state


class Seen(Progress):
    """Notes the steps of a training."""

    def __init__(self, name: str):
        super().__init__(name)
        self.steps = []

    def update(self, done, total, message=""):
        self.steps.append(done)


class Inverted(torch.nn.Module):
    """Foreground where a branch of one class sees background."""

    def __init__(self, branch: torch.nn.Module):
        super().__init__()
        self._branch = branch

    def forward(self, maps, size):
        return self._branch(maps, size).flip(1)


@pytest.fixture
def steps() -> int:
    """Length of the trainings; a test that needs a trained model asks for more."""
    return SCHEDULE.steps


@pytest.fixture
def stored(factory, architecture, source_view, tmp_path, steps) -> Stored:
    """A source branch after a few steps."""
    look, p = own_look(factory, "near"), replace(SOURCE_PARAMETERS, schedule=replace(SCHEDULE, steps=steps))
    found = train_source(
        factory, look, architecture, p, source_view.labelled_volumes("train"),
        source_view.labelled_volumes("validation"), PlainDistance(), 3, Checkpoints(tmp_path / "source", "x"),
        Progress("source"),
    )  # fmt: skip
    return Stored(architecture, {"limits": found.limits}, factory, found.translator, {SOURCE: found.branch})


@pytest.fixture
def adaptation(stored, target_view, tmp_path):
    """Adapt the target; returns E_t with F, S_t, and the history."""
    look = own_look(stored.factory, "mid")
    synthetic, _ = make_synthetic_set(
        stored.factory,
        own_look(stored.factory, "near"),
        SYNTHETIC_PARAMETERS,
        lambda images: assess(stored.translator, stored.branches[SOURCE], images, 32),
        stored.card["limits"],
        0,
    )

    def run(p=TARGET_PARAMETERS, progress=None, name="work"):
        data = TargetClient(target_view, stored, synthetic, look, p, 5).data()
        translator, branch = target_networks(stored, look, p, 5)
        checkpoints = Checkpoints(tmp_path / name, "x")
        history = adapt(
            translator, stored.branches[SOURCE], branch, data, p, PlainDistance(), 7, checkpoints,
            progress or Progress("adapt"),
        )  # fmt: skip
        return translator, branch, history

    return run


def test_the_factory_and_the_source_branch_stay_as_they_are(stored, adaptation):
    generator, source_branch = state(stored.factory.generator), state(stored.branches[SOURCE])
    source_encoder = state(stored.translator)
    translator, branch, _ = adaptation()
    assert equal(state(stored.factory.generator), generator)
    assert equal(state(stored.branches[SOURCE]), source_branch)
    assert equal(state(stored.translator), source_encoder), "E_s belongs to the source"
    assert not equal(state(branch), source_branch)
    assert not equal(state(translator.encoder), state(stored.translator.encoder))


def test_an_adaptation_is_the_same_after_a_kill(adaptation, checkpoint_at_every_step):
    translator, branch, history = adaptation(name="whole")
    for steps in (2, 5):
        with pytest.raises(Killed):
            adaptation(progress=KillAt(steps))
    went_on = Seen("adapt")
    resumed, resumed_branch, resumed_history = adaptation(progress=went_on)
    assert went_on.steps == [SCHEDULE.steps], "the state of step 5 was saved"
    assert equal(state(translator), state(resumed))
    assert equal(state(branch), state(resumed_branch))
    assert resumed_history == history
    assert list(history.states) == list(resumed_history.states) == [0, 3, 6]
    for step, kept in history.states.items():
        assert all(equal(own, resumed_history.states[step][name]) for name, own in kept.items())
    assert equal(history.states[6]["branch"], state(branch)), "the last state is the one that the training ends in"


def test_symmetries_move_all_that_belongs_together():
    stream = torch.Generator().manual_seed(0)
    square = torch.arange(4.0).view(1, 1, 2, 2)
    moved = [moved_by(number, square) for number in range(8)]
    assert torch.equal(moved[0], square) and torch.equal(moved[1], square.flip(-1))
    assert len({tuple(x.flatten().tolist()) for x in moved}) == 8
    assert all(torch.equal(moved_back(number, x), square) for number, x in enumerate(moved))
    drawn = {name: {symmetry_of(name, stream) for _ in range(100)} for name in ("none", "mirror", "square")}
    assert drawn == {"none": {0}, "mirror": {0, 1}, "square": set(range(8))}
    # Labels that say which pixels are bright, and counterparts that are the images' negatives.
    images = torch.rand(6, 1, 8, 8, generator=stream) * 2 - 1
    labelled = Samples(images, (images[:, 0] > 0).to(torch.uint8))
    batch = BatchParameters(source=2, labelled=2, unlabelled=1, pairs=2)
    data = TargetData(labelled, Samples(-images, None), labelled, labelled, FieldOfView(0.0), 8, 1)
    p = replace(TARGET_PARAMETERS, batch=batch, jitter=0.0, symmetries="square")
    seen = set()
    for _ in range(20):
        source, target = Step(None, {}, data, p, PlainDistance()).draw(stream)
        for own, other, sign in ((source, target, 1), (target, source, -1)):
            bright = (own.images[: len(own.labels), 0] > 0).to(torch.uint8)
            assert torch.equal(bright[:2], own.labels[:2])
            assert torch.equal(sign * own.images[own.paired] > 0, own.labels[own.paired][:, None] > 0)
            assert torch.equal(own.counterparts, other.images[other.paired])
        seen.add(tuple(source.images[0].flatten().tolist()))
    assert len(seen) > 6, "more than there are slices"


def test_it_starts_as_the_source_or_from_scratch(stored):
    look = own_look(stored.factory, "mid")
    translator, branch = target_networks(stored, look, TARGET_PARAMETERS, 5)
    assert equal(state(branch), state(stored.branches[SOURCE]))
    source = state(stored.translator.encoder)
    label = source.pop("label")
    assert torch.equal(translator.encoder.label[TARGET].detach(), label[SOURCE])
    for name, value in state(translator.encoder).items():
        if name == "label":
            continue
        assert torch.equal(value, source[name.replace("domains.1", "domains.0")]), "the target starts as the source"
    fresh, fresh_branch = target_networks(stored, look, replace(TARGET_PARAMETERS, start="scratch"), 5)
    assert not equal(state(fresh_branch), state(branch))
    assert torch.equal(fresh.means, translator.means)
    torch.testing.assert_close(translator.means[TARGET], look.mean(stored.factory))


def test_detached_features_keep_the_target_branch_from_the_encoder(stored, adaptation):
    """With no other loss, the encoder moves only if the gradient of S_t reaches it."""
    weights = replace(TARGET_PARAMETERS.weights, mse=0.0, lpips=0.0, cycle=0.0)
    # One step, which is intra-domain; its source images' loss goes through S_s, so leave their encoder out by weight.
    schedule = replace(SCHEDULE, steps=1, validations=1, ramp=0.0)
    moved = {}
    for joint in (True, False):
        p = replace(TARGET_PARAMETERS, weights=weights, schedule=schedule, branch_trains_encoder=joint)
        before, _ = target_networks(stored, own_look(stored.factory, "mid"), p, 5)
        after, _, _ = adaptation(p, name=f"joint {joint}")
        norm = "stem_norm.domains.1.weight"
        moved[joint] = not torch.equal(before.encoder.state_dict()[norm], after.encoder.state_dict()[norm])
    assert moved == {True: True, False: False}


def test_a_slice_gets_the_same_mask_wherever_it_stands_in_a_stack(stored, target_view):
    branch = stored.branches[SOURCE]
    segment = BranchSegmenter(
        stored.translator, {SOURCE: branch, TARGET: copy.deepcopy(branch)}, TARGET, FieldOfView(0.3)
    )
    volumes = list(target_view.unlabelled_images())
    images = np.concatenate([volume.images for volume in volumes])
    together = segment.probabilities(images)
    assert together.argmax(1).any()
    for i in range(len(images)):
        # In a batch of another length but for the last digit.
        alone = segment.probabilities(images[i : i + 1])[0]
        np.testing.assert_allclose(alone, together[i], atol=1e-6)
        np.testing.assert_array_equal(alone.argmax(0), together[i].argmax(0))
    np.testing.assert_array_equal(segment.probabilities(images[::-1])[::-1], together)
    labelled = replace(target_view, labels=Labels(training=True)).labelled_volumes("train")
    ways = {"S_t": (TARGET,), "both": (SOURCE, TARGET)}
    dice = segment.validation_dice(labelled, ways, 1)
    for way, labels in ways.items():
        masks = [mean_of(segment.by_branch(volume.images), labels).argmax(1) for volume in labelled]
        found = [mean_foreground_dice(mask, v.labels, 1) for mask, v in zip(masks, labelled, strict=True)]
        assert dice[way] == pytest.approx(np.mean(found)) and len(set(found)) > 1


@pytest.mark.parametrize(("steps", "bright"), [(80, True)])
def test_the_other_label_changes_the_image_and_keeps_the_mask(stored, adaptation, target_view, steps, bright):
    p = replace(TARGET_PARAMETERS, schedule=replace(SCHEDULE, steps=steps), jitter=0.0, field_of_view="as_is")
    translator, branch, _ = adaptation(p)
    branches = {SOURCE: stored.branches[SOURCE], TARGET: branch}
    volume = target_view.labelled_volumes("validation")[0]
    segment = Compared(BranchSegmenter(translator, branches, TARGET, FieldOfView(0.0)), (TARGET,))
    assert mean_foreground_dice(segment(volume.images), volume.labels, 1) > 0.8
    assert segment.agreement[0] > 0.8
    reconstruction, translation = (segment.segment.render(volume.images)[label] for label in (TARGET, SOURCE))
    assert (reconstruction - translation).abs().mean() > 0.02


def test_branches_that_agree_and_branches_that_do_not(stored, target_view):
    branch, images = stored.branches[SOURCE], next(target_view.unlabelled_images()).images
    stored.translator.encoder.start_target_as_source()
    stored.translator.means[TARGET] = stored.translator.means[SOURCE]
    for other, agreement in ((branch, 1.0), (Inverted(branch), 0.0)):
        segment = Compared(
            BranchSegmenter(stored.translator, {SOURCE: branch, TARGET: other}, TARGET, FieldOfView(0.0)), (SOURCE,)
        )
        assert segment(images).any()
        assert segment.agreement == [agreement]


def test_content_features_fade_in():
    schedule = replace(SCHEDULE, steps=8, ramp=0.5)
    assert [content_share(step, schedule) for step in range(8)] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert content_share(0, replace(schedule, ramp=0.0)) == 1, "from the start"
