"""What the source shares and what a target may see: synthetic set, looks, stored networks, and refusals."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import mean_foreground_dice
from fedfactory.factory.model import Factory
from fedfactory.methods.ours import adaptation, ending
from fedfactory.methods.ours.adaptation import chosen_way
from fedfactory.methods.ours.encoder import SOURCE, TARGET
from fedfactory.methods.ours.ending import take_own_statistics
from fedfactory.methods.ours.model import BRANCH, ENCODER, Stored, open_factory, read_networks, write_networks
from fedfactory.methods.ours.parameters import LookParameters, SyntheticParameters, TargetParameters
from fedfactory.methods.ours.rendering import Look, learn_look, nearest_client, own_look, read_look, write_look
from fedfactory.methods.ours.samples import moved_by
from fedfactory.methods.ours.segmenter import BranchSegmenter
from fedfactory.methods.ours.synthetic import SyntheticSet, make_synthetic_set
from fedfactory.methods.ours.target_data import TargetClient, target_networks
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.loop import History
from tests.adaptation.conftest import TARGET_PARAMETERS, PlainDistance, write_discs, write_factory_folder

P = SyntheticParameters(volumes=2, between=2, tolerance=2.0)


def judged(error, doubt):
    """A source branch that labels bright pixels, and says what it is told to."""

    def assess(images):
        fill = lambda value: np.resize(np.asarray(value, np.float32), len(images))  # noqa: E731
        return (images > 0).astype(np.uint8), fill(error), fill(doubt)

    return assess


LIMITS = {"error": 1.0, "doubt": 1.0}


def test_volumes_have_one_z_and_walk_through_the_positions(factory):
    look = own_look(factory, "near")
    found, counts = make_synthetic_set(factory, look, P, judged(0, 0), LIMITS, 3)
    assert counts == {"sampled": 18, "kept": 18, "badly reconstructed": 0, "in doubt": 0}
    assert found.volume.tolist() == [0] * 9 + [1] * 9
    assert found.position.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4] * 2
    # At a bin the slice is the factory's own; between two bins its styles lie halfway.
    z = torch.from_numpy(found.z[:1]).expand(5, -1)
    np.testing.assert_allclose(found.images[:9:2], factory.show(z, "near", torch.arange(5)), atol=1e-5)
    styles = factory.styles(z[:2], "near", torch.tensor([1, 2])).mean(0, keepdim=True)
    np.testing.assert_allclose(found.images[3:4], factory.render(styles, factory.zoom("near")), atol=1e-5)
    again, _ = make_synthetic_set(factory, look, P, judged(0, 0), LIMITS, 3)
    np.testing.assert_array_equal(again.images, found.images)
    other, _ = make_synthetic_set(factory, look, P, judged(0, 0), LIMITS, 4)
    assert not np.array_equal(other.images, found.images)


def test_the_filter_drops_what_the_source_does_not_know(factory):
    look = own_look(factory, "near")
    found, counts = make_synthetic_set(factory, look, P, judged([0, 2.1, 1.9], [0, 0, 0, 3]), LIMITS, 3)
    assert counts == {"sampled": 18, "kept": 9, "badly reconstructed": 6, "in doubt": 4}
    assert len(found.images) == len(found.labels) == len(found.volume) == 9
    with pytest.raises(FedFactoryError, match="of 18 synthetic slices only 0 pass the filter .badly reconstructed 18"):
        make_synthetic_set(factory, look, P, judged(5, 0), LIMITS, 3)
    _, counts = make_synthetic_set(factory, look, replace(P, tolerance=None), judged(5, 9), LIMITS, 3)
    assert counts == {"sampled": 18, "kept": 18, "badly reconstructed": 0, "in doubt": 0}, "no filter"


def test_pairs_are_the_same_latents_with_another_look(factory, tmp_path):
    found, _ = make_synthetic_set(factory, own_look(factory, "near"), P, judged([0, 3], 0), LIMITS, 3)
    found.write(tmp_path, factory, {"kept": 9})
    read = SyntheticSet.read(tmp_path, factory)
    same = read.render_as(factory, own_look(factory, "near"), factory.zoom("near"))
    np.testing.assert_allclose(same, found.images, atol=1e-5)
    counterpart = read.render_as(factory, own_look(factory, "mid"), factory.zoom("near"))
    assert not np.allclose(counterpart, found.images)
    with pytest.raises(FedFactoryError, match="is no synthetic source set"):
        SyntheticSet.read(tmp_path / "elsewhere", factory)
    other = Factory(write_factory_folder(tmp_path / "other", seed=5))
    with pytest.raises(FedFactoryError, match="was sampled from another factory"):
        SyntheticSet.read(tmp_path, other)
    (tmp_path / "z.npy").write_bytes(b"")
    with pytest.raises(FedFactoryError, match="is no synthetic source set"):
        SyntheticSet.read(tmp_path, factory)


def test_a_look_is_learned_against_the_frozen_factory(factory, tmp_path):
    """Images of a client that is none of the factory's: `far` in another contrast and field of view."""
    true = Look("far", torch.randn(factory.generator.n_styles, 16, generator=torch.Generator().manual_seed(1)), 0.15)
    positions = torch.arange(20) % 5
    images = factory.render(true.styles(factory, factory.latents(20, 9), positions), true.zoom)
    before = {name: value.clone() for name, value in factory.generator.state_dict().items()}
    p = LookParameters(images=100, batch=16, steps=80, latent_rate=0.05, rate=0.02, lpips=0.5)
    look, losses = learn_look(
        factory, torch.from_numpy(images)[:, None], positions, "far", p, PlainDistance(), 0, Progress("x")
    )
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert all(torch.equal(value, before[name]) for name, value in factory.generator.state_dict().items())
    assert not look.offset[: factory.generator.shared_styles].any(), "what all clients share is left alone"
    write_look(tmp_path, look, factory, "none", losses)
    read = read_look(tmp_path, factory)
    assert (read.client, read.zoom) == ("far", look.zoom) and torch.equal(read.offset, look.offset)
    other = Factory(write_factory_folder(tmp_path / "other", seed=5))
    with pytest.raises(FedFactoryError, match="made with another factory"):
        read_look(tmp_path, other)
    with pytest.raises(FedFactoryError, match="offset.pt cannot be read .*make it with the rule factory_look"):
        read_look(tmp_path / "elsewhere", factory)


