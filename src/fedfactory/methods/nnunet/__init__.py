"""nnU-Net v2, the real one, driven in one process: the rows nnU-Net, nnU-Net + DAug and nnU-Net + TL of Table 1.

A run is `plan` (once per source client, shared by the two source-only rows), `train`, for the TL row `finetune`, and
`load_segmenter`. What nnU-Net does is left as it ships: planning, network, z-score per case, loss, augmentation,
optimiser, sliding window. What is replaced is the machinery around it (worker processes, global folders, pickled
checkpoints, files with host names), because it costs more than the work on small data and makes results depend on the
machine.

Importing these modules imports neither torch nor nnunetv2. This file imports none of them, so that the code digest of a
source training does not hold the code of fine-tuning.

Reference: Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation,
Nature Methods 18, 203-211 (2021).
"""
