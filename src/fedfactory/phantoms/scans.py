"""One subject's scan at one site: anatomy, then contrast, then acquisition."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedfactory.phantoms import physics, tissues
from fedfactory.phantoms.acquisition import bias_field, ct_image, magnitude_image, pet_image, speckle
from fedfactory.phantoms.cardiac import Heart, beat, chest, draw_heart
from fedfactory.phantoms.cerebral import arteries, veins
from fedfactory.phantoms.grid import Grid, psf, smooth_noise
from fedfactory.phantoms.head import Head, draw_head, draw_tissue
from fedfactory.phantoms.retina import draw_retina
from fedfactory.phantoms.seeding import generator
from fedfactory.phantoms.sites import ANGIO, CINE, MM, MO, MS, SPIN_ECHO, AngioSequence, CineSequence, PhantomSite
from fedfactory.phantoms.vessels import Vessels, rasterise


@dataclass(frozen=True)
class Subject:
    """Who is scanned where: the key of every random stream of one scan."""

    seed: int
    setup: str
    client: str
    index: int

    def stream(self, purpose: str) -> np.random.Generator:
        """Return the random stream of one purpose, e.g. ``"anatomy"``."""
        return generator(self.seed, self.setup, self.client, self.index, purpose)


@dataclass(frozen=True)
class Scan:
    """Voxels of one scan: arrays (slices, rows, cols), or (frames, slices, rows, cols) for cine.

    Rows run to the back of the head (to the diaphragm in short axis), columns to the patient's left.
    """

    image: np.ndarray
    label: np.ndarray
    grid: Grid
    brain: np.ndarray | None = None


@dataclass(frozen=True)
class CineScan(Scan):
    """A cine with its 0-based frames of end diastole and end systole, and the subject that was drawn."""

    ed: int = 0
    es: int = 1
    heart: Heart | None = None


def _grid(site: PhantomSite, size: int, slices: int, fine: int, z0: float = 0.0) -> Grid:
    return Grid(
        size + site.rows, size + site.cols, slices, site.fov / size, site.coverage / max(slices - 1, 1), fine, z0
    )


FRAMES = 4


def scan_heart(subject: Subject, size: int, slices: int) -> CineScan:
    """Acquire a cine: int16 image and uint8 label (4, slices, rows, cols); labels only at ED and ES."""
    site, sequence = MS[subject.client], CINE[subject.client]
    grid = _grid(site, size, slices, 2)
    rng = subject.stream("anatomy")
    heart = draw_heart(rng, grid, sequence.rotation)
    background = chest(heart, grid, rng)
    ed = int(rng.choice((0, 0, 0, FRAMES - 1)))
    es = int(rng.choice((1, 2)))
    texture = 1 + site.texture * smooth_noise(rng, grid.shape, (slices, size / 3, size / 3))
    rng = subject.stream("acquisition")
    signal = _cine_signal(rng, sequence, grid)
    bias = bias_field(rng, (slices, grid.rows, grid.cols), site.bias, site.anterior)
    images, labels = [], []
    for frame in range(FRAMES):
        contraction = {ed: 0.0, es: 1.0}.get(frame, 0.5)
        tissue, label = beat(heart, grid, background, contraction)
        fine = signal(tissue) * texture
        images.append(magnitude_image(rng, fine, grid, fwhm=site.fwhm, noise=site.noise, bias=bias, gain=site.gain))
        marked = frame in (ed, es)
        labels.append(grid.to_labels(label, 4) if marked else np.zeros_like(images[-1], np.uint8))
    return CineScan(np.stack(images), np.stack(labels), grid, None, ed, es, heart)


def _cine_signal(rng: np.random.Generator, sequence: CineSequence, grid: Grid) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from tissue indices to cine signal; bSSFP sees a smooth map of off-resonance."""
    column = lambda name: tissues.column(tissues.HEART, name)  # noqa: E731
    field = "15" if sequence.field < 2 else "30"
    pd, t1, t2 = column("pd"), column(f"t1_{field}"), column(f"t2_{field}")
    blood = tissues.HEART_INDEX["blood"]
    if sequence.spoiled:
        table = physics.spoiled_gre(pd, t1, t2, tr=sequence.tr, te=sequence.te, flip=sequence.flip)
        fresh = pd[blood] * np.sin(np.deg2rad(sequence.flip))
        table[blood] += sequence.inflow * (fresh - table[blood])
        table = table.astype(np.float32)
        return lambda tissue: table[tissue]
    bins = np.linspace(0, np.pi, 33)
    table = physics.bssfp(pd[:, None], t1[:, None], t2[:, None], tr=sequence.tr, flip=sequence.flip, phase=bins)
    table = table.astype(np.float32)
    hertz = sequence.off_resonance * smooth_noise(rng, grid.shape, (1, 2, 2))
    phase = np.abs(np.angle(np.exp(1j * 2 * np.pi * hertz * sequence.tr / 1000)))
    place = np.rint(phase / np.pi * 32).astype(np.uint8)
    return lambda tissue: table[tissue, place]