def test_the_nearest_client_is_by_the_key(factory):
    key = np.array(factory.card.keys["mid"]) * 3 + 0.1
    assert nearest_client(factory, key.tolist()) == "mid"
    with pytest.raises(FedFactoryError, match="the key has 3 values, the factory's have 512"):
        nearest_client(factory, [1.0, 2.0, 3.0])
    with pytest.raises(FedFactoryError, match="client t2w is none of the factory's clients .near, mid, far."):
        own_look(factory, "t2w")


@pytest.fixture
def folder(factory, architecture, tmp_path):
    """Networks as an adaptation leaves them."""
    translator, branch = architecture.networks(factory, 1)
    _, other = architecture.networks(factory, 2)
    (tmp_path / "model").mkdir()
    states = {
        step: {"encoder": networks[0].encoder.state_dict(), "branch": networks[1].state_dict()}
        for step, networks in ((0, architecture.networks(factory, 3)), (4, (translator, other)))
    }
    write_networks(
        tmp_path / "model", architecture, translator, {SOURCE: branch, TARGET: other}, History([], [], None, states),
        frame=0.2, symmetries="none", read_at_inference=(SOURCE, TARGET), shown="labelled",
    )  # fmt: skip
    return tmp_path / "model"


def test_networks_come_back_as_they_were(folder, factory_folder, architecture, factory):
    stored = read_networks(folder, factory_folder, "cpu", "adapt")
    translator, branch = architecture.networks(factory, 1)
    assert all(torch.equal(v, stored.translator.state_dict()[k]) for k, v in translator.state_dict().items())
    assert all(torch.equal(v, stored.branches[SOURCE].state_dict()[k]) for k, v in branch.state_dict().items())
    images = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32)).astype(np.float32)
    segment = stored.segmenter()
    both = segment.by_branch(images)
    np.testing.assert_allclose(segment.probabilities(images), (both[SOURCE] + both[TARGET]) / 2, atol=1e-6)
    np.testing.assert_allclose(segment.probabilities(images).sum(1), 1, atol=1e-5)
    masks = {domain: found.argmax(1).astype(np.uint8) for domain, found in both.items()}
    dice = segment.slices_dice(images, masks[TARGET], 1)
    assert dice["target"] == 1 and dice["source"] == mean_foreground_dice(masks[SOURCE], masks[TARGET], 1)
    with pytest.raises(FedFactoryError, match="holds networks of another kind; make it with the rule source_branch"):
        read_networks(folder, factory_folder, "cpu", "source_branch")


