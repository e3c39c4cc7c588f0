"""Tissue parameters, one table per organ: the only place where contrast comes from.

Relaxation times in ms. Stanisz et al., MRM 2005 (heart, blood, liver, muscle, white and grey matter at 1.5 and 3 T);
Gold et al., AJR 2004 (fat); Lin et al., MRM 2001 (T1 of CSF at 3 T); Peters et al., MRI 2007 and Wansapura et al., JMRI
1999 (T2* of brain); Zhao et al., MRM 2007 (venous blood T2*). Proton densities relative to water after Tofts,
Quantitative MRI of the Brain (2003). Hounsfield units after Kak and Slaney (1988) and Hounsfield (1980) in the ranges
of a radiology text book. FDG uptake after the usual cortical SUV of 6 to 10 and grey-to-white ratio of 2.5 to 4.
Values marked "choice" in a comment are plausible and ours: no source was consulted for them.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HeartTissue:
    """Relaxation of one tissue of the chest: proton density (0..1), T1 and T2 in ms at 1.5 T and 3 T."""

    name: str
    pd: float
    t1_15: float
    t2_15: float
    t1_30: float
    t2_30: float


@dataclass(frozen=True)
class HeadTissue:
    """One tissue of the head: PD, T1, T2 and T2* in ms at 3 T, Hounsfield units and FDG SUV."""

    name: str
    pd: float
    t1: float
    t2: float
    t2s: float
    hu: float
    suv: float


HEART = (
    HeartTissue("lung", 0.12, 1200, 40, 1400, 35),  # choice: short T2 stands for the T2* of inflated lung
    HeartTissue("blood", 0.95, 1441, 290, 1932, 275),
    HeartTissue("myocardium", 0.80, 1030, 40, 1471, 47),
    HeartTissue("fat", 0.90, 288, 165, 371, 133),
    HeartTissue("muscle", 0.80, 1008, 44, 1412, 50),
    HeartTissue("liver", 0.75, 576, 46, 812, 42),
    HeartTissue("spleen", 0.82, 1057, 79, 1328, 61),  # de Bazelaire et al., Radiology 2004
    HeartTissue("scar", 0.85, 1150, 62, 1600, 68),  # choice: oedema or fibrosis, longer T1 and T2
    HeartTissue("bone", 0.15, 400, 30, 500, 28),  # choice
    HeartTissue("air", 0.0, 1000, 10, 1000, 10),
    HeartTissue("stomach", 0.70, 900, 90, 1100, 80),  # choice
)

HEAD = (
    HeadTissue("air", 0.0, 1000, 10, 1, -1000, 0.02),
    HeadTissue("grey", 0.82, 1820, 99, 66, 38, 8.0),
    HeadTissue("white", 0.70, 1084, 69, 53, 29, 2.8),
    HeadTissue("csf", 1.00, 4163, 1500, 500, 6, 0.5),
    HeadTissue("deep_grey", 0.78, 1500, 80, 40, 40, 8.5),  # choice: iron shortens T2 and T2* of the basal ganglia
    HeadTissue("cerebellum", 0.78, 1500, 90, 60, 36, 6.0),
    HeadTissue("lesion", 0.90, 1900, 180, 90, 18, 2.0),  # choice: oedema, gliosis
    HeadTissue("tumour", 0.86, 1700, 130, 70, 45, 5.0),  # choice
    HeadTissue("dura", 0.60, 900, 35, 25, 60, 1.6),  # choice
    HeadTissue("bone", 0.08, 900, 3, 1, 1750, 0.6),
    HeadTissue("marrow", 0.55, 500, 60, 10, 550, 1.4),  # choice: diploe, half fat
    HeadTissue("fat", 0.90, 371, 133, 40, -90, 0.4),
    HeadTissue("muscle", 0.80, 1412, 50, 30, 55, 1.5),
    HeadTissue("skin", 0.75, 1100, 45, 25, 40, 1.0),  # choice
    HeadTissue("vitreous", 0.98, 3800, 1000, 400, 8, 0.6),  # choice: nearly water
    HeadTissue("gland", 0.85, 1300, 80, 35, 40, 3.5),  # choice: mucosa, salivary and lacrimal glands take up FDG
    HeadTissue("calcium", 0.30, 900, 20, 4, 150, 1.0),  # choice: choroid plexus and pineal calcification
    HeadTissue("tooth", 0.02, 1000, 1, 1, 2700, 0.5),  # enamel and fillings; choice
    HeadTissue("rest", 0.0, 1000, 10, 1, -200, 0.05),  # head rest: carbon and foam, no MR signal
)

HEART_INDEX = {t.name: i for i, t in enumerate(HEART)}
HEAD_INDEX = {t.name: i for i, t in enumerate(HEAD)}

BLOOD_PD, BLOOD_T1, ARTERY_T2S, VEIN_T2S = 0.92, 1932.0, 48.0, 21.0  # 3 T


def column(table: tuple, name: str) -> np.ndarray:
    """Return one attribute of every tissue of a table, in table order, as float64."""
    return np.array([getattr(t, name) for t in table], dtype=np.float64)
