"""The twelve sites: one documented row each. Everything that differs between clients stands here or in ``tissues``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PhantomSite:
    """What one site's scanner does to any signal.

    Attributes:
        rows: voxels in y beyond the requested size.
        cols: voxels in x beyond the requested size.
        fov: in-plane extent in mm of ``size`` voxels, i.e. spacing = fov / size.
        coverage: from the first slice centre to the last in mm, i.e. slice distance = coverage / (slices - 1).
        fwhm: in-plane point spread in mm.
        noise: MRI: Rician sigma as a fraction of the 99th percentile; CT: HU; PET: counts per voxel and SUV.
        bias: deviation of the smooth log coil sensitivity.
        anterior: fall of the log sensitivity from front to back (surface coil).
        gain: stored value of the 99th percentile.
        texture: relative heterogeneity within a tissue.
    """

    rows: int
    cols: int
    fov: float
    coverage: float
    fwhm: float
    noise: float
    bias: float = 0.0
    anterior: float = 0.0
    gain: float = 1000.0
    texture: float = 0.04


@dataclass(frozen=True)
class CineSequence:
    """Cine of one vendor: field in T, TR and TE in ms, flip in degrees, off-resonance spread in Hz, inflow fraction."""

    vendor: str
    vendor_name: str
    centres: tuple[int, ...]
    field: float
    tr: float
    flip: float
    off_resonance: float
    rotation: float
    spoiled: bool = False
    te: float = 0.0
    inflow: float = 0.0


@dataclass(frozen=True)
class SpinEchoSequence:
    """TR and effective TE in ms."""

    tr: float
    te: float


@dataclass(frozen=True)
class AngioSequence:
    """Gradient echo angiography: TR and TE in ms, flip in degrees, field in T, velocity in mm/s per mm of radius."""

    tr: float
    te: float
    flip: float
    field: float = 3.0
    velocity: float = 0.0
    venous_oxygenation: float = 0.0


MS = {
    "philips": PhantomSite(0, 0, 176, 90, 2.4, 0.030, bias=0.10, anterior=0.25, gain=900, texture=0.06),
    "siemens": PhantomSite(4, -4, 224, 88, 3.4, 0.035, bias=0.25, anterior=1.20, gain=350, texture=0.06),
    "ge": PhantomSite(2, 2, 196, 92, 3.2, 0.045, bias=0.18, anterior=0.55, gain=1400, texture=0.06),
    "canon": PhantomSite(-2, 4, 196, 90, 3.6, 0.060, bias=0.25, anterior=0.60, gain=2500, texture=0.06),
}
CINE = {
    "philips": CineSequence("B", "PHILIPS", (2, 3), 1.5, 3.0, 60, 15, 0),
    "siemens": CineSequence("A", "SIEMENS", (1,), 1.5, 8.0, 20, 0, 50, spoiled=True, te=4.8, inflow=0.035),
    "ge": CineSequence("C", "GE", (4,), 1.5, 4.2, 35, 45, -14),
    "canon": CineSequence("D", "CANON", (5,), 3.0, 3.6, 32, 105, 25),
}
MM = {
    "pdw": PhantomSite(0, 0, 208, 170, 2.6, 0.030, bias=0.10, anterior=0.0, gain=1200),
    "t2w": PhantomSite(4, -2, 232, 170, 2.8, 0.035, bias=0.12, anterior=0.0, gain=800),
    "ct": PhantomSite(2, 2, 340, 218, 2.0, 60.0),
    "pet": PhantomSite(-2, -2, 285, 218, 8.0, 16.0, texture=0.08),
}
SPIN_ECHO = {"pdw": SpinEchoSequence(4000, 25), "t2w": SpinEchoSequence(4500, 80)}
MO = {
    "oasis": PhantomSite(4, -2, 184, 74, 1.8, 0.030, bias=0.08, gain=500),
    "ixi": PhantomSite(0, 0, 200, 76, 2.8, 0.042, bias=0.22, gain=300),
    "swi": PhantomSite(2, 2, 188, 76, 1.6, 0.022, bias=0.12, gain=700),
    "octa": PhantomSite(2, 2, 3.0, 1.0, 0.05, 5.0),
}
ANGIO = {
    "oasis": AngioSequence(22, 3.6, 20, velocity=110),
    "ixi": AngioSequence(20, 5.8, 16, velocity=45),
    "swi": AngioSequence(28, 20, 15, venous_oxygenation=0.55),
}
SITES = {"ms": MS, "mm": MM, "mo": MO}