@pytest.mark.parametrize(("symmetries", "move"), [("mirror", 1), ("square", 2), ("square", 4)])
def test_a_moved_image_has_the_moved_mask(folder, factory_folder, symmetries, move):
    """Predictions average over a group: they follow its symmetries, which those of the network alone do not."""
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain = read_networks(folder, factory_folder, "cpu", "adapt").segmenter()
    for segment, follows in ((plain, False), (replace(plain, symmetries=symmetries), True)):
        found, moved = (segment.probabilities(x[:, 0].numpy()) for x in (images, moved_by(move, images).contiguous()))
        wanted = moved_by(move, torch.from_numpy(found)).numpy()
        assert np.allclose(moved, wanted, atol=1e-5) == follows


def test_an_adaptation_can_go_back_to_any_of_its_states(folder, factory_folder, architecture, factory):
    stored = read_networks(folder, factory_folder, "cpu", "adapt")
    images = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32)).astype(np.float32)
    last = stored.segmenter().by_branch(images)[TARGET]
    stored.go_to(folder, 0)
    for own, first in zip(
        (stored.translator.encoder, stored.branches[TARGET]),
        (lambda networks: (networks[0].encoder, networks[1]))(architecture.networks(factory, 3)),
        strict=True,
    ):
        assert all(torch.equal(value, own.state_dict()[name]) for name, value in first.state_dict().items())
    stored.go_to(folder, 4)
    np.testing.assert_array_equal(stored.segmenter().by_branch(images)[TARGET], last)
    with pytest.raises(FedFactoryError, match="0000007.pt cannot be read"):
        stored.go_to(folder, 7)
    shutil.copy(folder / "weights.pt", folder / "states/0000004.pt")
    with pytest.raises(FedFactoryError, match="0000004.pt is no table of weights; make it with the rule adapt"):
        stored.go_to(folder, 4)


def test_networks_of_another_factory_are_refused(folder, tmp_path):
    other = write_factory_folder(tmp_path / "other", seed=5)
    with pytest.raises(FedFactoryError, match="was trained with another factory .* 32 pixels.; take both from one run"):
        read_networks(folder, other, "cpu", "adapt")
    larger = write_factory_folder(tmp_path / "larger", size=64)
    with pytest.raises(FedFactoryError, match="64 pixels"):
        read_networks(folder, larger, "cpu", "adapt")


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_checkpoint_that_is_none(folder, factory_folder, content):
    (folder / "weights.pt").write_bytes(content)
    with pytest.raises(FedFactoryError, match="weights.pt is no table of weights that can be read .*rule adapt"):
        read_networks(folder, factory_folder, "cpu", "adapt")


def test_a_checkpoint_that_would_run_code(folder, factory_folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"translator": Evil()}, folder / "weights.pt")
    with pytest.raises(FedFactoryError, match="is no table of weights"):
        read_networks(folder, factory_folder, "cpu", "adapt")
    assert not (tmp_path / "ran").exists()


def test_a_card_that_is_none(folder, factory_folder):
    card = json.loads((folder / "card.json").read_text())
    card["architecture"]["encoder"]["image_size"] = "large"
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(FedFactoryError, match="card.json is no card of networks .*image_size"):
        read_networks(folder, factory_folder, "cpu", "adapt")
    (folder / "card.json").unlink()
    with pytest.raises(FedFactoryError, match="card.json is missing; make it with the rule adapt"):
        read_networks(folder, factory_folder, "cpu", "adapt")


def test_a_factory_that_is_none(tmp_path):
    folder = write_factory_folder(tmp_path / "factory")
    (folder / "generator.pt").write_bytes(b"nothing")
    with pytest.raises(FedFactoryError, match="generator.pt is no table of weights that can .*rule factory_train"):
        open_factory(folder, "trained", "cpu")
    (folder / "snapshots" / "round000000.pt").unlink()
    with pytest.raises(FedFactoryError, match="round000000.pt is missing: the folder holds no untrained factory"):
        open_factory(folder, "untrained", "cpu")


def test_the_untrained_factory_is_the_first_snapshot(factory_folder):
    assert (
        open_factory(factory_folder, "trained", "cpu").digest != open_factory(factory_folder, "untrained", "cpu").digest
    )


@pytest.fixture
def source(factory, architecture):
    translator, branch = architecture.networks(factory, 1)
    return Stored(architecture, {}, factory, translator, {SOURCE: branch})


