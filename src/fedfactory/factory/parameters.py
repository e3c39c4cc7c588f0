"""Parameters of the factory, as the configuration's section ``factory`` gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from fedfactory.config.parameters import AS_WRITTEN, STRICT, Count, Natural, Positive, Share, Weight, read
from fedfactory.config.sentences import Misfit
from fedfactory.factory.encoders import EncoderParameters
from fedfactory.federation.aggregation import FEWEST, Rule
from fedfactory.federation.parameters import EngineParameters

SMALLEST, LARGEST = 32, 512
# What a job's parameters name beside these: the encoder of the keys, and whether the discriminator is kept.
_BESIDE = ("encoder", "keep_discriminator")


@dataclass(frozen=True)
class NetworkSection:
    """Architecture of generator and discriminator.

    Attributes:
        image_size: edge of the images in pixels, a power of two from 32 to 512.
        channels: feature channels at each resolution 4, 8, ..., image_size.
        latent: size of z, of w and of the embedded condition.
        mapping_layers: layers of the mapping network.
        mapping_rate: learning-rate multiplier of the mapping network.
        weighting: how the embeddings of label and key combine: ``mean`` (equation 1) or ``key_dominant``
            (0.8 key + 0.2 label, and the label alone in half of the steps); or, for a control, the ``label`` alone.
        label_reaches: ``all`` style inputs (paper) see the client; or ``late``: only those from ``late_from`` pixels
            on, so that one z keeps its anatomy at every client.
        late_from: first resolution whose style inputs see the client; used with ``late``.
        client_zoom: whether every client learns a magnification of the shared anatomy, for fields of view that differ;
            needs ``late``.
        position_width: width in bins of the bell that tells slice positions, so that neighbours learn from each other;
            0 for one bin alone (paper).
        noise: whether layers add scaled random noise.
    """

    __pydantic_config__ = STRICT
    image_size: int
    channels: dict[Count, Count]
    latent: Count
    mapping_layers: Count
    mapping_rate: Annotated[Positive, AS_WRITTEN]
    weighting: Literal["mean", "key_dominant", "label"]
    label_reaches: Literal["all", "late"]
    late_from: int
    client_zoom: bool
    position_width: Annotated[Weight, AS_WRITTEN]
    noise: bool

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        size = self.image_size
        if not SMALLEST <= size <= LARGEST or size & (size - 1):
            raise Misfit("image_size", f"is {size}; it must be a power of two from {SMALLEST} to {LARGEST}")
        known = ", ".join(map(str, self.resolutions))
        missing = [r for r in self.resolutions if r not in self.channels]
        if missing or len(self.channels) != len(self.resolutions):
            raise Misfit("channels", f"must have one entry for each of {known}")
        if self.label_reaches == "late" and self.late_from not in self.resolutions:
            raise Misfit("late_from", f"is {self.late_from}; it must be one of the resolutions {known}")
        if self.client_zoom and (self.label_reaches != "late" or self.late_from == self.resolutions[0]):
            raise Misfit("client_zoom", "needs 'label_reaches: late' and 'late_from' above 4")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., image_size."""
        return tuple(1 << power for power in range(2, self.image_size.bit_length()))


@dataclass(frozen=True)
class NetworkParameters(NetworkSection):
    """Architecture, with what follows from other sections.

    Attributes:
        position_bins: number of slice-position bins.
        key_size: length of the CLIP key.
        clients: number of clients K of the label embedding.
    """

    __pydantic_config__ = STRICT
    position_bins: Count
    key_size: Count
    clients: Count


@dataclass(frozen=True)
class PrivacyParameters:
    """Differential privacy of a client's subjects: what its training sends says little of any one of them.

    Attributes:
        epsilon: bound of the privacy loss at ``delta`` after a whole training, for leaving out or adding one subject;
            the noise follows from it.
        delta: probability with which the bound may not hold; less than one in ``least_subjects``.
        clip: largest norm of what one subject adds to a gradient of the discriminator.
        least_subjects: that train at each client; one with fewer does not take part.
        subjects: that take part in a step, in the mean, where there are ``least_subjects``.
        slices: of such a subject in a step.
        noise: ``seeded``: from the training's seed, with the same bytes each time, and no protection from those who
            know the seed; or ``secret``: from the client's operating system.
    """

    __pydantic_config__ = STRICT
    epsilon: Annotated[Positive, AS_WRITTEN]
    delta: Annotated[float, Field(gt=0, lt=1)]
    clip: Annotated[Positive, AS_WRITTEN]
    least_subjects: Count
    subjects: Count
    slices: Count
    noise: Literal["seeded", "secret"]

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if self.delta * self.least_subjects >= 1:
            raise Misfit("delta", f"is {self.delta}; it must be below 1 in 'least_subjects' ({self.least_subjects})")
        if self.subjects >= self.least_subjects:
            raise Misfit("subjects", f"must be fewer than 'least_subjects' ({self.least_subjects})")

    @property
    def sample_rate(self) -> float:
        """Probability with which a subject takes part in a step."""
        return self.subjects / self.least_subjects