HEAD_MIDDLE = -5.0  # mm; the stack reaches further down, to the face, than above the vertex


def scan_head(subject: Subject, size: int, slices: int) -> Scan:
    """Acquire a head: int16 (MRI; CT in HU) or float32 (PET in SUV) image and uint8 brain mask."""
    site, client = MM[subject.client], subject.client
    grid = _grid(site, size, slices, 2, z0=HEAD_MIDDLE)
    rng = subject.stream("anatomy")
    tissue, brain = draw_tissue(draw_head(rng), grid, rng, head_rest=client == "ct")
    texture = 1 + site.texture * smooth_noise(rng, grid.shape, (slices, size / 3, size / 3))
    label = grid.to_labels(brain, 2)
    rng = subject.stream("acquisition")
    if client == "ct":
        fine = tissues.column(tissues.HEAD, "hu").astype(np.float32)[tissue]
        return Scan(ct_image(rng, fine, grid, fwhm=site.fwhm, noise_hu=site.noise), label, grid)
    if client == "pet":
        # Global uptake differs between subjects by dose, glucose and delay; the scalp less than the cortex.
        fine = tissues.column(tissues.HEAD, "suv").astype(np.float32)[tissue] * texture * rng.uniform(0.75, 1.3)
        return Scan(pet_image(rng, fine, grid, fwhm=site.fwhm, counts=site.noise), label, grid)
    sequence = SPIN_ECHO[client]
    pd, t1, t2 = (tissues.column(tissues.HEAD, n) for n in ("pd", "t1", "t2"))
    table = physics.spin_echo(pd, t1, t2, tr=sequence.tr, te=sequence.te).astype(np.float32)
    bias = bias_field(rng, label.shape, site.bias, site.anterior)
    fine = table[tissue] * texture
    image = magnitude_image(rng, fine, grid, fwhm=site.fwhm, noise=site.noise, bias=bias, gain=site.gain)
    return Scan(image, label, grid)


def scan_vessels(subject: Subject, size: int, slices: int) -> Scan:
    """Acquire TOF or SWI: int16 slab projections, uint8 vessel label and brain mask."""
    site, sequence = MO[subject.client], ANGIO[subject.client]
    swi = subject.client == "swi"
    grid = _grid(site, size, slices, 3, z0=12.0 if swi else 4.0)
    rng = subject.stream("anatomy")
    head = draw_head(rng)
    tissue, brain = draw_tissue(head, grid, rng)
    texture = 1 + site.texture * smooth_noise(rng, grid.shape, (slices, size / 3, size / 3))
    table = physics.spoiled_gre(
        *(tissues.column(tissues.HEAD, n) for n in ("pd", "t1", "t2s")),
        tr=sequence.tr,
        te=sequence.te,
        flip=sequence.flip,
    )
    static = table.astype(np.float32)[tissue] * texture
    draw = _swi if swi else _tof
    fine, vessel = draw(subject.stream("vessels"), head, grid, sequence, static)
    rng = subject.stream("acquisition")
    bias = bias_field(rng, (slices, grid.rows, grid.cols), site.bias, site.anterior)
    image = magnitude_image(rng, fine, grid, fwhm=site.fwhm, noise=site.noise, bias=bias, gain=site.gain)
    return Scan(image, grid.to_labels(vessel, 2), grid, grid.to_labels(brain, 2))


def _in_scanner(head: Head, vessels: Vessels) -> Vessels:
    """Move vessels from the head's frame to the scanner's: by the shift, the tree varies more than the tilt."""
    return type(vessels)(vessels.position + np.array(head.shift), vessels.radius, vessels.direction)