@pytest.fixture
def synthetic(factory):
    return make_synthetic_set(factory, own_look(factory, "near"), P, judged(0, 0), LIMITS, 3)[0]


@pytest.fixture
def site(source, synthetic, target_view, factory):
    return TargetClient(target_view, source, synthetic, own_look(factory, "mid"), TARGET_PARAMETERS, 5)


def test_a_target_sees_its_own_slices_and_the_synthetic_ones(site, factory):
    data = site.data()
    assert data.frame.zoom == pytest.approx(factory.zoom("near") - factory.zoom("mid"))
    assert len(data.source) == len(data.pairs) == 18
    assert len(data.unlabelled) == 12, "training slices only"
    assert len(data.labelled) == 2 * 2, "M_t and one deformed copy of each"
    p = replace(TARGET_PARAMETERS, labelled_slices=1, batch=replace(TARGET_PARAMETERS.batch, pairs=0))
    data = declaring(site, p).data()
    assert (len(data.labelled), data.pairs) == (2, None)


def declaring(site: TargetClient, p: TargetParameters) -> TargetClient:
    """The target with the labels that a method with these parameters declares."""
    return replace(site, p=p, view=ClientView(site.view.folder, Labels(few_shot=p.labelled_slices)))


def test_fields_of_view(site, factory):
    assert replace(site, p=replace(TARGET_PARAMETERS, field_of_view="as_is")).frame.zoom == 0
    by_factory = replace(site, p=replace(TARGET_PARAMETERS, field_of_view="factory")).frame
    assert by_factory.zoom == pytest.approx(factory.zoom("near") - factory.zoom("mid"))


def test_branches_that_cannot_read_the_target_are_not_read():
    assert chosen_way({"both": 0.9, "source": 0.85, "target": 0.904}) == "both"
    assert chosen_way({"both": 0.6, "source": 0.2, "target": 0.9}) == "target", "S_s makes nothing of a translation"
    assert chosen_way({"both": 0.5, "source": 0.6, "target": 0.4}) == "both", "three slices say little of S_s alone"
    assert chosen_way({}) == "both", "no label says anything"


def test_a_control_may_see_the_sources_own_slices(site, source_view):
    p = replace(TARGET_PARAMETERS, source_samples="real", batch=replace(TARGET_PARAMETERS.batch, pairs=0))
    assert len(replace(site, p=p, centralised=source_view).data().source) == 12


def test_a_target_that_does_not_fit_is_refused(site, tmp_path):
    without = ClientView(write_discs(tmp_path / "a", 0, few_shot=0), site.view.labels)
    with pytest.raises(FedFactoryError, match="holds no M_t"):
        replace(site, view=without).data()
    empty = ClientView(write_discs(tmp_path / "b", 0), site.view.labels)
    labels = np.load(tmp_path / "b" / "labels.npy")
    labels[[row.in_mt for row in empty.rows]] = 0
    np.save(tmp_path / "b" / "labels.npy", labels)
    with pytest.raises(FedFactoryError, match="none of the 2 labelled slices M_t shows the class disc"):
        replace(site, view=empty).data()
    five = ClientView(write_discs(tmp_path / "c", 0), Labels(few_shot=5, validation=True))
    with pytest.raises(FedFactoryError, match="M_t has 2 slices, the method declares 5"):
        replace(site, view=five, p=replace(TARGET_PARAMETERS, labelled_slices=5)).data()
    store = tmp_path / "c" / "store.json"
    store.write_text(store.read_text().replace("disc", "ring"))
    with pytest.raises(FedFactoryError, match="has the classes ring, the source branch segments disc"):
        replace(site, view=ClientView(tmp_path / "c", site.view.labels))