@dataclass(frozen=True)
class TrainingParameters:
    """Losses and optimisers of a local step.

    Attributes:
        batch: images of a step.
        copies: how often each image of a client occurs, as it is and deformed, so that shapes vary with z; 1 for the
            images alone.
        learning_rate: Adam's rate before the correction for lazy regularisation.
        r1: weight gamma of R1; the penalty is gamma / 2 times the squared gradient norm.
        r1_every: discriminator passes between two R1 passes; 0 turns it off.
        path_length: weight of the path-length penalty.
        path_length_every: generator passes between two path-length passes; 0 turns it off.
        path_length_decay: decay of the running mean of path lengths.
        mixing: probability of style mixing.
        ema: decay of the averaged generator for each step that the generator learns in.
        augment_target: mean sign of D(real) that adaptive augmentation aims at; 0 turns augmentation off.
        augment_speed: images until the augmentation probability may move from 0 to 1.
        flip: whether left and right may be exchanged by augmentation.
        counting: a local step is a ``pair`` (D, G and what regularisation is due) or one ``backward`` pass (D and G
            take turns, a regularisation pass replaces the ordinary one).
        refinement_weight: weight of the squared spherical distance between key and generated images in refinement.
        precision: type of the feature maps, ``float32`` or ``bfloat16``; weights, losses and optimisers are float32.
        accumulate: batches whose mean gradient makes an update, for cards that do not hold a larger batch. As in a
            training on several cards, the discriminator's minibatch deviation sees one of them at a time.
        shared_fakes: whether one pass of the generator makes the images for both passes of a ``pair``; in StyleGAN2
            each pass makes its own.
        privacy: differential privacy of the clients' subjects; null for none.
    """

    __pydantic_config__ = STRICT
    batch: Count
    copies: Count
    learning_rate: Annotated[Positive, AS_WRITTEN]
    r1: Annotated[Weight, AS_WRITTEN]
    r1_every: Natural
    path_length: Annotated[Weight, AS_WRITTEN]
    path_length_every: Natural
    path_length_decay: Annotated[Share, AS_WRITTEN]
    mixing: Annotated[Share, AS_WRITTEN]
    ema: Annotated[Share, AS_WRITTEN]
    augment_target: Annotated[Share, AS_WRITTEN]
    augment_speed: Count
    flip: bool
    counting: Literal["pair", "backward"]
    refinement_weight: Annotated[Weight, AS_WRITTEN]
    precision: Literal["float32", "bfloat16"]
    accumulate: Count = 1
    shared_fakes: bool = False
    privacy: PrivacyParameters | None = None

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if self.privacy and (self.counting != "pair" or self.accumulate != 1 or self.augment_target):
            raise Misfit(
                "privacy",
                "needs 'counting: pair', 'accumulate: 1', and 'augment_target: 0': augmentation would follow the "
                "scores of real images",
            )
        if self.shared_fakes and (self.counting != "pair" or self.accumulate != 1):
            raise Misfit(
                "shared_fakes",
                "needs 'counting: pair' and 'accumulate: 1': one generator pass serves a pair of one batch; correct "
                "these, or set it to false",
            )

    def generator_turns(self, steps: int) -> int:
        """In how many of so many local steps the generator learns."""
        return steps if self.counting == "pair" else steps // 2