def _tof(
    rng: np.random.Generator, head: Head, grid: Grid, sequence: AngioSequence, static: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Signal and vessel map of time of flight: inflow against saturation, arteries only."""
    inner, scalp = (_in_scanner(head, v) for v in arteries(rng, head, 0.86))
    fine = static
    bottom = float(grid.z.ravel()[0]) - grid.thickness
    for vessels in (scalp, inner):
        depth = vessels.position[:, 2] - bottom
        velocity = sequence.velocity * vessels.radius * rng.uniform(0.8, 1.2)
        signal = physics.inflow_gre(
            tissues.BLOOD_PD,
            tissues.BLOOD_T1,
            tissues.ARTERY_T2S,
            tr=sequence.tr,
            te=sequence.te,
            flip=sequence.flip,
            depth=depth,
            velocity=velocity,
        )
        drawn = rasterise(vessels, grid, signal)
        fine = np.where(drawn > 0, drawn, fine)
    return fine.astype(np.float32), drawn > 0


def _swi(
    rng: np.random.Generator, head: Head, grid: Grid, sequence: AngioSequence, static: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Signal and vessel map of SWI: T2* of venous blood times the phase mask, arteries fresh and unlabelled."""
    inner, _ = arteries(rng, head, 0.7)
    inner = _in_scanner(head, inner)
    flow = physics.inflow_gre(
        tissues.BLOOD_PD,
        tissues.BLOOD_T1,
        tissues.ARTERY_T2S,
        tr=sequence.tr,
        te=sequence.te,
        flip=sequence.flip,
        depth=80.0,
        velocity=60 * inner.radius,
    )
    drawn = rasterise(inner, grid, flow)
    fine = np.where(drawn > 0, drawn, static)
    found = _in_scanner(head, veins(rng, head))
    oxygenation = sequence.venous_oxygenation + rng.normal(0, 0.04)
    phase = physics.vein_phase(found.direction[:, 2], b0=sequence.field, te=sequence.te, oxygenation=oxygenation)
    blood = physics.spoiled_gre(
        tissues.BLOOD_PD, tissues.BLOOD_T1, tissues.VEIN_T2S, tr=sequence.tr, te=sequence.te, flip=sequence.flip
    )
    dark = rasterise(found, grid, blood * physics.phase_mask(phase) + 1e-4)
    return np.where(dark > 0, dark, fine).astype(np.float32), dark > 0


PROJECTIONS = ("FULL", "ILM_OPL", "OPL_BM")


@dataclass(frozen=True)
class RetinaScan:
    """8-bit en-face projections by name, and boolean maps of large vessels and capillaries, each (rows, cols)."""

    projections: dict[str, np.ndarray]
    large: np.ndarray
    capillary: np.ndarray


def scan_retina(subject: Subject, size: int) -> RetinaScan:
    """Acquire OCTA: decorrelation of large vessels and capillaries, projected over three depth ranges."""
    site = MO["octa"]
    grid = _grid(site, size, 1, 3)
    rng = subject.stream("anatomy")
    retina = draw_retina(rng, grid)
    choroid = smooth_noise(rng, grid.shape, (1, size / 2.2, size / 2.2))
    rng = subject.stream("acquisition")
    flow = physics.decorrelation(retina.large + retina.capillary, saturation=1.2).astype(np.float32)
    shadow = retina.large > 0
    inner = 0.06 + 0.9 * flow
    granular = 0.45 + 0.12 * choroid - 0.05 * shadow
    outer = granular + 0.22 * flow * shadow
    layers = {"FULL": 0.55 * inner + 0.45 * outer, "ILM_OPL": inner, "OPL_BM": outer}
    vignette = np.exp(0.12 * smooth_noise(rng, (1, grid.rows, grid.cols), (1, 1.5, 1.5)))
    projections = {}
    for name in PROJECTIONS:
        image = grid.to_voxels(psf(layers[name].astype(np.float32), site.fwhm, grid.step)) * vignette
        image = speckle(rng, image, site.noise * 4)
        projections[name] = np.clip(np.rint(image[0] * 210), 0, 255).astype(np.uint8)
    large = grid.to_labels(shadow, 2)[0].astype(bool)
    return RetinaScan(projections, large, grid.to_labels(retina.capillary > 0, 2)[0].astype(bool) & ~large)