def test_a_targets_own_statistics_are_those_of_its_images(source, factory):
    """The stem is a convolution: its normalisation's mean is known. The source's statistics and all weights stay."""
    translator, branch = source.translator, source.branches[SOURCE]
    images = torch.rand(9, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = copy.deepcopy(translator.encoder.state_dict())
    take_own_statistics(translator, branch, images, 32, 3, seed=0)
    norm = translator.encoder.stem_norm.domains[TARGET]
    with torch.no_grad():
        stem = translator.encoder.stem(images)
    torch.testing.assert_close(norm.running_mean, stem.mean((0, 2, 3)))
    assert norm.num_batches_tracked == 3 and norm.momentum == 0.1
    for name, value in translator.encoder.state_dict().items():
        if "domains.1" not in name or name.endswith(("weight", "bias")):
            assert torch.equal(value, before[name]), name
    take_own_statistics(translator, branch, images[:2], 32, 3, seed=0)
    assert norm.num_batches_tracked == 1, "fewer images than a batch are one"


@pytest.mark.parametrize(
    ("own", "start", "left_out", "left", "dice"),
    [
        (0.93, 0.4, None, 2.0, 0.93),
        (0.904, 0.4, None, 1.0, 0.9),
        (0.7, 0.91, 0.908, 1.0, 0.9),
        (0.93, 0.6, 0.61, 2.0, 0.93),
        (0.93, 0.6, 0.58, 0.0, 0.6),
    ],
)
def test_an_adaptation_ends_as_what_reads_m_t_better_than_its_last_state(
    own: float, start: float, left_out: float | None, left: float, dice: float, monkeypatch: pytest.MonkeyPatch
):
    """By more than half a point: with 1 as the last state's mean, 2 as the target's own, 0 as the start's.

    A start that reads M_t well is compared with trainings without the slice, not with what was taught.
    """
    found, mean, history = end_of(own, start, 0.5, (lambda: left_out) if left_out else None, monkeypatch)
    assert (mean, found["both"]) == (left, dice)
    of_last = history.states[86][ENCODER]["running_mean"].item()
    assert of_last == (2 if own > 0.905 else 1), "validation volumes choose among the training's own states"


@pytest.mark.parametrize(("least", "several"), [(0.5, False), (0.95, True), (None, True)])
def test_a_start_is_compared_with_what_was_taught_where_no_slice_is_left_out(
    least: float | None, several: bool, monkeypatch: pytest.MonkeyPatch
):
    left_out = Mock(side_effect=AssertionError("a training for nothing")) if several else None
    for start, expected in ((0.905, 1.0), (0.91, 0.0)):
        assert end_of(0.8, start, least, left_out, monkeypatch)[1] == expected


def end_of(
    own: float, start: float, least: float | None, left_out: Callable[[], float] | None, patch: pytest.MonkeyPatch
) -> tuple[dict[str, float], float, History]:
    """What is read of M_t, the mean that is left, and the history, where the last state reads M_t at 0.9."""
    networks = {ENCODER: torch.nn.BatchNorm1d(1), BRANCH: torch.nn.BatchNorm1d(1)}
    mean = networks[ENCODER].running_mean
    states = {0: {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}, 86: {}}
    mean.fill_(1)
    patch.setattr(ending, "take_own_statistics", lambda *_: mean.fill_(2))
    found = ending.end_best(
        SimpleNamespace(encoder=networks[ENCODER]),
        networks[BRANCH],
        SimpleNamespace(unlabelled=SimpleNamespace(images=None), size=32),
        replace(
            TARGET_PARAMETERS, schedule=replace(TARGET_PARAMETERS.schedule, steps=86), end="best", left_out_from=least
        ),
        0,
        history := History([], [], None, states),
        lambda: {"both": {0.0: start, 1.0: 0.9, 2.0: own}[mean.item()]},
        left_out,
    )
    return found, mean.item(), history


def test_a_slice_that_is_left_out_teaches_nothing(site, source, tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Neither it nor a copy of it; and networks that learn nothing read M_t as their start does."""
    taught = []
    monkeypatch.setattr(adaptation, "adapt", lambda *given: taught.append(given[3].labelled))
    monkeypatch.setattr(adaptation, "keep_better_statistics", lambda *_: None)
    data = site.data()
    found = adaptation.dice_left_out(site, data, PlainDistance(), Checkpoints(tmp_path / "work", "x"), "x")
    assert len(data.labelled) == 2 * TARGET_PARAMETERS.copies and len(taught) == 2
    for number, rest in enumerate(taught):
        assert torch.equal(rest.images, data.labelled.images[1 - number :: 2])
        assert torch.equal(rest.labels, data.labelled.labels[1 - number :: 2])
    translator, branch = target_networks(source, site.look, site.p, site.seed)
    branches = {SOURCE: source.branches[SOURCE], TARGET: branch}
    segment = BranchSegmenter(translator, branches, TARGET, data.frame, site.p.symmetries)
    assert found == pytest.approx(segment.slices_dice(*site.few_shot, 1)["both"], abs=1e-3)
