"""What the source shares and what a target may see: synthetic set, looks, stored networks, and refusals."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.factory.model import Factory
from fedfactory.methods.ours import trials
from fedfactory.methods.ours.encoder import SOURCE, TARGET
from fedfactory.methods.ours.field_of_view import FieldOfView, label_radius
from fedfactory.methods.ours.model import Stored, open_factory, read_networks, write_networks
from fedfactory.methods.ours.parameters import LookParameters, SyntheticParameters, TargetParameters
from fedfactory.methods.ours.rendering import Look, learn_look, nearest_client, own_look, read_look, write_look
from fedfactory.methods.ours.synthetic import SyntheticSet, make_synthetic_set
from fedfactory.methods.ours.target_data import TargetClient
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.progress import Progress
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
    with pytest.raises(FedFactoryError, match="is no look of a client"):
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
    write_networks(
        tmp_path / "model", architecture, translator, {SOURCE: branch, TARGET: other}, History([], [], None),
        frame=0.2, read_at_inference=(SOURCE, TARGET), shown="labelled",
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
    one = stored.segmenter((TARGET,))
    np.testing.assert_array_equal(one.probabilities(images), both[TARGET])
    with pytest.raises(FedFactoryError, match="holds networks of another kind; make it with the rule source_branch"):
        read_networks(folder, factory_folder, "cpu", "source_branch")


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
    with pytest.raises(FedFactoryError, match="weights.pt is no table of weights of its card .*rule adapt"):
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
    with pytest.raises(FedFactoryError, match="generator.pt is no table of weights of its factory"):
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
    (frame,) = site.frames()
    assert frame.zoom == pytest.approx(factory.zoom("near") - factory.zoom("mid"))
    data = site.data(frame)
    assert len(data.source) == len(data.pairs) == 18
    assert len(data.unlabelled) == 12, "training slices only"
    assert len(data.labelled) == 2 * 2, "M_t and one deformed copy of each"
    assert [volume.name for volume in data.validation] == ["c3"]
    batch = replace(TARGET_PARAMETERS.batch, pairs=0)
    p = replace(TARGET_PARAMETERS, validation="none", labelled_slices=1, batch=batch)
    data = declaring(site, p).data(frame)
    assert (len(data.labelled), data.pairs, data.validation) == (2, None, ())


def declaring(site: TargetClient, p: TargetParameters) -> TargetClient:
    """The site with a view that lets out what the parameters declare, as the job gets it."""
    labels = Labels(few_shot=p.labelled_slices, validation=p.validation == "full")
    return replace(site, p=p, view=replace(site.view, labels=labels))


def test_fields_of_view_that_are_tried(site):
    def zooms(**changes):
        return [frame.zoom for frame in declaring(site, replace(TARGET_PARAMETERS, **changes)).frames()]

    assert zooms(field_of_view="as_is") == [0]
    assert zooms(field_of_view="factory") == zooms(field_of_view="validated", validation="none")
    by_factory, as_is, by_labels = zooms(field_of_view="validated")
    assert as_is == 0 and by_factory == zooms(field_of_view="factory")[0]
    own = label_radius(site.few_shot[1])
    near = np.abs(site.synthetic.position - 1) <= 2
    assert by_labels == pytest.approx(np.log(label_radius(site.synthetic.labels[near]) / own))
    # With one slice, the positions and labels of that slice alone.
    one = zooms(field_of_view="validated", labelled_slices=1)
    own = label_radius(site.view.few_shot().labels[:1])
    assert one[-1] == pytest.approx(np.log(label_radius(site.synthetic.labels[near]) / own))
    batch = replace(TARGET_PARAMETERS.batch, labelled=0)
    assert zooms(field_of_view="validated", labelled_slices=0, batch=batch) == [by_factory, 0]


def test_the_radius_of_labels_scales_with_them():
    grid = np.indices((64, 64)) - 31.5
    small, large = ((grid**2).sum(0) < radius**2 for radius in (10, 20))
    assert label_radius(large[None]) == pytest.approx(2 * label_radius(small[None]), rel=0.02)
    assert label_radius(small[None]) == pytest.approx(10 / 2**0.5 / 64, rel=0.02), "radius / root 2"
    assert label_radius(np.stack([small, np.zeros_like(small)])) == label_radius(small[None]), "empty slices"
    assert label_radius(np.zeros((1, 8, 8))) is None


@pytest.mark.parametrize(("worth", "pairs"), [(0.1, True), (0.0, False), (-0.1, False)])
def test_trials_choose_by_validation(site, tmp_path, monkeypatch, worth, pairs):
    seen, start = [], -1.0

    def adapted(translator, source_branch, branch, data, p, perceptual, seed, checkpoints, progress, until):
        assert until == p.trial
        # A batch stays as large as it was, on both sides.
        assert (data.pairs is None) == (p.batch.pairs == 0)
        assert (p.batch.source + p.batch.pairs, p.batch.labelled + p.batch.pairs) == (3, 2)
        dice = (0.3 if data.frame.zoom == 0 else 0.5 - data.frame.zoom) + worth * (p.batch.pairs > 0)
        seen.append(dice)
        checkpoints.save(until, {"dice": dice})
        begun = start if data.frame.zoom == 0 else -1.0
        return History([], [(0, "both", begun), (until, "both", dice), (until, "source", dice - 0.1)], None)

    def begun(folder="x", **changes):
        parameters = replace(TARGET_PARAMETERS, field_of_view="validated", **changes)
        return trials.Trials(replace(site, p=parameters), PlainDistance(), 0, tmp_path / folder, Progress("x"))

    def run(folder="x", **changes):
        found = begun(folder, **changes)
        return found.choose(), found.tried

    monkeypatch.setattr(trials, "adapt", adapted)
    chosen, tried = run(pairs_by_trial=True)
    assert list(tried.values()) == seen
    assert [recipe.pairs for recipe in tried] == [False, False, False, True], "wrong pairs choose no field of view"
    assert tried[chosen] == max(seen) and chosen.pairs == pairs, "pairs, if they do better"
    chosen_with_pairs, tried_with_pairs = run("y")
    assert len(tried_with_pairs) == 3 and chosen_with_pairs.pairs, "pairs stay unless they are up for trial"
    start = 0.9
    chosen_by_start, _ = run("s", pairs_by_trial=True)
    assert chosen_by_start.frame.zoom == 0 and not chosen_by_start.pairs, "a trial is worth the best state it has seen"
    monkeypatch.setattr(trials, "adapt", None)
    again = begun(pairs_by_trial=True)
    assert again.choose() == chosen and again.tried == tried, "finished trials outlive a kill"
    for _ in ("before the adaptation", "after a kill in it"):
        checkpoints = again.begun(chosen)
        assert checkpoints.rounds() == [TARGET_PARAMETERS.trial], "the adaptation goes on from its trial"
        assert checkpoints.load(TARGET_PARAMETERS.trial) == {"dice": tried[chosen]}
        assert list((tmp_path / "x").glob("trial*")) == [checkpoints.folder], "the others' are gone"
        again = begun(pairs_by_trial=True)
        again.choose()
    assert again.begun(replace(chosen, frame=FieldOfView(0.123))) is None, "which was not tried"
    without_pairs = replace(TARGET_PARAMETERS.batch, pairs=0)
    no_choice = (
        {"field_of_view": "validated", "validation": "none"},
        {"field_of_view": "as_is"},
        {"field_of_view": "factory", "batch": without_pairs},
    )
    for changes in no_choice:
        own = replace(site, p=replace(TARGET_PARAMETERS, **changes))
        nothing = trials.Trials(own, PlainDistance(), 0, tmp_path / "z", Progress("x"))
        assert nothing.choose() == trials.Recipe(own.frames()[0], own.p.batch.pairs > 0) and not nothing.tried


def test_a_control_may_see_the_sources_own_slices(site, source_view):
    p = replace(TARGET_PARAMETERS, source_samples="real", batch=replace(TARGET_PARAMETERS.batch, pairs=0))
    assert len(replace(site, p=p, centralised=source_view).data(FieldOfView(0.0)).source) == 12


def test_a_target_that_does_not_fit_is_refused(site, tmp_path):
    unlabelled = write_discs(tmp_path / "d", 0)
    index = unlabelled / "index.csv"
    index.write_text(index.read_text().replace("validation,1", "validation,0"))
    with pytest.raises(FedFactoryError, match="has no labelled volume for validation; raise 'split.validation'"):
        replace(site, view=ClientView(unlabelled, site.view.labels))
    without = ClientView(write_discs(tmp_path / "a", 0, few_shot=0), site.view.labels)
    with pytest.raises(FedFactoryError, match="holds no M_t"):
        replace(site, view=without).data(FieldOfView(0.0))
    empty = ClientView(write_discs(tmp_path / "b", 0), site.view.labels)
    labels = np.load(tmp_path / "b" / "labels.npy")
    labels[[row.in_mt for row in empty.rows]] = 0
    np.save(tmp_path / "b" / "labels.npy", labels)
    with pytest.raises(FedFactoryError, match="none of the 2 labelled slices M_t shows the class disc"):
        replace(site, view=empty).data(FieldOfView(0.0))
    five = ClientView(write_discs(tmp_path / "c", 0), Labels(few_shot=5, validation=True))
    with pytest.raises(FedFactoryError, match="M_t has 2 slices, the method declares 5"):
        replace(site, view=five, p=replace(TARGET_PARAMETERS, labelled_slices=5)).data(FieldOfView(0.0))
    store = tmp_path / "c" / "store.json"
    store.write_text(store.read_text().replace("disc", "ring"))
    with pytest.raises(FedFactoryError, match="has the classes ring, the source branch segments disc"):
        replace(site, view=ClientView(tmp_path / "c", site.view.labels))