@dataclass(frozen=True)
class FederationParameters(EngineParameters):
    """How the clients train together.

    Attributes:
        rounds: rounds of federated training.
        local_steps: steps of a sampled client in a round.
        refinement_rounds: rounds of the refinement stage.
        refinement_steps: steps of a sampled client in a refinement round.
        clients_per_round: clients sampled for a round.
        persistent_optimisers: whether a client keeps from round to round what its training carries: moments of Adam,
            probability of augmentation, mean path length, count of passes. The paper's own runs began all of it anew
            in every round.
        checkpoint_every: rounds between two checkpoints.
        snapshots: pictures of the training, evenly spaced over its rounds.
        deadline: seconds until an answer of a site is given up.
        aggregation: how the models of a round become one: their ``mean`` as in the paper, or, of three clients or more,
            the ``median`` or the ``trimmed_mean`` of each value, which no single client moves as far as it likes.
    """

    __pydantic_config__ = STRICT
    rounds: Count
    local_steps: Count
    refinement_rounds: Natural
    refinement_steps: Count
    clients_per_round: Count
    persistent_optimisers: bool
    checkpoint_every: Count
    snapshots: Annotated[int, Field(ge=2)]
    deadline: Count
    aggregation: Rule = "mean"

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        super().__post_init__()
        if self.aggregation != "mean" and self.clients_per_round < FEWEST:
            raise Misfit("aggregation", f"'{self.aggregation}' needs at least {FEWEST} of 'clients_per_round'")

    @property
    def total_rounds(self) -> int:
        """Rounds of both stages."""
        return self.rounds + self.refinement_rounds

    def local_steps_of(self, round_number: int) -> int:
        """Steps of a client in a round, counted from 0."""
        return self.local_steps if round_number < self.rounds else self.refinement_steps


@dataclass(frozen=True)
class FactoryParameters:
    """All of them, for one setup's factory.

    Attributes:
        clients: names of the federated clients; their order is the order of the label embedding.
        network: architecture.
        training: a local step.
        federation: rounds and engine.
    """

    __pydantic_config__ = STRICT
    clients: tuple[str, ...]
    network: NetworkParameters
    training: TrainingParameters
    federation: FederationParameters

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if len(self.clients) < 2:
            raise Misfit(
                "",
                f"needs at least two clients with 'federated: true', found {len(self.clients)}"
                f" ({', '.join(self.clients) or 'none'})",
            )
        if self.training.counting == "backward":
            stages = {"local_steps": 1, "refinement_steps": self.federation.refinement_rounds}
            odd = [name for name, rounds in stages.items() if rounds and getattr(self.federation, name) % 2]
            if odd:
                raise Misfit(
                    f"federation.{odd[0]}",
                    "must be even with 'training.counting: backward', whose steps are turns of discriminator and "
                    "generator",
                )
        if self.training.privacy:
            self._check_privacy(self.training.privacy)
        if self.federation.clients_per_round > len(self.clients):
            raise Misfit(
                "federation.clients_per_round",
                f"is {self.federation.clients_per_round}, but only {len(self.clients)} clients are federated",
            )

    def _check_privacy(self, p: PrivacyParameters) -> None:
        if self.network.weighting != "label" or self.federation.refinement_rounds:
            raise Misfit(
                "training.privacy",
                "needs 'network.weighting: label' and 'federation.refinement_rounds: 0': a key is a mean over images",
            )
        if self.federation.mode == "remote" and p.noise != "secret":
            raise Misfit("training.privacy.noise", "must be 'secret' with 'mode: remote': the server knows the seed")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build from JSON, which has no integer keys and no tuples; the inverse of :meth:`as_json`."""
        return read(cls, {key: value for key, value in data.items() if key not in _BESIDE}, "factory")

    def as_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        parts = {name: getattr(self, name) for name in ("network", "training", "federation")}
        plain = {name: {f.name: getattr(part, f.name) for f in fields(part)} for name, part in parts.items()}
        plain["network"]["channels"] = {str(k): v for k, v in self.network.channels.items()}
        # What is not used leaves no trace.
        privacy = plain["training"].pop("privacy")
        if privacy is not None:
            plain["training"]["privacy"] = asdict(privacy)
        return {"clients": list(self.clients), **plain}


@dataclass(frozen=True)
class SetupSection:
    """What differs for a setup, in the same sections.

    Attributes:
        network: keys of ``network``.
        training: keys of ``training``.
        federation: keys of ``federation``.
    """

    __pydantic_config__ = STRICT
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    federation: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FactorySection:
    """The section ``factory`` of a run.

    Attributes:
        encoder: who makes the CLIP keys.
        network: architecture of generator and discriminator.
        training: losses and optimisers.
        federation: rounds and engine.
        workers: clients of a round that train side by side, a core each; null for all of them. It does not change the
            result. With 1 they take turns, and other jobs have the other cores.
        setups: what differs for a setup, in the same sections; a key replaces the other one as a whole.
    """

    __pydantic_config__ = STRICT
    encoder: EncoderParameters
    network: NetworkSection
    training: TrainingParameters
    federation: FederationParameters
    workers: Count | None = None
    setups: dict[str, SetupSection] = field(default_factory=dict)
